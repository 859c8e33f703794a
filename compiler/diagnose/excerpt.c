// Source lines with marks under them. A line is shown through a view: of a very long line only a window
// around the marks. Marks are placed in columns of the view.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/diagnose/render_priv.h"

enum { WINDOW = 100, BEFORE = 40 };

static uint32_t line_in_file(const xlm_page *p, uint32_t line) {
  uint32_t before = xlm_source_file_at(p->source, p->source->line_start[line - 1])->before;
  return line > before ? line - before : 1;
}

static void gutter(xlm_page *p, uint32_t line) {
  char number[16] = "";
  if (line) snprintf(number, sizeof number, "%u", line_in_file(p, line));
  xlm_page_paint(p, XLM_STYLE_BLUE, xlm_arena_printf(p->out->arena, "%*s |", p->gutter, number));
}

// --- one source line with its marks

typedef struct mark {
  uint32_t line, begin, end; // columns of the view, `end` exclusive
  const char *text;
  xlm_style style;
  char sign;
} mark;

typedef struct view {
  uint32_t first, last; // bytes of the line
  uint32_t shift, end;  // columns shown: [shift, end)
  uint32_t width;
} view;

static uint32_t column_of(const xlm_page *p, const view *v, uint32_t offset) {
  uint32_t column = 0, width;
  char cell[XLM_CELL];
  for (uint32_t i = v->first; i < offset && i < v->last; column += width)
    i += xlm_cell_show(p->source->text + i, v->last - i, column, cell, &width);
  return column;
}

static view view_of(const xlm_page *p, uint32_t line) {
  const xlm_source *s = p->source;
  view v = {.first = s->line_start[line - 1], .last = line < s->lines ? s->line_start[line] - 1 : s->n};
  while (v.last > v.first && s->text[v.last - 1] == '\r') v.last--;
  v.width = column_of(p, &v, v.last);
  v.end = v.width;
  return v;
}

static void choose_window(view *v, const mark *m, int n) {
  if (v->width <= WINDOW + 10) return;
  uint32_t focus = m[0].begin;
  for (int i = 0; i < n; i++)
    if (m[i].sign == '^') focus = m[i].begin;
  v->shift = focus > BEFORE ? focus - BEFORE : 0;
  v->end = v->shift + WINDOW < v->width ? v->shift + WINDOW : v->width;
}

static void source_line(xlm_page *p, uint32_t line, const view *v) {
  gutter(p, line);
  xlm_text t = xlm_text_new(p->out->arena);
  xlm_text_add(&t, v->shift ? "..." : "");
  uint32_t column = 0, width;
  char cell[XLM_CELL];
  for (uint32_t i = v->first; i < v->last && column < v->end; column += width) {
    i += xlm_cell_show(p->source->text + i, v->last - i, column, cell, &width);
    if (column >= v->shift) xlm_text_add(&t, cell);
  }
  if (v->end < v->width) xlm_text_add(&t, "...");
  if (t.n) xlm_text_printf(p->out, " %s", t.data);
  xlm_text_add(p->out, "\n");
}

// A row of marks under the line, optionally followed by the text of the last one.
typedef struct row {
  char *sign;
  xlm_style *style;
  uint32_t n;
} row;

static void set(row *r, uint32_t at, char sign, xlm_style style) {
  if (r->sign[at] == '^' && sign != '^') return;
  for (; r->n <= at; r->n++) r->sign[r->n] = ' ';
  r->sign[at] = sign;
  r->style[at] = style;
}

static void flush(xlm_page *p, row *r, const mark *label) {
  gutter(p, 0);
  xlm_text_add(p->out, r->n || label ? " " : "");
  for (uint32_t i = 0; i < r->n; i++)
    xlm_page_paint(p, r->sign[i] == ' ' ? XLM_STYLE_PLAIN : r->style[i], (char[]){r->sign[i], 0});
  if (label) xlm_page_sentence(p, label->style, label->text, 0);
  xlm_text_add(p->out, "\n");
  memset(r->sign, 0, r->n);
  r->n = 0;
}

static int by_column(const void *a, const void *b) {
  const mark *x = a, *y = b;
  return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->sign == '^') - (y->sign == '^');
}

// Clips marks to the window and drops those outside.
static int clip(const view *v, mark *m, int n) {
  int kept = 0;
  uint32_t lead = v->shift ? 3 : 0;
  for (int i = 0; i < n; i++) {
    if (m[i].begin > v->end || m[i].end <= v->shift) continue;
    mark k = m[i];
    if (k.end > v->end + (v->end == v->width)) k.end = v->end + (v->end == v->width);
    k.begin = (k.begin > v->shift ? k.begin - v->shift : 0) + lead;
    k.end = k.end - v->shift + lead;
    if (k.end <= k.begin) k.end = k.begin + 1;
    m[kept++] = k;
  }
  return kept;
}

// Prints label texts from right to left: the last beside its mark, the others under their marks.
static void labels(xlm_page *p, row *r, mark *m, int n) {
  for (int i = 0; i < n; i++)
    for (uint32_t c = m[i].begin; c < m[i].end; c++) set(r, c, m[i].sign, m[i].style);
  bool beside = m[n - 1].text && m[n - 1].end == r->n;
  if (beside) set(r, r->n, ' ', XLM_STYLE_PLAIN);
  flush(p, r, beside ? &m[n - 1] : NULL);
  if (beside) n--;
  int left = 0;
  for (int i = 0; i < n; i++)
    if (m[i].text) m[left++] = m[i];
  for (int i = 0; i < left; i++) set(r, m[i].begin, '|', m[i].style);
  if (left) flush(p, r, NULL);
  for (int k = left - 1; k >= 0; k--) {
    for (int i = 0; i < k; i++)
      if (m[i].begin < m[k].begin) set(r, m[i].begin, '|', m[i].style);
    for (; r->n < m[k].begin; r->n++) r->sign[r->n] = ' ';
    flush(p, r, &m[k]);
  }
}

static void marked_line(xlm_page *p, mark *m, int n) {
  view v = view_of(p, m[0].line);
  choose_window(&v, m, n);
  source_line(p, m[0].line, &v);
  n = clip(&v, m, n);
  if (!n) return;
  qsort(m, (size_t)n, sizeof *m, by_column);
  size_t cells = (size_t)v.width + WINDOW + 16;
  if (cells > 2 * WINDOW + 64) cells = 2 * WINDOW + 64;
  row r = {xlm_arena_alloc(p->out->arena, cells), XLM_NEW_N(p->out->arena, xlm_style, cells), 0};
  labels(p, &r, m, n);
}

// --- an excerpt: all marks of a diagnostic, by line

static mark mark_of(const xlm_page *p, xlm_label l, xlm_style style, char sign) {
  uint32_t begin = l.span.begin < p->source->n ? l.span.begin : p->source->n;
  uint32_t line = xlm_source_line(p->source, begin);
  view v = view_of(p, line);
  uint32_t end = l.span.end < v.last ? l.span.end : v.last;
  mark m = {line, column_of(p, &v, begin), column_of(p, &v, end), l.text, style, sign};
  if (m.end <= m.begin) m.end = m.begin + 1;
  return m;
}

static int by_line(const void *a, const void *b) {
  const mark *x = a, *y = b;
  return x->line != y->line ? (x->line < y->line ? -1 : 1) : by_column(a, b);
}

static void between(xlm_page *p, uint32_t before, uint32_t after) {
  if (before && after == before + 2) {
    view v = view_of(p, before + 1);
    choose_window(&v, &(mark){0}, 1);
    source_line(p, before + 1, &v);
  } else if (before && after > before + 1) {
    xlm_page_paint(p, XLM_STYLE_BLUE, "...");
    xlm_text_add(p->out, "\n");
  }
}

static void file_line(xlm_page *p, const char *sign, xlm_span span) {
  uint32_t line, column;
  xlm_source_place(p->source, span.begin, &line, &column);
  xlm_text_printf(p->out, "%*s", p->gutter, "");
  xlm_page_paint(p, XLM_STYLE_BLUE, sign);
  xlm_text_add(p->out, " ");
  xlm_page_sentence(p, XLM_STYLE_PLAIN, xlm_source_file_at(p->source, span.begin)->path, 0);
  xlm_text_printf(p->out, ":%u:%u\n", line, column);
  gutter(p, 0);
  xlm_text_add(p->out, "\n");
}

static void marked_lines(xlm_page *p, mark *m, int n) {
  qsort(m, (size_t)n, sizeof *m, by_line);
  for (int i = 0, count; i < n; i += count) {
    for (count = 1; i + count < n && m[i + count].line == m[i].line; count++) continue;
    uint32_t here = m[i].line;
    if (i) between(p, m[i - 1].line, here);
    mark on_line[XLM_DIAG_MAX_LABELS];
    memcpy(on_line, m + i, (size_t)count * sizeof *m);
    marked_line(p, on_line, count);
  }
}

void xlm_page_excerpt(xlm_page *p, const xlm_label *labels_of, int n, xlm_style style, char sign) {
  bool shown[XLM_DIAG_MAX_LABELS] = {0};
  for (int i = 0; i < n; i++) {
    if (shown[i]) continue;
    const xlm_source_file *file = xlm_source_file_at(p->source, labels_of[i].span.begin);
    mark m[XLM_DIAG_MAX_LABELS];
    int in_file = 0;
    for (int k = i; k < n; k++) {
      if (xlm_source_file_at(p->source, labels_of[k].span.begin) != file) continue;
      m[in_file++] = mark_of(p, labels_of[k], k ? XLM_STYLE_BLUE : style, k ? '-' : sign);
      shown[k] = true;
    }
    file_line(p, i ? ":::" : "-->", labels_of[i].span);
    marked_lines(p, m, in_file);
  }
}
