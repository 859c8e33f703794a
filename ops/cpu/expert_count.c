// expert_count on the CPU. One worker suffices for the few choices.
#include "ops/cpu/places_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_dim_info *experts = &c->dims[c->out_type[0]->dim[0]];
  const int32_t *e = c->in[0];
  float *counts = c->out[0];
  int64_t n = xlm_call_elements(c, c->in_type[0]);
  memset(counts, 0, (size_t)experts->size * sizeof *counts);
  for (int64_t k = 0; k < n; k++) {
    int64_t i = e[k] - experts->offset;
    if (i >= 0 && i < experts->size) counts[i]++; // exact up to 2^24 per expert, more than a microbatch has
  }
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(expert_count) = {.op = XLM_OP_EXPERT_COUNT, .run = run};
