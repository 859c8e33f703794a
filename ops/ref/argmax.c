// argmax, the reference.
#include "ops/ref/over_priv.h"

static bool is_larger(double x, double than) { // NaN is the smallest
  return x > than || (x == x && than != than);
}

static xlm_status run(const xlm_call *c) {
  ref_walk outer = ref_over_outer(c, c->in_type[0]);
  while (ref_walk_next(&outer)) {
    int64_t best = 0, i = 0;
    double most = 0;
    for (ref_walk inner = ref_over_inner(c, c->in_type[0]); ref_walk_next(&inner); i++) {
      double x = ref_in(c, 0)[ref_over_at(c, c->in_type[0], &outer, &inner)];
      if (i == 0 || is_larger(x, most)) best = i, most = x;
    }
    ((int32_t *)c->out[0])[ref_over_at(c, c->out_type[0], &outer, NULL)] = (int32_t)best;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_argmax = {.op = XLM_OP_ARGMAX, .run = run};
