// norm_sq, the reference.
#include "ops/ref/ref_priv.h"

static void run(const xlm_call *c) {
  double sum = 0;
  for (int i = 0; i < c->instr->n_in; i++)
    for (int64_t k = 0; k < xlm_call_elements(c, c->in_type[i]); k++)
      sum += ref_in(c, i)[k] * ref_in(c, i)[k];
  *ref_out(c, 0) = sum;
}

const xlm_kernel xlm_ref_norm_sq = {.op = "norm_sq", .run = run};
