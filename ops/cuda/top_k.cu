// top_k: a warp per token; k times the lanes look for the largest that comes after the last one found, larger
// values first and of equal ones the lower index. What is not a number counts as the smallest. The values are
// in the cache after the first round. x is [a, experts, b], the results are [a, b, active].
//
// top_k_bwd: a thread per element of the result looks whether its token chose it.
#include "ops/cuda/cuda.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP };

struct choice {
  float value;
  int32_t index;
};

static __device__ __forceinline__ bool comes_before(choice a, choice b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

static __device__ __forceinline__ choice first_of_warp(choice best) {
  for (int d = XLM_WARP / 2; d; d >>= 1) {
    choice other = {__shfl_xor_sync(XLM_ALL_LANES, best.value, d),
                    __shfl_xor_sync(XLM_ALL_LANES, best.index, d)};
    if (comes_before(other, best)) best = other;
  }
  return best;
}

struct top_shape {
  int64_t tokens, experts, k, b;
};

template <class T>
__global__ void __launch_bounds__(BLOCK) choose(const T *x, T *y, int32_t *index, top_shape s) {
  for (int64_t token = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; token < s.tokens;
       token += (int64_t)gridDim.x * WARPS) {
    const T *row = x + token / s.b * s.experts * s.b + token % s.b;
    choice last = {INFINITY, -1};
    for (int64_t k = 0; k < s.k; k++) {
      choice best = {-INFINITY, INT32_MAX};
      for (int64_t i = threadIdx.x % XLM_WARP; i < s.experts; i += XLM_WARP) {
        float v = to_float(row[i * s.b]);
        choice here = {v == v ? v : -INFINITY, (int32_t)i};
        if (comes_before(last, here) && comes_before(here, best)) best = here;
      }
      last = first_of_warp(best);
      if (threadIdx.x % XLM_WARP == 0) {
        index[token * s.k + k] = last.index;
        y[token * s.k + k] = row[last.index * s.b];
      }
    }
  }
}

XLM_CUDA_RUN(top_k) {
  const xlm_type *t = c->in_type[0];
  int at = xlm_type_find(t, xlm_call_dim(c, XLM_A_experts, 0));
  top_shape s = {0, xlm_call_size(c, t, at), c->dims[xlm_call_dim(c, XLM_A_active, 0)].size, xlm_call_inner(c, t, at)};
  s.tokens = xlm_call_outer(c, t, at) * s.b;
  if (!s.tokens) return XLM_OK;
  return xlm_cuda_float(t->dtype, [&](auto x) {
    using T = decltype(x);
    return xlm_cuda_launched(c, XLM_LAUNCH(choose<T>, xlm_cuda_blocks(s.tokens, WARPS), BLOCK, 0,
                                           xlm_cuda_stream(c), (const T *)c->in[0], (T *)c->out[0],
                                           (int32_t *)c->out[1], s));
  });
}

template <class T>
__global__ void __launch_bounds__(BLOCK) scatter(const T *dy, const int32_t *index, T *dx, top_shape s) {
  for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < s.tokens * s.experts;
       i += (int64_t)gridDim.x * BLOCK) {
    int64_t token = i / s.experts, expert = i - token * s.experts;
    T mine = from_float<T>(0);
    for (int64_t k = 0; k < s.k; k++)
      if (index[token * s.k + k] == expert) mine = dy[token * s.k + k];
    dx[i] = mine;
  }
}

XLM_CUDA_RUN(top_k_bwd) { // dy, index [tokens, k] -> dx [tokens, experts]
  top_shape s = {0, c->dims[xlm_call_dim(c, XLM_A_experts, 0)].size, c->dims[xlm_call_dim(c, XLM_A_active, 0)].size, 1};
  s.tokens = s.k ? xlm_call_elements(c, c->in_type[0]) / s.k : 0;
  if (!s.tokens || !s.experts) return XLM_OK;
  return xlm_cuda_float(c->out_type[0]->dtype, [&](auto x) {
    using T = decltype(x);
    return xlm_cuda_launched(c, XLM_LAUNCH(scatter<T>, xlm_cuda_blocks(s.tokens * s.experts, BLOCK), BLOCK, 0,
                                           xlm_cuda_stream(c), (const T *)c->in[0], (const int32_t *)c->in[1],
                                           (T *)c->out[0], s));
  });
}
