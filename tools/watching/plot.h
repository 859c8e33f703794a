// A curve in a terminal: braille characters, of 2 x 4 points each, between two axes of text.
#ifndef XLM_WATCHING_PLOT_H
#define XLM_WATCHING_PLOT_H

#include <stdbool.h>

#include "tools/watching/run.h"

typedef struct xlm_plot {
  int columns, rows;            // of all text, axes included
  bool ascii;                   // without braille characters: '*' per point
  bool color;                   // of the second series, by escape sequences
  const xlm_run_series *first;  // a line
  const xlm_run_series *second; // points above it; NULL: none
} xlm_plot;

// Lines of text that end with '\n', `rows` in all. Values that are not finite are left out.
void xlm_plot_print(const xlm_plot *p, xlm_text *out);

#endif
