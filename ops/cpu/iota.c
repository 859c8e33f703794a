// iota on CPUs. A dimension that is split from both ends consists of two runs.
#include "ops/cpu/kernel_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_dim_info *d = &c->dims[c->out_type[0]->dim[0]];
  int32_t *y = c->out[0];
  int64_t first = d->size - d->tail;
  for (int64_t i = 0; i < first; i++) y[i] = (int32_t)(d->offset + i);
  for (int64_t i = 0; i < d->tail; i++) y[first + i] = (int32_t)(d->tail_offset + i);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(iota) = {.op = XLM_OP_IOTA, .run = run};
