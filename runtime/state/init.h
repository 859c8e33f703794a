// Initial values (runtime/plan/init.h) drawn.
//
// Element i of a tensor draws from Philox keyed by (seed, hash of the name) at counter i / 4, word i % 4,
// where i counts in the logical tensor: the same weights in every layout, with any number of threads.
#ifndef XLM_STATE_INIT_H
#define XLM_STATE_INIT_H

#include <stdint.h>

#include "runtime/base/philox.h"
#include "runtime/plan/init.h"

// Elements [first, first + n) of the logical tensor.
// Those that are drawn come from f32; uniform: from the first bound, below the second.
void xlm_init_fill(const xlm_init *init, xlm_philox key, int64_t first, int64_t n, float *out);
float xlm_init_value(const xlm_init *init); // of one that is not drawn: all its elements

#endif
