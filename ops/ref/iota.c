// iota, the reference.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_dim_info *d = &c->dims[c->out_type[0]->dim[0]];
  for (int64_t i = 0; i < d->size; i++) ((int32_t *)c->out[0])[i] = (int32_t)xlm_dim_global(d, i);
  return XLM_OK;
}

const xlm_kernel xlm_ref_iota = {.op = XLM_OP_IOTA, .run = run};
