// combine in float64: every choice adds its weighted row to its token.
#include <string.h>

#include "ops/ref/moe_priv.h"

static xlm_status run(const xlm_call *c) {
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  ref_walk choice = ref_moe_choices(c, 2);
  while (ref_walk_next(&choice)) {
    int64_t row = ref_moe_row(c, 2, &choice);
    if (row < 0) continue;
    double weight = ref_in(c, 1)[ref_moe_at(c, c->in_type[1], &choice, NULL)];
    ref_walk rest = ref_moe_rest(c, c->in_type[0]);
    for (int64_t r = row * xlm_call_inner(c, c->in_type[0], 1); ref_walk_next(&rest); r++)
      ref_out(c, 0)[ref_moe_at(c, c->out_type[0], &choice, &rest)] += weight * ref_in(c, 0)[r];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_combine = {.op = XLM_OP_COMBINE, .run = run};

static xlm_status run_bwd(const xlm_call *c) { // dout, ys, w, e -> dys, dw
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  memset(c->out[1], 0, xlm_type_bytes(c->out_type[1], c->dims));
  ref_walk choice = ref_moe_choices(c, 3);
  while (ref_walk_next(&choice)) {
    int64_t row = ref_moe_row(c, 3, &choice), at = ref_moe_at(c, c->in_type[2], &choice, NULL);
    if (row < 0) continue;
    ref_walk rest = ref_moe_rest(c, c->in_type[1]);
    for (int64_t r = row * xlm_call_inner(c, c->in_type[1], 1); ref_walk_next(&rest); r++) {
      double dout = ref_in(c, 0)[ref_moe_at(c, c->in_type[0], &choice, &rest)];
      ref_out(c, 0)[r] = ref_in(c, 2)[at] * dout;
      ref_out(c, 1)[at] += dout * ref_in(c, 1)[r];
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_combine_bwd = {.op = XLM_OP_COMBINE_BWD, .run = run_bwd};
