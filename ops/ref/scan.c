// scan in float64, one state after the other.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  bool reverse = xlm_attr_int(&c->instr->attrs, XLM_A_inverse, 0);
  int64_t n = c->dims[seq].size;
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  while (ref_walk_next(&w)) {
    if (ref_walk_index(&w, seq)) continue;
    double h = 0;
    for (int64_t i = 0; i < n; i++) {
      ref_walk at = w;
      ref_walk_set(&at, seq, reverse ? n - 1 - i : i);
      h = ref_in(c, 0)[ref_at(c, c->in_type[0], &at)] * h + ref_in(c, 1)[ref_at(c, c->in_type[1], &at)];
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = h;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_scan = {.op = XLM_OP_SCAN, .run = run};
