// combine: every token gathers its rows (routing_run_priv.h). combine_bwd goes along the packed rows, a warp
// per row, and gives both gradients in one pass over dout and ys.
#include "ops/cuda/routing_run_priv.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP };

XLM_CUDA_RUN(combine) {
  return xlm_cuda_gather_choices(c, 1, 2);
} // ys, w, e -> out

struct spreading {
  int64_t rows, active, width;
  const int32_t *choice, *used;
  const void *w;
  void *dw;
  bool w_bf16;
  over_dims w_token;
  int64_t w_slot;
};

static __device__ __forceinline__ float read_weight(const spreading &s, int64_t at) {
  return s.w_bf16 ? to_float(((const bf16 *)s.w)[at]) : ((const float *)s.w)[at];
}

static __device__ __forceinline__ void write_weight(const spreading &s, int64_t at, float x) {
  if (s.w_bf16)
    ((bf16 *)s.dw)[at] = to_bf16(x);
  else
    ((float *)s.dw)[at] = x;
}

// Every choice has one row: those in use, and, behind them, those of choices whose expert is not here.
template <class T, class D, int V>
__global__ void __launch_bounds__(BLOCK) spread_tokens(const D *dout, const T *ys, T *dys, spreading s) {
  for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; row < s.rows;
       row += (int64_t)gridDim.x * WARPS) {
    int64_t choice = s.choice[row], token = choice / s.active;
    int64_t at = over_offset(&s.w_token, token) + choice % s.active * s.w_slot;
    bool some = row < *s.used;
    float weight = read_weight(s, at), sum = 0;
    for (int64_t i = (int64_t)(threadIdx.x % XLM_WARP) * V; i < s.width; i += XLM_WARP * V) {
      vec<T, V> to = {};
      if (some) {
        vec<D, V> d = load<V>(dout + token * s.width + i);
        vec<T, V> y = load<V>(ys + row * s.width + i);
        for (int k = 0; k < V; k++) {
          sum += to_float(d.at[k]) * to_float(y.at[k]);
          to.at[k] = from_float<T>(to_float(d.at[k]) * weight);
        }
      }
      store(dys + row * s.width + i, to);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % XLM_WARP == 0) write_weight(s, at, sum);
  }
}

template <class T, class D, int V> static xlm_status launch(const xlm_call *c, const spreading &s) {
  return xlm_cuda_launched(c, XLM_LAUNCH((spread_tokens<T, D, V>), xlm_cuda_blocks(s.rows, WARPS), BLOCK, 0,
                                         xlm_cuda_stream(c), (const D *)c->in[0], (const T *)c->in[1],
                                         (T *)c->out[0], s));
}

XLM_CUDA_RUN(combine_bwd) { // dout, ys, w, e -> dys, dw
  const xlm_type *ys = c->in_type[1], *w = c->in_type[2];
  xlm_cuda_routing r;
  XLM_TRY(xlm_cuda_route(c, 3, NULL, &r));
  spreading s = {};
  s.rows = r.choices, s.active = r.active, s.width = xlm_call_inner(c, ys, 1);
  s.choice = r.choice, s.used = r.used;
  s.w = c->in[2], s.dw = c->out[1], s.w_bf16 = w->dtype == XLM_BF16;
  s.w_token = xlm_cuda_places(c, w, r.token_dims.dim, r.token_dims.rank);
  s.w_slot = xlm_call_stride(c, w, r.slot_dim);
  if (!s.rows) return XLM_OK;
  bool aligned =
      xlm_cuda_aligned(c->in[0], 16) && xlm_cuda_aligned(c->in[1], 16) && xlm_cuda_aligned(c->out[0], 16);
  return xlm_cuda_float(ys->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_float(c->in_type[0]->dtype, [&](auto d) {
      using D = decltype(d);
      constexpr int V = sizeof(T) == sizeof(D) ? pack<T>::n : 4;
      return aligned && s.width % V == 0 ? launch<T, D, V>(c, s) : launch<T, D, 1>(c, s);
    });
  });
}
