// amax and amax_bwd, in float64.
#include <math.h>

#include "ops/ref/over_priv.h"

static int64_t first_largest(const xlm_call *c,
                             const ref_walk *outer) { // element offset in operand 0; -1: no elements
  int64_t best = -1;
  ref_walk inner = ref_over_inner(c, c->in_type[0]);
  while (ref_walk_next(&inner)) {
    int64_t at = ref_over_at(c, c->in_type[0], outer, &inner);
    if (best < 0 || ref_in(c, 0)[at] > ref_in(c, 0)[best]) best = at;
  }
  return best;
}

static xlm_status run(const xlm_call *c) {
  ref_walk outer = ref_over_outer(c, c->in_type[0]);
  while (ref_walk_next(&outer)) {
    int64_t best = first_largest(c, &outer);
    ref_out(c, 0)[ref_over_at(c, c->out_type[0], &outer, NULL)] = best < 0 ? -INFINITY : ref_in(c, 0)[best];
  }
  return XLM_OK;
}

static xlm_status run_bwd(const xlm_call *c) {
  for (int64_t i = 0, n = xlm_call_elements(c, c->out_type[0]); i < n; i++) ref_out(c, 0)[i] = 0;
  ref_walk outer = ref_over_outer(c, c->in_type[0]);
  while (ref_walk_next(&outer)) {
    int64_t best = first_largest(c, &outer);
    if (best >= 0) ref_out(c, 0)[best] = ref_in(c, 1)[ref_over_at(c, c->in_type[1], &outer, NULL)];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_amax = {.op = XLM_OP_AMAX, .run = run};
const xlm_kernel xlm_ref_amax_bwd = {.op = XLM_OP_AMAX_BWD, .run = run_bwd};
