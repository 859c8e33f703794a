// The time a compilation takes, by pass, for `xlmc plan --time-passes`.
#ifndef XLM_DRIVER_TIMES_H
#define XLM_DRIVER_TIMES_H

#include <stdint.h>

#include "runtime/base/text.h"

enum { XLM_TIMES = 24 };

typedef struct xlm_times { // zeroed by the caller; entries are in the order of their first run
  int n;
  struct xlm_time {
    const char *name;
    int64_t runs, nodes; // number of runs; nodes (or instructions) made, over all runs
    double seconds;
  } at[XLM_TIMES];
} xlm_times;

void xlm_times_add(xlm_times *t, const char *name, int64_t runs, int64_t nodes,
                   double seconds); // t may be NULL
void xlm_times_print(const xlm_times *t, xlm_text *out);

#endif
