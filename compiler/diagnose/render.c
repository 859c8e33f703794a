// Renders diagnostics as text for a terminal; excerpt.c has the source lines.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/diagnose/render_priv.h"

static const char *const escape[] = {
    [XLM_STYLE_PLAIN] = "\033[0m",     [XLM_STYLE_BOLD] = "\033[1m",    [XLM_STYLE_RED] = "\033[1;31m",
    [XLM_STYLE_YELLOW] = "\033[1;33m", [XLM_STYLE_BLUE] = "\033[1;34m", [XLM_STYLE_GREEN] = "\033[1;32m"};

void xlm_page_paint(xlm_page *p, xlm_style s, const char *text) {
  if (p->color && s)
    xlm_text_printf(p->out, "%s%s%s", escape[s], text, escape[XLM_STYLE_PLAIN]);
  else
    xlm_text_add(p->out, text);
}

void xlm_page_sentence(xlm_page *p, xlm_style s, const char *text, int indent) {
  xlm_text t = xlm_text_new(p->out->arena);
  char cell[XLM_CELL];
  uint32_t width;
  for (uint32_t left = (uint32_t)strlen(text), n; left; text += n, left -= n) {
    n = 1;
    if (*text == '\n')
      xlm_text_printf(&t, "\n%*s", indent, "");
    else
      n = xlm_cell_show(text, left, 0, cell, &width), xlm_text_add(&t, cell);
  }
  xlm_page_paint(p, s, t.data);
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

static void notes(xlm_page *p, const xlm_diag *g) {
  for (int i = 0; i < g->n_notes; i++) {
    const char *word = g->notes[i].help ? "help" : "note";
    xlm_text_printf(p->out, "%*s ", p->gutter, "");
    xlm_page_paint(p, XLM_STYLE_BLUE, "=");
    xlm_text_add(p->out, " ");
    xlm_page_paint(p, g->notes[i].help ? XLM_STYLE_GREEN : XLM_STYLE_BOLD,
                   xlm_arena_printf(p->out->arena, "%s:", word));
    xlm_text_add(p->out, " ");
    xlm_page_sentence(p, XLM_STYLE_PLAIN, g->notes[i].text, p->gutter + 9);
    xlm_text_add(p->out, "\n");
    if (g->notes[i].span.begin < g->notes[i].span.end && p->source)
      xlm_page_excerpt(p, &(xlm_label){g->notes[i].span, NULL}, 1, XLM_STYLE_BLUE, '-');
  }
}

static void diagnostic(xlm_page *p, const xlm_diag *g) {
  bool error = xlm_diag_is_error(g->id);
  xlm_style style = error ? XLM_STYLE_RED : XLM_STYLE_YELLOW;
  p->gutter = p->source ? digits(p->source, g) : 1;
  xlm_page_paint(
      p, style, xlm_arena_printf(p->out->arena, "%s[%s]", error ? "error" : "warning", xlm_diag_code(g->id)));
  xlm_page_paint(p, XLM_STYLE_BOLD, ": ");
  xlm_page_sentence(p, XLM_STYLE_BOLD, g->text, 0);
  xlm_text_add(p->out, "\n");
  if (g->n_labels && p->source) xlm_page_excerpt(p, g->labels, g->n_labels, style, '^');
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
  xlm_page p = {.source = d->source, .out = out, .color = color};
  for (uint32_t i = 0; i < d->n; i++) diagnostic(&p, sorted[i]);
  count(out, d->errors, "error");
  if (d->errors && d->warnings) xlm_text_add(out, ", ");
  count(out, d->warnings, "warning");
  xlm_text_add(out, d->suppressed ? "; there are more, which are not shown\n" : "\n");
}
