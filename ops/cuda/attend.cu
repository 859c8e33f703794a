// attend: FlashAttention's forward pass (Dao, "FlashAttention-2", 2023; online softmax by Milakov & Gimelshein). A block
// has a tile of queries of one head and goes along the tiles of keys that they see, in ascending order: scores, softmax
// against the running maximum, product with the values. Nothing quadratic in the sequence is stored.
//
// Here in f32 for everything (attend_simt_priv.h); attend_tensor.cu has the variant on tensor cores, attend_cudnn.cu cuDNN's.
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/attend_simt_priv.h"

enum { Q, K, V };

struct running { // of the thread's queries: the largest score so far, and its own part of the sum of powers
  float most[PER], sum[PER];
};

// Of the threads that share rows.
static __device__ __forceinline__ float row_max(float x) {
  for (int d = SIMT_SIDE / 2; d; d >>= 1) x = fmaxf(x, __shfl_xor_sync(XLM_ALL_LANES, x, d));
  return x;
}
static __device__ __forceinline__ float row_sum(float x) {
  for (int d = SIMT_SIDE / 2; d; d >>= 1) x += __shfl_xor_sync(XLM_ALL_LANES, x, d);
  return x;
}

// Products become scores.
static __device__ __forceinline__ void find_scores(const attend_args &a, const attend_here &here, const attend_band &band,
                                                   const attend_rows &q, const attend_rows &k, simt_pairs &x) {
  attend_capped(a.s, [&](auto capped) {
    for (int i = 0; i < PER; i++)
      for (int j = 0; j < PER; j++) x[i][j] = attend_score(a.s, capped, x[i][j]);
  });
  if (!a.t.any) return;
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < PER; j++)
      if (attend_sees(&band, simt_row(i), simt_col(j))) x[i][j] += attend_added(a.t, here, q, k, simt_row(i), simt_col(j));
}

// Scores become their powers, in room.pairs; keep[i]: what row i of the result is multiplied by before they count.
static __device__ __forceinline__ void soften(const attend_band &band, simt_room &room, simt_pairs &x, running &r,
                                              float (&keep)[PER]) {
  for (int i = 0; i < PER; i++) {
    float now = -INFINITY;
    for (int j = 0; j < PER; j++)
      if (attend_sees(&band, simt_row(i), simt_col(j))) now = fmaxf(now, x[i][j]);
    r.most[i] = attend_raise(r.most[i], row_max(now), &keep[i]);
    r.sum[i] *= keep[i];
    for (int j = 0; j < PER; j++) {
      bool seen = attend_sees(&band, simt_row(i), simt_col(j)) && x[i][j] != -INFINITY;
      float p = seen ? exp2f(x[i][j] - r.most[i]) : 0.0f;
      room.pairs[simt_col(j)][simt_row(i)] = p;
      r.sum[i] += p;
    }
  }
}

template <int N>
__global__ void __launch_bounds__(SIMT_THREADS) attend_simt(const __grid_constant__ attend_args a, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = a.s;
  int64_t tiles = attend_query_tiles(&s);
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(item, s.v_features, tiles, s.heads, N * SIMT_SIDE);
    attend_rows rows = attend_query_tile(&s, tiles - 1 - it.tile); // those that see most first
    attend_here here = attend_here_of(s, a.t, it.batch, it.head);
    attend_range seen = attend_find_keys(s, a.t, here, rows);
    simt_tile q = simt_tile_of(s, a.q, it.batch, it.head, rows);
    int64_t g = attend_key_head(&s, it.head);
    simt_sums<N> out = {};
    running r;
    for (int i = 0; i < PER; i++) r.most[i] = here.sink, r.sum[i] = here.sink > -INFINITY && simt_col(0) == 0;
    for (int64_t tile = seen.begin; tile < seen.end; tile++) {
      attend_rows keys = attend_key_tile(&s, tile);
      attend_band band = attend_band_of(&s, &rows, &keys, here.prefix);
      simt_pairs x;
      float keep[PER];
      simt_scores(room, x, q, simt_tile_of(s, a.k, it.batch, g, keys), s.features);
      find_scores(a, here, band, rows, keys, x);
      soften(band, room, x, r, keep);
      for (int i = 0; i < PER; i++)
        for (int j = 0; j < N; j++) out[i][j] *= keep[i];
      simt_add<N>(room, out, simt_tile_of(s, a.v, it.batch, g, keys), it.feature, s.v_features);
    }
    simt_tile lse = simt_tile_of(s, a.lse, it.batch, it.head, rows);
    float factor[PER];
    for (int i = 0; i < PER; i++) {
      float sum = row_sum(r.sum[i]);
      factor[i] = sum == 0 ? 0.0f : 1.0f / sum;
      if (it.feature == 0 && simt_col(0) == 0 && simt_row(i) < rows.n)
        simt_write(a.lse, lse.at + simt_row(i) * a.lse.row, attend_lse(r.most[i], sum));
    }
    simt_store<N>(simt_tile_of(s, a.out, it.batch, it.head, rows), out, factor, it.feature, s.v_features);
  }
}

XLM_CUDA_RUN(attend) {
  if (c->variant == XLM_ATTEND_CUDNN) return xlm_cuda_attend_cudnn(c);
  attend_args a;
  a.s = attend_shape_of(c), a.t = attend_terms_of(c);
  a.q = attend_view_of(c, c->in_type[Q], c->in[Q], false);
  a.k = attend_view_of(c, c->in_type[K], c->in[K], true);
  a.v = attend_view_of(c, c->in_type[V], c->in[V], true);
  a.out = attend_view_of(c, c->out_type[0], c->out[0], false);
  a.lse = attend_view_of(c, c->out_type[1], c->out[1], false);
  if (!a.s.batches || !a.s.heads || !a.s.queries) return XLM_OK;
  if (xlm_call_dim(c, XLM_A_past, 0)) return xlm_cuda_attend_caches(c, a);
  if (c->variant == XLM_ATTEND_TENSOR_CORE) return xlm_cuda_attend_tensor(c, a);
  return xlm_cuda_launched(c, simt_width(a.s.v_features, [&](auto width) {
    constexpr int N = decltype(width)::value;
    int64_t items = a.s.batches * a.s.heads * attend_query_tiles(&a.s) * attend_parts(a.s.v_features, N * SIMT_SIDE);
    return XLM_LAUNCH(attend_simt<N>, xlm_cuda_blocks(items, 1), SIMT_THREADS, 0, xlm_cuda_stream(c), a, items);
  }));
}
