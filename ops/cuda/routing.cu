// See routing_run_priv.h. Tokens gather their rows: a warp per token and piece of the row, 16 bytes per lane,
// so that a sum has the order of the choices and needs no atomics.
#include "ops/cuda/routing_run_priv.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP };

struct choices_of {
  over_dims token;
  int64_t slot, active, n, experts, first; // slot: stride; first: global number of the first expert here
};

__global__ void __launch_bounds__(BLOCK) keys_of_choices(const int32_t *e, int32_t *key, choices_of s) {
  for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < s.n; i += (int64_t)gridDim.x * BLOCK) {
    int64_t expert = (int64_t)e[over_offset(&s.token, i / s.active) + i % s.active * s.slot] - s.first;
    key[i] = (int32_t)(expert >= 0 && expert < s.experts ? expert : s.experts);
  }
}

xlm_status xlm_cuda_route(const xlm_call *c, int e_operand, int32_t *offsets, xlm_cuda_routing *out) {
  const xlm_type *e = c->in_type[e_operand];
  const xlm_dim_info *experts = &c->dims[xlm_call_dim(c, XLM_A_experts, 0)];
  xlm_cuda_routing r = {};
  r.slot_dim = xlm_call_dim(c, XLM_A_active, 0);
  for (int i = 0; i < e->rank; i++)
    if (e->dim[i] != r.slot_dim) r.token_dims.dim[r.token_dims.rank++] = e->dim[i];
  r.choices = xlm_call_elements(c, e);
  r.active = c->dims[r.slot_dim].size;
  r.tokens = r.active ? r.choices / r.active : 0;
  xlm_cuda_routing_scratch w = xlm_cuda_routing_scratch_of(c->workspace, r.choices, experts->size);
  if (offsets) w.sort.first = offsets;
  choices_of s = {xlm_cuda_places(c, e, r.token_dims.dim, r.token_dims.rank),
                  xlm_call_stride(c, e, r.slot_dim),
                  r.active,
                  r.choices,
                  experts->size,
                  experts->offset};
  if (r.choices)
    XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(keys_of_choices, xlm_cuda_blocks(r.choices, BLOCK), BLOCK, 0,
                                            xlm_cuda_stream(c), (const int32_t *)c->in[e_operand],
                                            w.sort.key[0], s)));
  XLM_TRY(xlm_cuda_sort_run(c, w.sort, w.place));
  r.choice = xlm_cuda_sorted_index(&w.sort), r.place = w.place, r.used = w.sort.first + experts->size;
  *out = r;
  return XLM_OK;
}

struct gathering {
  int64_t tokens, active, width, pieces; // pieces: of a row, 32 lanes of V elements each
  const int32_t *place, *used;
  const void *w; // NULL: ones
  bool w_bf16;
  over_dims w_token;
  int64_t w_slot;
};

static __device__ __forceinline__ float weight_of(const gathering &g, int64_t token, int64_t slot) {
  if (!g.w) return 1;
  int64_t at = over_offset(&g.w_token, token) + slot * g.w_slot;
  return g.w_bf16 ? to_float(((const bf16 *)g.w)[at]) : ((const float *)g.w)[at];
}

template <class T, int V>
__global__ void __launch_bounds__(BLOCK) gather_tokens(const T *x, T *y, gathering g) {
  int64_t items = g.tokens * g.pieces;
  for (int64_t item = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; item < items;
       item += (int64_t)gridDim.x * WARPS) {
    int64_t token = item / g.pieces,
            column = ((item - token * g.pieces) * XLM_WARP + threadIdx.x % XLM_WARP) * V;
    if (column >= g.width) continue;
    float sum[V] = {};
    for (int64_t s = 0; s < g.active; s++) {
      int32_t row = g.place[token * g.active + s];
      if (row >= *g.used) continue;
      float weight = weight_of(g, token, s);
      vec<T, V> v = load<V>(x + row * g.width + column);
      for (int k = 0; k < V; k++) sum[k] += weight * to_float(v.at[k]);
    }
    vec<T, V> v;
    for (int k = 0; k < V; k++) v.at[k] = from_float<T>(sum[k]);
    store(y + token * g.width + column, v);
  }
}

template <class T, int V> static xlm_status launch_gather(const xlm_call *c, gathering g) {
  g.pieces = (g.width + XLM_WARP * V - 1) / (XLM_WARP * V);
  return xlm_cuda_launched(c,
                           XLM_LAUNCH((gather_tokens<T, V>), xlm_cuda_blocks(g.tokens * g.pieces, WARPS),
                                      BLOCK, 0, xlm_cuda_stream(c), (const T *)c->in[0], (T *)c->out[0], g));
}

xlm_status xlm_cuda_gather_choices(const xlm_call *c, int w_operand, int e_operand) {
  xlm_cuda_routing r;
  XLM_TRY(xlm_cuda_route(c, e_operand, NULL, &r));
  gathering g = {};
  g.tokens = r.tokens, g.active = r.active, g.width = xlm_call_inner(c, c->in_type[0], 1);
  g.place = r.place, g.used = r.used;
  if (w_operand >= 0) {
    const xlm_type *w = c->in_type[w_operand];
    g.w = c->in[w_operand], g.w_bf16 = w->dtype == XLM_BF16;
    g.w_token = xlm_cuda_places(c, w, r.token_dims.dim, r.token_dims.rank);
    g.w_slot = xlm_call_stride(c, w, r.slot_dim);
  }
  if (!g.tokens || !g.width) return XLM_OK;
  bool aligned = xlm_cuda_aligned(c->in[0], 16) && xlm_cuda_aligned(c->out[0], 16);
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    constexpr int V = pack<T>::n;
    return aligned && g.width % V == 0 ? launch_gather<T, V>(c, g) : launch_gather<T, 1>(c, g);
  });
}
