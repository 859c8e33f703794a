// shift: a strided copy (copy.cu) onto itself, displaced, with zeros moving in.
#include "ops/cuda/copy_priv.h"

XLM_CUDA_RUN(shift) {
  const xlm_type *t = c->out_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  int64_t by = xlm_attr_int(&c->instr->attrs, XLM_A_start, 1), n = c->dims[seq].size;
  if (by > n) by = n;
  if (by < -n) by = -n;
  copy_shape s = xlm_cuda_copy_between(c, t, t, 0, 0);
  s.window = xlm_cuda_copy_position(c, t, seq);
  s.begin = by > 0 ? by : 0, s.end = by < 0 ? n + by : n;
  s.from_at = -by * xlm_call_stride(c, t, seq);
  return xlm_cuda_copy_strided(c, s, c->in[0], c->out[0], xlm_dtype_bytes(t->dtype));
}
