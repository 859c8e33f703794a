// Draws initial values (runtime/plan/init.h).
//
// Element i of a tensor is drawn from Philox keyed by (seed, hash of the name) at counter i / 4, word i % 4,
// where i is the index in the logical tensor: the same weights in every layout, with any number of threads.
#ifndef XLM_STATE_INIT_H
#define XLM_STATE_INIT_H

#include <stdint.h>

#include "runtime/base/philox.h"
#include "runtime/plan/init.h"

// Elements [first, first + n) of the logical tensor.
// Random values are computed in f32; uniform: in [first bound, second bound).
void xlm_init_fill(const xlm_init *init, xlm_philox key, int64_t first, int64_t n, float *out);
float xlm_init_value(const xlm_init *init); // of all elements, if the kind is not random

#endif
