// row_ones: a thread per row that there is room for.
#include "ops/cuda/cuda.h"

template <class T> __global__ void __launch_bounds__(XLM_BLOCK) ones(T *y, int64_t n) {
  for (int64_t i = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; i < n; i += (int64_t)gridDim.x * XLM_BLOCK)
    y[i] = from_float<T>(1);
}

XLM_CUDA_RUN(row_ones) {
  int64_t n = xlm_call_elements(c, c->out_type[0]);
  if (!n) return XLM_OK;
  return xlm_cuda_float(c->out_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_launched(
        c, XLM_LAUNCH(ones<T>, xlm_cuda_blocks(n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c), (T *)c->out[0], n));
  });
}
