// slice: a strided copy (copy.cu) from `start`. pad: one of the whole result, zero outside the operand's window.
#include "ops/cuda/copy_priv.h"

static int64_t start_of(const xlm_call *c) { return xlm_attr_int(&c->instr->attrs, XLM_A_start, 0); }

XLM_CUDA_RUN(slice) {
  const xlm_type *x = c->in_type[0], *y = c->out_type[0];
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0);
  copy_shape s = xlm_cuda_copy_between(c, x, y, from, xlm_call_dim(c, XLM_A_to, 0));
  s.from_at = start_of(c) * xlm_call_stride(c, x, from);
  return xlm_cuda_copy_strided(c, s, c->in[0], c->out[0], xlm_dtype_bytes(y->dtype));
}

XLM_CUDA_RUN(pad) {
  const xlm_type *x = c->in_type[0], *y = c->out_type[0];
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  copy_shape s = xlm_cuda_copy_between(c, x, y, from, to);
  s.window = xlm_cuda_copy_position(c, y, to);
  s.begin = start_of(c), s.end = s.begin + c->dims[from].size;
  s.size[s.window] = c->dims[to].size;
  s.from_at = -s.begin * xlm_call_stride(c, x, from);
  return xlm_cuda_copy_strided(c, s, c->in[0], c->out[0], xlm_dtype_bytes(y->dtype));
}
