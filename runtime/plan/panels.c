// See panels.h.
#include "runtime/plan/panels.h"

typedef struct walk {
  int64_t width, rows, columns;
  bool pairs;
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

// Is the row the first of two that lie together, or the second?
static bool is_paired(const walk *w, int64_t row) {
  return w->pairs && row < w->rows - w->rows % 2;
}

static int64_t place(const walk *w, int64_t row, int64_t column) {
  int64_t first = column - column % w->width, columns = least(w->width, w->columns - first);
  column -= first;
  return first * w->rows +
         (is_paired(w, row) ? (row - row % 2) * columns + 2 * column + row % 2 : row * columns + column);
}

static bool element(const walk *w, int64_t row, int64_t column, int64_t dense) {
  return w->fn(w->arg, &(xlm_panel_run){.at = place(w, row, column), .dense = dense, .apart = 1, .n = 1});
}

// Columns [column, column + n) of one panel in a row that is not paired, or in two that are. dense: of the
// first; apart, second: as in xlm_panel_run.
static bool run(const walk *w, int64_t row, int64_t column, int64_t n, int64_t dense, int64_t apart,
                int64_t second) {
  const bool pair = is_paired(w, row);
  return w->fn(w->arg, &(xlm_panel_run){.at = place(w, row, column),
                                        .dense = dense,
                                        .apart = apart,
                                        .second = pair ? second : 0,
                                        .n = pair ? 2 * n : n});
}

// A dense row, or two that are paired, from its first column on.
static bool whole_rows(const walk *w, int64_t row) {
  for (int64_t c = 0, n; c < w->columns; c += n) {
    n = least(w->width, w->columns - c);
    if (!run(w, row, c, n, row * w->columns + c, 1, w->columns)) return false;
  }
  return true;
}

static bool part_of_row(const walk *w, int64_t begin, int64_t end) {
  const int64_t row = begin / w->columns;
  for (int64_t i = begin, n; i < end; i += n) {
    int64_t column = i % w->columns, left = w->width - column % w->width;
    n = is_paired(w, row) ? 1 : least(least(left, w->columns - column), end - i);
    if (n == 1 ? !element(w, row, column, i) : !run(w, row, column, n, i, 1, 0)) return false;
  }
  return true;
}

// Dense rows of columns.
static bool each_by_rows(const walk *w, int64_t begin, int64_t end) {
  for (int64_t i = begin, n; i < end; i += n) {
    const int64_t row = i / w->columns, rows = is_paired(w, row) ? 2 : 1;
    const bool whole = i % w->columns == 0 && row % rows == 0 && i + rows * w->columns <= end;
    n = whole ? rows * w->columns : least((row + 1) * w->columns, end) - i;
    if (whole ? !whole_rows(w, row) : !part_of_row(w, i, i + n)) return false;
  }
  return true;
}

static bool part_of_column(const walk *w, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++)
    if (!element(w, i % w->rows, i / w->rows, i)) return false;
  return true;
}

// Dense columns of rows: whole columns of a panel together, parts of columns element by element.
static bool each_by_columns(const walk *w, int64_t begin, int64_t end) {
  int64_t first = least((begin + w->rows - 1) / w->rows, end / w->rows), last = end / w->rows;
  if (first * w->rows > begin && !part_of_column(w, begin, least(first * w->rows, end))) return false;
  for (int64_t c = first, n; c < last; c += n) {
    n = least(w->width - c % w->width, last - c);
    for (int64_t row = 0; row < w->rows; row += is_paired(w, row) ? 2 : 1)
      if (!run(w, row, c, n, c * w->rows + row, w->rows, 1)) return false;
  }
  int64_t from = last * w->rows > begin ? last * w->rows : begin;
  return first * w->rows > end || part_of_column(w, from, end);
}

bool xlm_panels_each(const xlm_type *t, const xlm_dim_info *dims, int64_t begin, int64_t end,
                     bool (*fn)(void *arg, const xlm_panel_run *run), void *arg) {
  int64_t before = 1, after = 1;
  for (int i = 0; i < t->rank; i++) *(i < t->panels.split ? &before : &after) *= dims[t->dim[i]].size;
  const bool by_columns = t->panels.columns_first, pairs = xlm_dtype_bytes(t->dtype) == 2;
  walk w = {t->panels.width, by_columns ? after : before, by_columns ? before : after, pairs, fn, arg};
  if (begin >= end) return true;
  return by_columns ? each_by_columns(&w, begin, end) : each_by_rows(&w, begin, end);
}
