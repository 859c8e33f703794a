// norm_sq, the reference: the sum is in the last limb, which may hold any number; clip_scale adds the limbs.
#include "ops/norm_sq.h"

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  double sum = 0;
  for (int i = 0; i < c->instr->n_in; i++)
    for (int64_t k = 0; k < xlm_call_elements(c, c->in_type[i]); k++)
      sum += ref_in(c, i)[k] * ref_in(c, i)[k];
  for (int k = 0; k < XLM_NORM_LIMBS; k++) ref_out(c, 0)[k] = k == XLM_NORM_LIMBS - 1 ? sum : 0;
  return XLM_OK;
}

const xlm_kernel xlm_ref_norm_sq = {.op = XLM_OP_NORM_SQ, .run = run};
