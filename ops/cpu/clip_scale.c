// clip_scale on CPUs: from squared norms as digits (norm_sq.h) to the norm and the factor. Carries are
// propagated before the digits are added up, so that equal sums give equal bits however they were split.
#include <math.h>

#include "ops/cpu/kernel_priv.h"
#include "ops/norm_sq.h"

static double total(const xlm_call *c) {
  double sum = 0;
  uint64_t above = 0;
  for (int k = 0; k < XLM_NORM_LIMBS; k++) {
    double limb = 0;
    for (int i = 0; i < c->instr->n_in; i++) limb += ((const double *)c->in[i])[k];
    if (!isfinite(limb)) return limb;
    above += (uint64_t)ldexp(limb, -XLM_NORM_LOWEST - 32 * k);
    bool last = k == XLM_NORM_LIMBS - 1;
    sum += ldexp((double)(last ? above : above & UINT32_MAX), XLM_NORM_LOWEST + 32 * k);
    above >>= 32;
  }
  return sum;
}

static xlm_status run(const xlm_call *c) {
  double most = xlm_attr_float(&c->instr->attrs, XLM_A_value, INFINITY);
  double norm = sqrt(total(c)), scale = most / (norm + 1e-6);
  *(float *)c->out[0] = isfinite(norm) ? (float)(scale < 1 ? scale : 1) : NAN; // NaN: nothing is updated
  *(float *)c->out[1] = (float)norm;
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(clip_scale) = {.op = XLM_OP_CLIP_SCALE, .run = run};
