// attend_bwd: FlashAttention's backward pass (Dao, "FlashAttention-2", 2023). The probabilities P are computed again from
// the logsumexp; with dS = P (dOut V^T - rowsum(dOut Out)): dV = P^T dOut, dK = dS^T Q, dQ = dS K.
//
// One kernel has tiles of keys and goes along the queries that see them (dK, dV), a second has tiles of queries and goes
// along the keys that they see (dQ): scores are computed twice, and no two blocks add to one place. Before them, two
// numbers are prepared per query (attend_sums). Sums run in ascending order: over (head, query tile), over key tiles.
//
// Here in f32 for everything (attend_simt_priv.h, attend_pairs_priv.h); attend_bwd_tensor.cu has the variant on tensor cores,
// attend_cudnn.cu cuDNN's.
#include "ops/cuda/attend_pairs_priv.h"
#include "ops/cuda/attend_run_priv.h"

enum { Q, K, V };

static __device__ __forceinline__ void put_pairs(simt_room &room, const simt_pairs &x) {
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < PER; j++) room.pairs[simt_col(j)][simt_row(i)] = x[i][j];
}

template <int N>
static __device__ __forceinline__ void store_gradient(const attend_shape &s, const attend_view &v, const attend_item &it,
                                                      const attend_rows &rows, const simt_sums<N> &sum, float scale,
                                                      int64_t features) {
  float factor[PER];
  for (int i = 0; i < PER; i++) factor[i] = scale;
  simt_store<N>(simt_tile_of(s, v, it.batch, it.head, rows), sum, factor, it.feature, features);
}

template <int N>
__global__ void __launch_bounds__(SIMT_THREADS) attend_keys_simt(const __grid_constant__ attend_bwd_args a, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(item, attend_widest(&s), attend_tiles(s.keys), s.kv_heads, N * SIMT_SIDE);
    attend_rows keys = attend_key_tile(&s, it.tile);
    int64_t end = attend_first_head(&s, it.head + 1);
    simt_sums<N> dk = {}, dv = {};
    for (int64_t h = attend_first_head(&s, it.head); h < end; h++) {
      attend_here here = attend_here_of(s, a.t, it.batch, h);
      attend_range seeing = attend_find_queries(s, a.t, here, keys);
      for (int64_t tile = seeing.begin; tile < seeing.end; tile++) {
        attend_rows q = attend_query_tile(&s, tile);
        simt_pairs x, y;
        if (!find_pairs<true, true>(a, here, room, it.batch, h, q, keys, x, y)) continue;
        put_pairs(room, x);
        simt_add<N>(room, dv, simt_tile_of(s, a.dout, it.batch, h, q), it.feature, s.v_features);
        __syncthreads(); // the probabilities are read no more
        put_pairs(room, y);
        simt_add<N>(room, dk, simt_tile_of(s, a.q, it.batch, h, q), it.feature, s.features);
      }
    }
    store_gradient<N>(s, a.dk, it, keys, dk, s.scale, s.features);
    store_gradient<N>(s, a.dv, it, keys, dv, 1, s.v_features);
  }
}

template <int N>
__global__ void __launch_bounds__(SIMT_THREADS) attend_queries_simt(const __grid_constant__ attend_bwd_args a, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = a.s;
  int64_t tiles = attend_query_tiles(&s);
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(item, s.features, tiles, s.heads, N * SIMT_SIDE);
    attend_rows q = attend_query_tile(&s, tiles - 1 - it.tile); // those that see most first
    attend_here here = attend_here_of(s, a.t, it.batch, it.head);
    attend_range seen = attend_find_keys(s, a.t, here, q);
    int64_t g = attend_key_head(&s, it.head);
    simt_sums<N> dq = {};
    for (int64_t tile = seen.begin; tile < seen.end; tile++) {
      attend_rows keys = attend_key_tile(&s, tile);
      simt_pairs x, y;
      if (!find_pairs<false, true>(a, here, room, it.batch, it.head, q, keys, x, y)) continue;
      put_pairs(room, y);
      simt_add<N>(room, dq, simt_tile_of(s, a.k, it.batch, g, keys), it.feature, s.features);
    }
    store_gradient<N>(s, a.dq, it, q, dq, s.scale, s.features);
  }
}

XLM_CUDA_RUN(attend_bwd) {
  if (c->variant == XLM_ATTEND_CUDNN) return xlm_cuda_attend_bwd_cudnn(c);
  attend_bwd_args a = attend_bwd_args_of(c);
  attend_view *out[] = {&a.dq, &a.dk, &a.dv};
  for (int i = Q; i <= V; i++) *out[i] = attend_view_of(c, c->out_type[i], c->out[i], i != Q);
  const attend_shape &s = a.s;
  void *stream = xlm_cuda_stream(c);
  bool tensor_core = c->variant == XLM_ATTEND_TENSOR_CORE;
  XLM_TRY((tensor_core ? attend_sum<8, 8>(c, a) : attend_sum<XLM_WARP, 1>(c, a)));
  if (tensor_core) return xlm_cuda_attend_bwd_tensor(c, a);
  return xlm_cuda_launched(c, simt_width(attend_widest(&s), [&](auto width) {
    constexpr int N = decltype(width)::value;
    int64_t keys = s.batches * s.kv_heads * attend_tiles(s.keys) * attend_parts(attend_widest(&s), N * SIMT_SIDE);
    int64_t queries = s.batches * s.heads * attend_query_tiles(&s) * attend_parts(s.features, N * SIMT_SIDE);
    xlm_launch_status done = {};
    if (keys) done = XLM_LAUNCH(attend_keys_simt<N>, xlm_cuda_blocks(keys, 1), SIMT_THREADS, 0, stream, a, keys);
    if (done || !queries) return done;
    return XLM_LAUNCH(attend_queries_simt<N>, xlm_cuda_blocks(queries, 1), SIMT_THREADS, 0, stream, a, queries);
  }));
}
