// clip_scale, the reference.
#include <math.h>

#include "ops/norm_sq.h"
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  double sum = 0;
  for (int i = 0; i < c->instr->n_in; i++)
    for (int k = 0; k < XLM_NORM_LIMBS; k++) sum += ref_in(c, i)[k];
  double most = xlm_attr_float(&c->instr->attrs, XLM_A_value, INFINITY);
  *ref_out(c, 1) = sqrt(sum);
  *ref_out(c, 0) = isfinite(sum) ? fmin(1, most / (sqrt(sum) + 1e-6)) : NAN;
  return XLM_OK;
}

const xlm_kernel xlm_ref_clip_scale = {.op = XLM_OP_CLIP_SCALE, .run = run};
