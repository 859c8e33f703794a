// Renders diagnostics as text for a terminal.
//
// A source line is shown through a view: tabs become blanks, unsafe bytes are escaped, and of a very long
// line only a window around the marks is shown. Marks are placed in columns of the view.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/diagnose/source.h"
#include "compiler/diagnose/diag.h"

enum { TAB = 4, WINDOW = 100, BEFORE = 40 };

enum style { plain, bold, red, yellow, blue, green };
static const char *const escape[] = {"\033[0m",    "\033[1m",    "\033[1;31m",
                                     "\033[1;33m", "\033[1;34m", "\033[1;32m"};

typedef struct page {
  const xlm_source *source;
  xlm_text *out;
  bool color;
  int gutter; // digits of the largest line number
} page;

// --- characters

// Decodes one character; n: its length in bytes, 0 for invalid UTF-8.
static uint32_t decode(const char *text, uint32_t left, uint32_t *n) {
  const unsigned char *s = (const unsigned char *)text;
  *n = 1;
  if (s[0] < 0x80) return s[0];
  uint32_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
  uint32_t c = s[0] & (0xFFu >> (length + 1));
  *n = 0;
  if (s[0] < 0xC2 || s[0] > 0xF4 || length > left) return 0;
  for (uint32_t i = 1; i < length; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3F);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
  *n = length;
  return c;
}

typedef struct range {
  uint32_t first, last;
} range;

static bool within(uint32_t c, const range *r) {
  for (; r->last; r++)
    if (c >= r->first && c <= r->last) return true;
  return false;
}

static bool
is_control(uint32_t c) { // includes bidirectional overrides, which can make a line look like another
  static const range r[] = {
      {0, 0x1F},        {0x7F, 0x9F}, {0x200E, 0x200F}, {0x202A, 0x202E}, {0x2066, 0x2069},
      {0xFEFF, 0xFEFF}, {0, 0}};
  return within(c, r);
}

static uint32_t columns(uint32_t c) {
  static const range none[] = {{0x300, 0x36F}, {0x200B, 0x200D}, {0x20D0, 0x20F0}, {0xFE00, 0xFE0F}, {0, 0}};
  static const range two[] = {
      {0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
      {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}, {0, 0}};
  return c < 0x300 ? 1 : within(c, none) ? 0 : within(c, two) ? 2 : 1;
}

// Formats one character for column `column`; returns its length in bytes and sets its width.
static uint32_t shown(const char *text, uint32_t left, uint32_t column, char cell[16], uint32_t *width) {
  uint32_t n, c = decode(text, left, &n);
  if (n && c == '\t') {
    *width = TAB - column % TAB;
    memcpy(cell, "    ", TAB);
    cell[*width] = 0;
  } else if (!n || c < 0x80) {
    bool hidden = !n || is_control(c);
    if (hidden)
      snprintf(cell, 16, "\\x%02x", (unsigned char)text[0]);
    else
      cell[0] = text[0], cell[1] = 0;
    *width = hidden ? 4 : 1;
  } else if (is_control(c)) {
    *width = (uint32_t)snprintf(cell, 16, "\\u{%x}", c);
  } else {
    memcpy(cell, text, n);
    cell[n] = 0;
    *width = columns(c);
  }
  return n ? n : 1;
}

// --- formatted text

static void paint(page *p, enum style s, const char *text) {
  if (p->color && s)
    xlm_text_printf(p->out, "%s%s%s", escape[s], text, escape[plain]);
  else
    xlm_text_add(p->out, text);
}

// Prints a message: escapes text from the model and indents all lines but the first.
static void sentence(page *p, enum style s, const char *text, int indent) {
  xlm_text t = xlm_text_new(p->out->arena);
  char cell[16];
  uint32_t width;
  for (uint32_t left = (uint32_t)strlen(text), n; left; text += n, left -= n) {
    n = 1;
    if (*text == '\n')
      xlm_text_printf(&t, "\n%*s", indent, "");
    else
      n = shown(text, left, 0, cell, &width), xlm_text_add(&t, cell);
  }
  paint(p, s, t.data);
}

static uint32_t line_in_file(const page *p, uint32_t line) {
  uint32_t before = xlm_source_file_at(p->source, p->source->line_start[line - 1])->before;
  return line > before ? line - before : 1;
}

static void gutter(page *p, uint32_t line) {
  char number[16] = "";
  if (line) snprintf(number, sizeof number, "%u", line_in_file(p, line));
  paint(p, blue, xlm_arena_printf(p->out->arena, "%*s |", p->gutter, number));
}

// --- one source line with its marks

typedef struct mark {
  uint32_t line, begin, end; // columns of the view, `end` exclusive
  const char *text;
  enum style style;
  char sign;
} mark;

typedef struct view {
  uint32_t first, last; // bytes of the line
  uint32_t shift, end;  // columns shown: [shift, end)
  uint32_t width;
} view;

static uint32_t column_of(const page *p, const view *v, uint32_t offset) {
  uint32_t column = 0, width;
  char cell[16];
  for (uint32_t i = v->first; i < offset && i < v->last; column += width)
    i += shown(p->source->text + i, v->last - i, column, cell, &width);
  return column;
}

static view view_of(const page *p, uint32_t line) {
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

static void source_line(page *p, uint32_t line, const view *v) {
  gutter(p, line);
  xlm_text t = xlm_text_new(p->out->arena);
  xlm_text_add(&t, v->shift ? "..." : "");
  uint32_t column = 0, width;
  char cell[16];
  for (uint32_t i = v->first; i < v->last && column < v->end; column += width) {
    i += shown(p->source->text + i, v->last - i, column, cell, &width);
    if (column >= v->shift) xlm_text_add(&t, cell);
  }
  if (v->end < v->width) xlm_text_add(&t, "...");
  if (t.n) xlm_text_printf(p->out, " %s", t.data);
  xlm_text_add(p->out, "\n");
}

// A row of marks under the line, optionally followed by the text of the last one.
typedef struct row {
  char *sign;
  enum style *style;
  uint32_t n;
} row;

static void set(row *r, uint32_t at, char sign, enum style style) {
  if (r->sign[at] == '^' && sign != '^') return;
  for (; r->n <= at; r->n++) r->sign[r->n] = ' ';
  r->sign[at] = sign;
  r->style[at] = style;
}

static void flush(page *p, row *r, const mark *label) {
  gutter(p, 0);
  xlm_text_add(p->out, r->n || label ? " " : "");
  for (uint32_t i = 0; i < r->n; i++)
    paint(p, r->sign[i] == ' ' ? plain : r->style[i], (char[]){r->sign[i], 0});
  if (label) sentence(p, label->style, label->text, 0);
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
static void labels(page *p, row *r, mark *m, int n) {
  for (int i = 0; i < n; i++)
    for (uint32_t c = m[i].begin; c < m[i].end; c++) set(r, c, m[i].sign, m[i].style);
  bool beside = m[n - 1].text && m[n - 1].end == r->n;
  if (beside) set(r, r->n, ' ', plain);
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

static void marked_line(page *p, mark *m, int n) {
  view v = view_of(p, m[0].line);
  choose_window(&v, m, n);
  source_line(p, m[0].line, &v);
  n = clip(&v, m, n);
  if (!n) return;
  qsort(m, (size_t)n, sizeof *m, by_column);
  size_t cells = (size_t)v.width + WINDOW + 16;
  if (cells > 2 * WINDOW + 64) cells = 2 * WINDOW + 64;
  row r = {xlm_arena_alloc(p->out->arena, cells), XLM_NEW_N(p->out->arena, enum style, cells), 0};
  labels(p, &r, m, n);
}

// --- an excerpt: all marks of a diagnostic, by line

static mark mark_of(const page *p, xlm_label l, enum style style, char sign) {
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

static void between(page *p, uint32_t before, uint32_t after) {
  if (before && after == before + 2) {
    view v = view_of(p, before + 1);
    choose_window(&v, &(mark){0}, 1);
    source_line(p, before + 1, &v);
  } else if (before && after > before + 1) {
    paint(p, blue, "...");
    xlm_text_add(p->out, "\n");
  }
}

static void file_line(page *p, const char *sign, xlm_span span) {
  uint32_t line, column;
  xlm_source_place(p->source, span.begin, &line, &column);
  xlm_text_printf(p->out, "%*s", p->gutter, "");
  paint(p, blue, sign);
  xlm_text_add(p->out, " ");
  sentence(p, plain, xlm_source_file_at(p->source, span.begin)->path, 0);
  xlm_text_printf(p->out, ":%u:%u\n", line, column);
  gutter(p, 0);
  xlm_text_add(p->out, "\n");
}

static void marked_lines(page *p, mark *m, int n) {
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

// The marks of one file after another; the file of the primary mark is the first.
static void excerpt(page *p, const xlm_label *labels_of, int n, enum style style, char sign) {
  bool shown[XLM_DIAG_MAX_LABELS] = {0};
  for (int i = 0; i < n; i++) {
    if (shown[i]) continue;
    const xlm_source_file *file = xlm_source_file_at(p->source, labels_of[i].span.begin);
    mark m[XLM_DIAG_MAX_LABELS];
    int in_file = 0;
    for (int k = i; k < n; k++) {
      if (xlm_source_file_at(p->source, labels_of[k].span.begin) != file) continue;
      m[in_file++] = mark_of(p, labels_of[k], k ? blue : style, k ? '-' : sign);
      shown[k] = true;
    }
    file_line(p, i ? ":::" : "-->", labels_of[i].span);
    marked_lines(p, m, in_file);
  }
}

// --- diagnostics

static int digits(const xlm_source *s, const xlm_diag *g) {
  uint32_t most = 1, line, column;
  for (int i = 0; i < g->n_labels; i++) {
    xlm_source_place(s, g->labels[i].span.begin, &line, &column);
    if (line > most) most = line;
  }
  for (int i = 0; i < g->n_notes; i++) {
    xlm_source_place(s, g->notes[i].span.begin, &line, &column);
    if (g->notes[i].span.end && line > most) most = line;
  }
  return snprintf(NULL, 0, "%u", most);
}

static void notes(page *p, const xlm_diag *g) {
  for (int i = 0; i < g->n_notes; i++) {
    const char *word = g->notes[i].help ? "help" : "note";
    xlm_text_printf(p->out, "%*s ", p->gutter, "");
    paint(p, blue, "=");
    xlm_text_add(p->out, " ");
    paint(p, g->notes[i].help ? green : bold, xlm_arena_printf(p->out->arena, "%s:", word));
    xlm_text_add(p->out, " ");
    sentence(p, plain, g->notes[i].text, p->gutter + 9);
    xlm_text_add(p->out, "\n");
    if (g->notes[i].span.begin < g->notes[i].span.end && p->source)
      excerpt(p, &(xlm_label){g->notes[i].span, NULL}, 1, blue, '-');
  }
}

static void diagnostic(page *p, const xlm_diag *g) {
  bool error = xlm_diag_is_error(g->id);
  enum style style = error ? red : yellow;
  p->gutter = p->source ? digits(p->source, g) : 1;
  paint(p, style,
        xlm_arena_printf(p->out->arena, "%s[%s]", error ? "error" : "warning", xlm_diag_code(g->id)));
  paint(p, bold, ": ");
  sentence(p, bold, g->text, 0);
  xlm_text_add(p->out, "\n");
  if (g->n_labels && p->source) excerpt(p, g->labels, g->n_labels, style, '^');
  notes(p, g);
  xlm_text_add(p->out, "\n");
}

static uint32_t place(const xlm_diag *g) {
  return g->n_labels ? g->labels[0].span.begin + 1 : 0;
}

static int by_place(const void *a, const void *b) {
  const xlm_diag *x = *(const xlm_diag *const *)a, *y = *(const xlm_diag *const *)b;
  if (place(x) != place(y)) return place(x) < place(y) ? -1 : 1;
  return x < y ? -1 : x > y; // else the order in which they were pushed
}

static void count(xlm_text *out, uint32_t n, const char *what) {
  if (n) xlm_text_printf(out, "%u %s%s", n, what, n == 1 ? "" : "s");
}

void xlm_diag_render(const xlm_diags *d, bool color, xlm_text *out) {
  if (!d->n) return;
  const xlm_diag **sorted = XLM_NEW_N(out->arena, const xlm_diag *, d->n);
  for (uint32_t i = 0; i < d->n; i++) sorted[i] = &d->at[i];
  qsort(sorted, d->n, sizeof *sorted, by_place);
  page p = {.source = d->source, .out = out, .color = color};
  for (uint32_t i = 0; i < d->n; i++) diagnostic(&p, sorted[i]);
  count(out, d->errors, "error");
  if (d->errors && d->warnings) xlm_text_add(out, ", ");
  count(out, d->warnings, "warning");
  xlm_text_add(out, d->suppressed ? "; there are more, which are not shown\n" : "\n");
}
