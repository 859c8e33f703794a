// softmax and its gradient, along any dims.
//
// Contiguous rows: a warp per row, or a block per row where rows are long; the row is read three times (largest, sum,
// result), from the caches after the first. Other rows: a thread per row, neighbouring threads on neighbouring elements.
#include "ops/cuda/cuda.h"

enum { BLOCK = XLM_BLOCK, WARPS = BLOCK / XLM_WARP, SHORT = 1024 };

template <class T, class Team>
__global__ void __launch_bounds__(BLOCK) softmax_rows(const T *x, T *y, int64_t count, int64_t len) {
  for (int64_t row = (int64_t)blockIdx.x * Team::per_block + Team::index(); row < count;
       row += (int64_t)gridDim.x * Team::per_block) {
    const T *from = x + row * len;
    T *to = y + row * len;
    float most = -INFINITY, sum = 0;
    for (int64_t i = Team::lane(); i < len; i += Team::size) most = fmaxf(most, to_float(from[i]));
    most = Team::most(most);
    for (int64_t i = Team::lane(); i < len; i += Team::size) sum += expf(to_float(from[i]) - most);
    float scale = 1.0f / Team::sum(sum);
    for (int64_t i = Team::lane(); i < len; i += Team::size)
      to[i] = from_float<T>(expf(to_float(from[i]) - most) * scale);
  }
}

template <class T>
__global__ void __launch_bounds__(BLOCK) softmax_strided(const T *x, T *y, const __grid_constant__ over_rows r) {
  for (int64_t row = (int64_t)blockIdx.x * BLOCK + threadIdx.x; row < r.count; row += (int64_t)gridDim.x * BLOCK) {
    int64_t base = over_offset(&r.outer, row);
    float most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < r.len; i++) most = fmaxf(most, to_float(x[base + over_offset(&r.inner, i)]));
    for (int64_t i = 0; i < r.len; i++) sum += expf(to_float(x[base + over_offset(&r.inner, i)]) - most);
    float scale = 1.0f / sum;
    for (int64_t i = 0; i < r.len; i++) {
      int64_t at = base + over_offset(&r.inner, i);
      y[at] = from_float<T>(expf(to_float(x[at]) - most) * scale);
    }
  }
}

// dx = y * (dy - sum(y * dy))
template <class T, class D, class Team>
__global__ void __launch_bounds__(BLOCK)
    softmax_bwd_rows(const T *y, const D *dy, T *dx, int64_t count, int64_t len) {
  for (int64_t row = (int64_t)blockIdx.x * Team::per_block + Team::index(); row < count;
       row += (int64_t)gridDim.x * Team::per_block) {
    int64_t base = row * len;
    float dot = 0;
    for (int64_t i = Team::lane(); i < len; i += Team::size)
      dot += to_float(y[base + i]) * to_float(dy[base + i]);
    dot = Team::sum(dot);
    for (int64_t i = Team::lane(); i < len; i += Team::size)
      dx[base + i] = from_float<T>(to_float(y[base + i]) * (to_float(dy[base + i]) - dot));
  }
}

template <class T, class D>
__global__ void __launch_bounds__(BLOCK) softmax_bwd_strided(const T *y, const D *dy, T *dx, const __grid_constant__ over_rows r) {
  for (int64_t row = (int64_t)blockIdx.x * BLOCK + threadIdx.x; row < r.count; row += (int64_t)gridDim.x * BLOCK) {
    int64_t base = over_offset(&r.outer, row);
    float dot = 0;
    for (int64_t i = 0; i < r.len; i++) {
      int64_t at = base + over_offset(&r.inner, i);
      dot += to_float(y[at]) * to_float(dy[at]);
    }
    for (int64_t i = 0; i < r.len; i++) {
      int64_t at = base + over_offset(&r.inner, i);
      dx[at] = from_float<T>(to_float(y[at]) * (to_float(dy[at]) - dot));
    }
  }
}

XLM_CUDA_RUN(softmax) {
  over_rows r = over_of(c, c->in_type[0]);
  if (!r.count || !r.len) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    const T *x = (const T *)c->in[0];
    T *y = (T *)c->out[0];
    void *stream = xlm_cuda_stream(c);
    if (!r.contiguous)
      return xlm_cuda_launched(c, XLM_LAUNCH(softmax_strided<T>, xlm_cuda_blocks(r.count, BLOCK), BLOCK, 0, stream, x, y, r));
    if (r.len <= SHORT)
      return xlm_cuda_launched(c, XLM_LAUNCH((softmax_rows<T, warp_team>), xlm_cuda_blocks(r.count, WARPS), BLOCK, 0,
                                             stream, x, y, r.count, r.len));
    return xlm_cuda_launched(c, XLM_LAUNCH((softmax_rows<T, block_team>), xlm_cuda_blocks(r.count, 1), BLOCK, 0, stream, x,
                                           y, r.count, r.len));
  });
}

XLM_CUDA_RUN(softmax_bwd) {
  over_rows r = over_of(c, c->in_type[0]);
  if (!r.count || !r.len) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_float(c->in_type[1]->dtype, [&](auto d) {
      using D = decltype(d);
      const T *y = (const T *)c->in[0];
      const D *dy = (const D *)c->in[1];
      T *dx = (T *)c->out[0];
      void *stream = xlm_cuda_stream(c);
      if (!r.contiguous)
        return xlm_cuda_launched(c, XLM_LAUNCH((softmax_bwd_strided<T, D>), xlm_cuda_blocks(r.count, BLOCK), BLOCK, 0,
                                               stream, y, dy, dx, r));
      if (r.len <= SHORT)
        return xlm_cuda_launched(c, XLM_LAUNCH((softmax_bwd_rows<T, D, warp_team>), xlm_cuda_blocks(r.count, WARPS), BLOCK,
                                               0, stream, y, dy, dx, r.count, r.len));
      return xlm_cuda_launched(c, XLM_LAUNCH((softmax_bwd_rows<T, D, block_team>), xlm_cuda_blocks(r.count, 1), BLOCK, 0,
                                             stream, y, dy, dx, r.count, r.len));
    });
  });
}
