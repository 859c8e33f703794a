// concat: one strided copy (copy.cu) per operand, which may each store their dims in their own order.
#include "ops/cuda/copy_priv.h"

XLM_CUDA_RUN(concat) {
  const xlm_type *y = c->out_type[0];
  xlm_dim to = xlm_call_dim(c, XLM_A_to, 0);
  int64_t start = 0;
  for (int i = 0; i < c->instr->n_in; i++) {
    xlm_dim from = xlm_call_dim(c, XLM_A_from, i);
    copy_shape s = xlm_cuda_copy_between(c, c->in_type[i], y, from, to);
    s.to_at = start * xlm_call_stride(c, y, to);
    xlm_status done = xlm_cuda_copy_strided(c, s, c->in[i], c->out[0], xlm_dtype_bytes(y->dtype));
    if (done != XLM_OK) return done;
    start += c->dims[from].size;
  }
  return XLM_OK;
}
