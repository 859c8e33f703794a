// cache_put and cache_rows: a thread per element of the rows. Where they lie follows from the operands, on the device.
#include "ops/cuda/cuda.h"
#include "runtime/device/cache.h"

template <class T>
__global__ void __launch_bounds__(XLM_BLOCK)
    put_rows(T *cache, const T *x, const int32_t *start, const int32_t *count, xlm_cache_shape s) {
  int64_t n = s.outer * s.rows * s.inner;
  for (int64_t e = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; e < n; e += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t f = e % s.inner, i = e / s.inner % s.rows, o = e / s.inner / s.rows;
    int64_t used = count[over_offset(&s.count, o)], place = start[over_offset(&s.start, o)] + i;
    if (used > s.rows) used = s.rows;
    if (i < used && i >= used - s.ring) cache[(o * s.ring + place % s.ring) * s.inner + f] = x[e];
  }
}

template <class T>
__global__ void __launch_bounds__(XLM_BLOCK)
    earlier_rows(T *y, const T *cache, const T *x, const int32_t *start, xlm_cache_shape s, int64_t by) {
  int64_t n = s.outer * s.rows * s.inner;
  for (int64_t e = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; e < n; e += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t f = e % s.inner, i = e / s.inner % s.rows, o = e / s.inner / s.rows;
    int64_t place = start[over_offset(&s.start, o)] + i - by;
    if (i >= by)
      y[e] = x[e - by * s.inner];
    else if (place >= 0)
      y[e] = cache[(o * s.ring + place % s.ring) * s.inner + f];
    else
      y[e] = T{};
  }
}

XLM_CUDA_RUN(cache_put) {
  xlm_cache_shape s = xlm_cache_shape_of(c, c->in_type[1], 2, 3);
  int64_t n = s.outer * s.rows * s.inner;
  if (!n) return XLM_OK;
  return xlm_cuda_typed(c->in_type[1]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_launched(
        c, XLM_LAUNCH(put_rows<T>, xlm_cuda_blocks(n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c), (T *)c->out[0],
                      (const T *)c->in[1], (const int32_t *)c->in[2], (const int32_t *)c->in[3], s));
  });
}

XLM_CUDA_RUN(cache_rows) {
  xlm_cache_shape s = xlm_cache_shape_of(c, c->out_type[0], 1, -1);
  int64_t n = s.outer * s.rows * s.inner, by = xlm_attr_int(&c->instr->attrs, XLM_A_start, 1);
  if (!n) return XLM_OK;
  return xlm_cuda_typed(c->out_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_launched(
        c, XLM_LAUNCH(earlier_rows<T>, xlm_cuda_blocks(n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c), (T *)c->out[0],
                      (const T *)c->in[0], (const T *)(c->instr->n_in > 2 ? c->in[2] : NULL),
                      (const int32_t *)c->in[1], s, by));
  });
}
