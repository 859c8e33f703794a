// softmax and softmax_bwd, in float64.
#include <math.h>

#include "ops/ref/over_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  const double *x = ref_in(c, 0);
  ref_walk outer = ref_over_outer(c, t);
  while (ref_walk_next(&outer)) {
    double largest = -INFINITY, sum = 0;
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);)
      largest = fmax(largest, x[ref_over_at(c, t, &outer, &i)]);
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);)
      sum += exp(x[ref_over_at(c, t, &outer, &i)] - largest);
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, t, &outer, &i);
      ref_out(c, 0)[at] = exp(x[at] - largest) / sum;
    }
  }
  return XLM_OK;
}

static xlm_status run_bwd(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  const double *y = ref_in(c, 0), *dy = ref_in(c, 1);
  ref_walk outer = ref_over_outer(c, t);
  while (ref_walk_next(&outer)) {
    double dot = 0;
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, t, &outer, &i);
      dot += y[at] * dy[at];
    }
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, t, &outer, &i);
      ref_out(c, 0)[at] = y[at] * (dy[at] - dot);
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_softmax = {.op = XLM_OP_SOFTMAX, .run = run};
const xlm_kernel xlm_ref_softmax_bwd = {.op = XLM_OP_SOFTMAX_BWD, .run = run_bwd};
