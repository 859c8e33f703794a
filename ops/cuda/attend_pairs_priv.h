// What attend_bwd and attend_bias_bwd share: the operands, two numbers per query, and the probabilities of a tile of queries
// and a tile of keys with the gradients of their scores, in f32.
#ifndef XLM_CUDA_ATTEND_PAIRS_PRIV_H
#define XLM_CUDA_ATTEND_PAIRS_PRIV_H

#include "ops/cuda/attend_simt_priv.h"

static inline attend_bwd_args attend_bwd_args_of(const xlm_call *c) { // but for the results
  enum { Q, K, V, OUT, LSE, DOUT };
  attend_bwd_args a;
  memset(&a, 0, sizeof a);
  a.s = attend_shape_of(c), a.t = attend_terms_of(c), a.sums = (attend_sums *)c->workspace;
  attend_view *in[] = {&a.q, &a.k, &a.v, &a.out, &a.lse, &a.dout};
  for (int i = Q; i <= DOUT; i++) *in[i] = attend_view_of(c, c->in_type[i], c->in[i], i == K || i == V);
  int dlse = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, XLM_OPERAND_DLSE);
  if (dlse >= 0) a.dlse = attend_view_of(c, c->in_type[dlse], c->in[dlse], false);
  return a;
}

// N neighbouring features; several: of bf16.
template <int N> static __device__ __forceinline__ float part_of_dot(const attend_bwd_args &a, int64_t out, int64_t dout) {
  if constexpr (N == 1) {
    return simt_read(a.out, out) * simt_read(a.dout, dout);
  } else {
    vec<bf16, N> x = load<N>((const bf16 *)a.out.data + out), y = load<N>((const bf16 *)a.dout.data + dout);
    float sum = 0;
    for (int i = 0; i < N; i++) sum += to_float(x.at[i]) * to_float(y.at[i]);
    return sum;
  }
}

// TEAM threads per query, accesses of N elements.
template <int TEAM, int N>
__global__ void __launch_bounds__(XLM_BLOCK) attend_sum_queries(const __grid_constant__ attend_bwd_args a) {
  const attend_shape &s = a.s;
  const float log2e = 1.44269504088896341f;
  const int64_t each = XLM_BLOCK / TEAM, n = s.batches * s.heads * s.queries;
  for (int64_t first = blockIdx.x * each; first < n; first += gridDim.x * each) {
    int64_t i = first + threadIdx.x / TEAM, batch = i < n ? i : n - 1;
    int64_t row = over_split(&batch, s.queries), head = over_split(&batch, s.heads);
    int64_t out = attend_base(&s, &a.out, batch, head) + row * a.out.row;
    int64_t dout = attend_base(&s, &a.dout, batch, head) + row * a.dout.row;
    float sum = 0;
    for (int64_t f = threadIdx.x % TEAM * N; f < s.v_features; f += TEAM * N)
      sum += part_of_dot<N>(a, out + f * a.out.feature, dout + f * a.dout.feature);
    for (int d = TEAM / 2; d; d >>= 1) sum += __shfl_xor_sync(XLM_ALL_LANES, sum, d);
    if (threadIdx.x % TEAM || i >= n) continue;
    if (a.dlse.data) sum -= simt_read(a.dlse, attend_base(&s, &a.dlse, batch, head) + row * a.dlse.row);
    float lse = simt_read(a.lse, attend_base(&s, &a.lse, batch, head) + row * a.lse.row);
    a.sums[i] = {lse * log2e, sum};
  }
}

template <int TEAM, int N> static xlm_status attend_sum(const xlm_call *c, const attend_bwd_args &a) {
  int64_t n = a.s.batches * a.s.heads * a.s.queries;
  if (!n) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH((attend_sum_queries<TEAM, N>), xlm_cuda_blocks(n, XLM_BLOCK / TEAM), XLM_BLOCK, 0, xlm_cuda_stream(c), a));
}

// The products of a pair of tiles become probabilities and gradients of scores. of_keys: rows are keys, columns queries;
// inner: the gradients are those of scale * (q . k).
template <bool of_keys, bool inner>
static __device__ __forceinline__ void differentiate(const attend_bwd_args &a, const attend_here &here, const attend_band &band,
                                                     const attend_sums *sums, const attend_rows &q, const attend_rows &k,
                                                     simt_pairs &x, simt_pairs &y) {
  attend_capped(a.s, [&](auto capped) {
    for (int i = 0; i < PER; i++)
      for (int j = 0; j < PER; j++) {
        int query = of_keys ? simt_col(j) : simt_row(i), key = of_keys ? simt_row(i) : simt_col(j);
        attend_pair p = {0, 0, 0};
        if (attend_sees(&band, query, key)) {
          float added = a.t.any ? attend_added(a.t, here, q, k, query, key) : 0.0f;
          p = attend_gradient(a.s, capped, x[i][j], added, y[i][j], sums[query]);
        }
        x[i][j] = p.p, y[i][j] = inner ? p.ds : p.dscore;
      }
  });
}

// Two tiles of one head, as rows and columns; false: nothing is seen.
template <bool of_keys, bool inner>
static __device__ __forceinline__ bool find_pairs(const attend_bwd_args &a, const attend_here &here, simt_room &room,
                                                  int64_t batch, int64_t head, const attend_rows &q, const attend_rows &k,
                                                  simt_pairs &x, simt_pairs &y) {
  const attend_shape &s = a.s;
  attend_band band = attend_band_of(&s, &q, &k, here.prefix);
  if (attend_sees_nothing(&band)) return false;
  int64_t g = attend_key_head(&s, head);
  simt_tile tq = simt_tile_of(s, a.q, batch, head, q), td = simt_tile_of(s, a.dout, batch, head, q);
  simt_tile tk = simt_tile_of(s, a.k, batch, g, k), tv = simt_tile_of(s, a.v, batch, g, k);
  simt_scores(room, x, of_keys ? tk : tq, of_keys ? tq : tk, s.features);
  simt_scores(room, y, of_keys ? tv : td, of_keys ? td : tv, s.v_features);
  differentiate<of_keys, inner>(a, here, band, a.sums + (batch * s.heads + head) * s.queries + q.row, q, k, x, y);
  return true;
}

#endif
