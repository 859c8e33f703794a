// attend over caches, in decoding: a warp per query goes along the keys that it sees in the order of their places, those of
// the caches and then those given, with the running maximum and sum of attend.cu. In f32, for all types and orders.
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/attend_simt_priv.h"

enum { Q, K, V, PER_LANE = 8, PART = PER_LANE * XLM_WARP }; // features of values that a lane has, and a warp

struct cached_args {
  attend_args a;
  attend_view past_k, past_v;
  attend_term start;
  int64_t ring; // places of a cache
};

static __device__ __forceinline__ float element(const attend_view &v, int64_t at) {
  return v.bf16 ? to_float(((const bf16 *)v.data)[at]) : ((const float *)v.data)[at];
}

struct running {
  float most, sum, out[PER_LANE];
};

// Key and value at these elements, of place p, for query i at place `own`.
static __device__ __forceinline__ void take_key(const cached_args &x, const attend_here &here, const attend_view &k,
                                                int64_t k_at, const attend_view &v, int64_t v_at, int64_t q_at, int64_t i,
                                                int64_t own, int64_t p, int64_t first, running &r) {
  const attend_shape &s = x.a.s;
  int lane = (int)threadIdx.x % XLM_WARP;
  float product = 0, score = 0, keep;
  for (int64_t f = lane; f < s.features; f += XLM_WARP)
    product += element(x.a.q, q_at + f * x.a.q.feature) * element(k, k_at + f * k.feature);
  for (int d = XLM_WARP / 2; d; d >>= 1) product += __shfl_xor_sync(XLM_ALL_LANES, product, d);
  attend_capped(s, [&](auto capped) { score = attend_score(s, capped, product); });
  if (x.a.t.any) {
    attend_rows query = {i, own, 1}, key = {p, p, 1};
    score += attend_added(x.a.t, here, query, key, 0, 0);
  }
  if (score == -INFINITY) return;
  r.most = attend_raise(r.most, score, &keep);
  float power = exp2f(score - r.most);
  r.sum = r.sum * keep + power;
  for (int j = 0; j < PER_LANE; j++) {
    int64_t f = first + lane + j * XLM_WARP;
    if (f < s.v_features) r.out[j] = r.out[j] * keep + power * element(v, v_at + f * v.feature);
  }
}

__global__ void __launch_bounds__(XLM_BLOCK) attend_caches(const __grid_constant__ cached_args x, int64_t parts,
                                                           int64_t items) {
  const attend_shape &s = x.a.s;
  const int64_t per_block = XLM_BLOCK / XLM_WARP;
  int lane = (int)threadIdx.x % XLM_WARP;
  for (int64_t item = blockIdx.x * per_block + (int)threadIdx.x / XLM_WARP; item < items; item += gridDim.x * per_block) {
    int64_t rest = item, first = over_split(&rest, parts) * PART, i = over_split(&rest, s.queries);
    int64_t head = over_split(&rest, s.heads), batch = rest, g = attend_key_head(&s, head);
    attend_here here = attend_here_of(s, x.a.t, batch, head);
    int64_t start = attend_id(x.start, attend_term_at(s, x.start, batch, 0)), own = start + i;
    int64_t begin = start > x.ring ? start - x.ring : 0, end = start + s.keys;
    if (here.prefix <= 0 && s.causal) {
      end = own + 1;
      if (s.window && own - s.window + 1 > begin) begin = own - s.window + 1;
    }
    int64_t q_at = attend_base(&s, &x.a.q, batch, head) + i * x.a.q.row;
    int64_t k_at = attend_base(&s, &x.a.k, batch, g), v_at = attend_base(&s, &x.a.v, batch, g);
    int64_t past_k_at = attend_base(&s, &x.past_k, batch, g), past_v_at = attend_base(&s, &x.past_v, batch, g);
    running r = {here.sink, here.sink > -INFINITY ? 1.0f : 0.0f, {}};
    for (int64_t p = begin; p < end; p++) {
      bool seen = !s.causal || p < here.prefix || (p <= own && (!s.window || p > own - s.window));
      if (!seen) continue;
      if (p < start)
        take_key(x, here, x.past_k, past_k_at + p % x.ring * x.past_k.row, x.past_v,
                 past_v_at + p % x.ring * x.past_v.row, q_at, i, own, p, first, r);
      else
        take_key(x, here, x.a.k, k_at + (p - start) * x.a.k.row, x.a.v, v_at + (p - start) * x.a.v.row, q_at, i, own, p,
                 first, r);
    }
    int64_t out_at = attend_base(&s, &x.a.out, batch, head) + i * x.a.out.row;
    for (int j = 0; j < PER_LANE; j++) {
      int64_t f = first + lane + j * XLM_WARP;
      if (f < s.v_features) simt_write(x.a.out, out_at + f * x.a.out.feature, r.sum == 0 ? 0.0f : r.out[j] / r.sum);
    }
    if (first == 0 && lane == 0)
      simt_write(x.a.lse, attend_base(&s, &x.a.lse, batch, head) + i * x.a.lse.row, attend_lse(r.most, r.sum));
  }
}

static attend_view cache_view(const xlm_call *c, xlm_operand what) {
  int at = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, what);
  attend_view v = attend_view_of(c, c->in_type[at], c->in[at], true);
  v.row = xlm_call_stride(c, c->in_type[at], xlm_call_dim(c, XLM_A_past, 0));
  return v;
}

xlm_status xlm_cuda_attend_caches(const xlm_call *c, const attend_args &a) {
  cached_args x;
  int start = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, XLM_OPERAND_START);
  x.a = a, x.ring = c->dims[xlm_call_dim(c, XLM_A_past, 0)].size;
  x.past_k = cache_view(c, XLM_OPERAND_PAST_K), x.past_v = cache_view(c, XLM_OPERAND_PAST_V);
  x.start = attend_term_of(c, c->in_type[start], c->in[start], false, false);
  int64_t parts = (a.s.v_features + PART - 1) / PART, items = a.s.batches * a.s.heads * a.s.queries * parts;
  return xlm_cuda_launched(c, XLM_LAUNCH(attend_caches, xlm_cuda_blocks(items, XLM_BLOCK / XLM_WARP), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), x, parts, items));
}
