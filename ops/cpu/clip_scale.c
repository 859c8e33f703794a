// clip_scale on CPUs: a few scalars.
#include <math.h>

#include "ops/cpu/kernel_priv.h"

static void run(const xlm_call *c) {
  double total = 0, most = xlm_attr_float(&c->instr->attrs, XLM_A_value, INFINITY);
  for (int i = 0; i < c->instr->n_in; i++) total += *(const double *)c->in[i];
  double norm = sqrt(total), scale = most / (norm + 1e-6);
  *(float *)c->out[0] = isfinite(norm) ? (float)(scale < 1 ? scale : 1) : NAN; // then nothing is updated
  *(float *)c->out[1] = (float)norm;
}

const xlm_kernel XLM_KERNEL(clip_scale) = {.op = "clip_scale", .run = run};
