// Draws initial values (runtime/plan/init.h).
//
// Element i of a tensor is drawn from Philox keyed by (seed, hash of the name) at counter i / 4, word i % 4,
// where i is the index in the logical tensor: the same weights in every layout, with any number of threads.
#ifndef XLM_STATE_INIT_H
#define XLM_STATE_INIT_H

#include <stdint.h>

#include "runtime/base/philox.h"
#include "runtime/plan/init.h"

// Elements [first, first + n) of the logical tensor, of this shape.
// Random values are computed in f32; uniform: in [first bound, second bound). Programs are computed in
// double.
void xlm_init_fill(const xlm_init *init, xlm_philox key, const int64_t *shape, int rank, int64_t first,
                   int64_t n, float *out);
bool xlm_init_is_zero(const xlm_init *init); // all elements are 0

#endif
