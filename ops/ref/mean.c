// mean, in float64.
#include "ops/ref/over_priv.h"

static xlm_status run(const xlm_call *c) {
  double scale = xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1);
  ref_walk outer = ref_over_outer(c, c->in_type[0]);
  while (ref_walk_next(&outer)) {
    double sum = 0;
    ref_walk inner = ref_over_inner(c, c->in_type[0]);
    while (ref_walk_next(&inner)) sum += ref_in(c, 0)[ref_over_at(c, c->in_type[0], &outer, &inner)];
    ref_out(c, 0)[ref_over_at(c, c->out_type[0], &outer, NULL)] = scale * sum;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_mean = {.op = XLM_OP_MEAN, .run = run};
