// See panels.h.
#include "runtime/plan/panels.h"

typedef struct walk {
  int64_t width, rows, columns;
  bool (*fn)(void *arg, const xlm_panel_run *run);
  void *arg;
} walk;

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

bool xlm_panels_fit(const xlm_panels *p, const xlm_type *t, const xlm_dim_info *dims) {
  for (int i = 0; i < t->rank; i++)
    if (dims[t->dim[i]].ragged) return false;
  return p->width >= 1 && p->width <= XLM_PANEL_MOST && p->split >= 1 && p->split < t->rank;
}

static int64_t place(const walk *w, int64_t row, int64_t column) {
  int64_t first = column - column % w->width;
  return first * w->rows + row * least(w->width, w->columns - first) + column - first;
}

// Columns [column, column + n) of one panel in a row, `dense` the first's index and `apart` the distance to
// the next's.
static bool run(const walk *w, int64_t row, int64_t column, int64_t n, int64_t dense, int64_t apart) {
  const xlm_panel_run r = {.at = place(w, row, column), .dense = dense, .apart = apart, .n = n};
  return w->fn(w->arg, &r);
}

// Dense rows of columns.
static bool each_by_rows(const walk *w, int64_t begin, int64_t end) {
  for (int64_t i = begin, n; i < end; i += n) {
    int64_t column = i % w->columns, left = w->width - column % w->width;
    n = least(least(left, w->columns - column), end - i);
    if (!run(w, i / w->columns, column, n, i, 1)) return false;
  }
  return true;
}

static bool part_of_column(const walk *w, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++)
    if (!run(w, i % w->rows, i / w->rows, 1, i, 1)) return false;
  return true;
}

// Dense columns of rows: whole columns of a panel together, parts of columns element by element.
static bool each_by_columns(const walk *w, int64_t begin, int64_t end) {
  int64_t first = least((begin + w->rows - 1) / w->rows, end / w->rows), last = end / w->rows;
  if (first * w->rows > begin && !part_of_column(w, begin, least(first * w->rows, end))) return false;
  for (int64_t c = first, n; c < last; c += n) {
    n = least(w->width - c % w->width, last - c);
    for (int64_t row = 0; row < w->rows; row++)
      if (!run(w, row, c, n, c * w->rows + row, w->rows)) return false;
  }
  int64_t from = last * w->rows > begin ? last * w->rows : begin;
  return first * w->rows > end || part_of_column(w, from, end);
}

bool xlm_panels_each(const xlm_type *t, const xlm_dim_info *dims, int64_t begin, int64_t end,
                     bool (*fn)(void *arg, const xlm_panel_run *run), void *arg) {
  int64_t before = 1, after = 1;
  for (int i = 0; i < t->rank; i++) *(i < t->panels.split ? &before : &after) *= dims[t->dim[i]].size;
  const bool by_columns = t->panels.columns_first;
  walk w = {t->panels.width, by_columns ? after : before, by_columns ? before : after, fn, arg};
  if (begin >= end) return true;
  return by_columns ? each_by_columns(&w, begin, end) : each_by_rows(&w, begin, end);
}
