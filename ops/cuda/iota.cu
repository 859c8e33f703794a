// iota: a thread per index. A dimension that is split from both ends consists of two runs.
#include "ops/cuda/cuda.h"

struct iota_shape {
  int64_t n, first, offset, tail_offset; // as xlm_dim_global
};

__global__ void __launch_bounds__(XLM_BLOCK) indices(int32_t *y, iota_shape s) {
  for (int64_t i = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; i < s.n; i += (int64_t)gridDim.x * XLM_BLOCK)
    y[i] = (int32_t)(i < s.first ? s.offset + i : s.tail_offset + (i - s.first));
}

XLM_CUDA_RUN(iota) {
  const xlm_dim_info *d = &c->dims[c->out_type[0]->dim[0]];
  iota_shape s = {d->size, d->size - d->tail, d->offset, d->tail_offset};
  if (!s.n) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH(indices, xlm_cuda_blocks(s.n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c), (int32_t *)c->out[0], s));
}
