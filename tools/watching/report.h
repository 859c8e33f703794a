// Runs as one page for a browser: it fetches nothing, and draws itself from the JSON within.
#ifndef XLM_WATCHING_REPORT_H
#define XLM_WATCHING_REPORT_H

#include "tools/watching/run.h"

// title: of the page. Long series are thinned to XLM_REPORT_POINTS points, of which the highest and the
// lowest of each stretch stay.
enum { XLM_REPORT_POINTS = 8000 };
// Of lists that together have more numbers than XLM_REPORT_CELLS, the lines shown are spread evenly over the
// run, the first and the last among them; of samples likewise.
enum { XLM_REPORT_CELLS = 400000, XLM_REPORT_LISTS = 120, XLM_REPORT_SAMPLES = 200 };
void xlm_report_page(xlm_run *const *runs, int n, const char *title, xlm_text *out);

#endif
