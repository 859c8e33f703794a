// The parts of rendering: characters, source lines with marks, and the page that they are written to.
#ifndef XLM_DIAGNOSE_RENDER_PRIV_H
#define XLM_DIAGNOSE_RENDER_PRIV_H

#include "compiler/diagnose/diag.h"
#include "compiler/diagnose/source.h"

typedef enum xlm_style {
  XLM_STYLE_PLAIN,
  XLM_STYLE_BOLD,
  XLM_STYLE_RED,
  XLM_STYLE_YELLOW,
  XLM_STYLE_BLUE,
  XLM_STYLE_GREEN
} xlm_style;

typedef struct xlm_page {
  const xlm_source *source;
  xlm_text *out;
  bool color;
  int gutter; // digits of the largest line number
} xlm_page;

// cell.c. Formats one character for column `column`; returns its length in bytes and sets its width in
// columns.
enum { XLM_CELL = 16 };
uint32_t xlm_cell_show(const char *text, uint32_t left, uint32_t column, char cell[XLM_CELL],
                       uint32_t *width);

// render.c
void xlm_page_paint(xlm_page *p, xlm_style s, const char *text);
// A message: escapes text from the model and indents all lines but the first.
void xlm_page_sentence(xlm_page *p, xlm_style s, const char *text, int indent);

// excerpt.c. The labels of one file after another; the file of the first label, the primary one, is the
// first. `sign` marks the primary label, in this style.
void xlm_page_excerpt(xlm_page *p, const xlm_label *labels_of, int n, xlm_style style, char sign);

#endif
