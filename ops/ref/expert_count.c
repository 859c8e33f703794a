// expert_count in float64.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_dim_info *experts = &c->dims[c->out_type[0]->dim[0]];
  int64_t n = xlm_call_elements(c, c->in_type[0]);
  for (int64_t i = 0; i < experts->size; i++) {
    ref_out(c, 0)[i] = 0;
    for (int64_t k = 0; k < n; k++) ref_out(c, 0)[i] += ((const int32_t *)c->in[0])[k] == i + experts->offset;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_expert_count = {.op = XLM_OP_EXPERT_COUNT, .run = run};
