// rope, the reference.
#include <math.h>

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *x = c->in_type[0];
  xlm_dim seq[XLM_MAX_RANK], feature[XLM_MAX_RANK];
  xlm_attr_dims(as, XLM_A_seq, seq);
  xlm_attr_dims(as, XLM_A_feature, feature);
  int64_t n = c->dims[feature[0]].size;
  bool neighbours = xlm_attr_int(as, XLM_A_interleaved, 0);
  double base = xlm_attr_float(as, XLM_A_base, 10000), sign = xlm_attr_int(as, XLM_A_inverse, 0) ? -1 : 1;
  ref_walk w = ref_walk_type(c, x);
  while (ref_walk_next(&w)) {
    int64_t f = ref_walk_index(&w, feature[0]), j = neighbours ? f / 2 : f % (n / 2);
    bool is_first = neighbours ? f % 2 == 0 : f < n / 2;
    ref_walk partner = w;
    ref_walk_set(&partner, feature[0], neighbours ? f ^ 1 : (f + n / 2) % n);
    int64_t p =
        xlm_dim_global(&c->dims[seq[0]], ref_walk_index(&w, seq[0])) + xlm_attr_int(as, XLM_A_position, 0);
    double angle = sign * (double)p * pow(base, -2.0 * (double)j / (double)n);
    double self = ref_in(c, 0)[ref_at(c, x, &w)], other = ref_in(c, 0)[ref_at(c, x, &partner)];
    ref_out(c, 0)[ref_at(c, x, &w)] =
        is_first ? self * cos(angle) - other * sin(angle) : self * cos(angle) + other * sin(angle);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_rope = {.op = XLM_OP_ROPE, .run = run};
