// attend_bwd: FlashAttention's backward pass (Dao, "FlashAttention-2", 2023). The probabilities P are computed again from
// the logsumexp; with dS = P (dOut V^T - rowsum(dOut Out)): dV = P^T dOut, dK = dS^T Q, dQ = dS K.
//
// One kernel has tiles of keys and goes along the queries that see them (dK, dV), a second has tiles of queries and goes
// along the keys that they see (dQ): scores are computed twice, and no two blocks add to one place. Before them, two
// numbers are prepared per query (attend_sums). Sums run in ascending order: over (head, query tile), over key tiles.
//
// Here in f32 for everything (attend_simt_priv.h); attend_bwd_tensor.cu has the variant on tensor cores, attend_cudnn.cu
// cuDNN's.
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/attend_simt_priv.h"

enum { Q, K, V, OUT, LSE, DOUT, DLSE };

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
    for (int64_t f = threadIdx.x % TEAM * N; f < s.features; f += TEAM * N)
      sum += part_of_dot<N>(a, out + f * a.out.feature, dout + f * a.dout.feature);
    for (int d = TEAM / 2; d; d >>= 1) sum += __shfl_xor_sync(XLM_ALL_LANES, sum, d);
    if (threadIdx.x % TEAM || i >= n) continue;
    if (a.dlse.data) sum -= simt_read(a.dlse, attend_base(&s, &a.dlse, batch, head) + row * a.dlse.row);
    float lse = simt_read(a.lse, attend_base(&s, &a.lse, batch, head) + row * a.lse.row);
    a.sums[i] = {lse * log2e, sum};
  }
}

template <int TEAM, int N> static xlm_status sum_queries(const xlm_call *c, const attend_bwd_args &a) {
  int64_t n = a.s.batches * a.s.heads * a.s.queries;
  if (!n) return XLM_OK;
  return xlm_cuda_launched(c, XLM_LAUNCH((attend_sum_queries<TEAM, N>), xlm_cuda_blocks(n, XLM_BLOCK / TEAM), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), a));
}

// The products of a pair of tiles become probabilities and gradients of scores. of_keys: rows are keys, columns queries.
template <bool of_keys>
static __device__ __forceinline__ void differentiate(const attend_shape &s, const attend_band &band, const attend_sums *sums,
                                                     simt_pairs &x, simt_pairs &y) {
  attend_capped(s, [&](auto capped) {
    for (int i = 0; i < PER; i++)
      for (int j = 0; j < PER; j++) {
        int query = of_keys ? simt_col(j) : simt_row(i), key = of_keys ? simt_row(i) : simt_col(j);
        attend_pair p = {0, 0};
        if (attend_sees(&band, query, key)) p = attend_gradient(s, capped, x[i][j], y[i][j], sums[query]);
        x[i][j] = p.p, y[i][j] = p.ds;
      }
  });
}

static __device__ __forceinline__ void put_pairs(simt_room &room, const simt_pairs &x) {
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < PER; j++) room.pairs[simt_col(j)][simt_row(i)] = x[i][j];
}

// What the two kernels share: two tiles of one head, as rows and columns.
template <bool of_keys>
static __device__ __forceinline__ bool find_pairs(const attend_bwd_args &a, simt_room &room, int64_t batch, int64_t head,
                                                  const attend_rows &q, const attend_rows &k, simt_pairs &x, simt_pairs &y) {
  const attend_shape &s = a.s;
  attend_band band = attend_band_of(&s, &q, &k);
  if (attend_sees_nothing(&band)) return false;
  int64_t g = attend_key_head(&s, head);
  simt_tile tq = simt_tile_of(s, a.q, batch, head, q), td = simt_tile_of(s, a.dout, batch, head, q);
  simt_tile tk = simt_tile_of(s, a.k, batch, g, k), tv = simt_tile_of(s, a.v, batch, g, k);
  simt_scores(room, x, of_keys ? tk : tq, of_keys ? tq : tk, s.features);
  simt_scores(room, y, of_keys ? tv : td, of_keys ? td : tv, s.features);
  differentiate<of_keys>(s, band, a.sums + (batch * s.heads + head) * s.queries + q.row, x, y);
  return true;
}

template <int N>
static __device__ __forceinline__ void store_gradient(const attend_shape &s, const attend_view &v, const attend_item &it,
                                                      const attend_rows &rows, const simt_sums<N> &sum, float scale) {
  float factor[PER];
  for (int i = 0; i < PER; i++) factor[i] = scale;
  simt_store<N>(simt_tile_of(s, v, it.batch, it.head, rows), sum, factor, it.feature, s.features);
}

template <int N>
__global__ void __launch_bounds__(SIMT_THREADS) attend_keys_simt(const __grid_constant__ attend_bwd_args a, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(&s, item, attend_tiles(s.keys), s.kv_heads, N * SIMT_SIDE);
    attend_rows keys = attend_key_tile(&s, it.tile);
    attend_range seeing = attend_seeing_queries(&s, &keys);
    int64_t end = attend_first_head(&s, it.head + 1);
    simt_sums<N> dk = {}, dv = {};
    for (int64_t h = attend_first_head(&s, it.head); h < end; h++)
      for (int64_t tile = seeing.begin; tile < seeing.end; tile++) {
        attend_rows q = attend_query_tile(&s, tile);
        simt_pairs x, y;
        if (!find_pairs<true>(a, room, it.batch, h, q, keys, x, y)) continue;
        put_pairs(room, x);
        simt_add<N>(room, dv, simt_tile_of(s, a.dout, it.batch, h, q), it.feature, s.features);
        __syncthreads(); // the probabilities are read no more
        put_pairs(room, y);
        simt_add<N>(room, dk, simt_tile_of(s, a.q, it.batch, h, q), it.feature, s.features);
      }
    store_gradient<N>(s, a.dk, it, keys, dk, s.scale);
    store_gradient<N>(s, a.dv, it, keys, dv, 1);
  }
}

template <int N>
__global__ void __launch_bounds__(SIMT_THREADS) attend_queries_simt(const __grid_constant__ attend_bwd_args a, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = a.s;
  int64_t tiles = attend_query_tiles(&s);
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(&s, item, tiles, s.heads, N * SIMT_SIDE);
    attend_rows q = attend_query_tile(&s, tiles - 1 - it.tile); // those that see most first
    attend_range seen = attend_seen_keys(&s, &q);
    int64_t g = attend_key_head(&s, it.head);
    simt_sums<N> dq = {};
    for (int64_t tile = seen.begin; tile < seen.end; tile++) {
      attend_rows keys = attend_key_tile(&s, tile);
      simt_pairs x, y;
      if (!find_pairs<false>(a, room, it.batch, it.head, q, keys, x, y)) continue;
      put_pairs(room, y);
      simt_add<N>(room, dq, simt_tile_of(s, a.k, it.batch, g, keys), it.feature, s.features);
    }
    store_gradient<N>(s, a.dq, it, q, dq, s.scale);
  }
}

static attend_bwd_args args_of(const xlm_call *c) {
  attend_bwd_args a;
  memset(&a, 0, sizeof a);
  a.s = attend_shape_of(c), a.sums = (attend_sums *)c->workspace;
  attend_view *in[] = {&a.q, &a.k, &a.v, &a.out, &a.lse, &a.dout, &a.dlse}, *out[] = {&a.dq, &a.dk, &a.dv};
  for (int i = 0; i < c->instr->n_in; i++) *in[i] = attend_view_of(c, c->in_type[i], c->in[i], i == K || i == V);
  for (int i = Q; i <= V; i++) *out[i] = attend_view_of(c, c->out_type[i], c->out[i], i != Q);
  return a;
}

XLM_CUDA_RUN(attend_bwd) {
  if (c->variant == XLM_ATTEND_CUDNN) return xlm_cuda_attend_bwd_cudnn(c);
  attend_bwd_args a = args_of(c);
  const attend_shape &s = a.s;
  void *stream = xlm_cuda_stream(c);
  bool tensor_core = c->variant == XLM_ATTEND_TENSOR_CORE;
  XLM_TRY((tensor_core ? sum_queries<8, 8>(c, a) : sum_queries<XLM_WARP, 1>(c, a)));
  if (tensor_core) return xlm_cuda_attend_bwd_tensor(c, a);
  return xlm_cuda_launched(c, simt_width(s.features, [&](auto width) {
    constexpr int N = decltype(width)::value;
    int64_t parts = attend_parts(&s, N * SIMT_SIDE);
    int64_t keys = s.batches * s.kv_heads * attend_tiles(s.keys) * parts;
    int64_t queries = s.batches * s.heads * attend_query_tiles(&s) * parts;
    xlm_launch_status done = {};
    if (keys) done = XLM_LAUNCH(attend_keys_simt<N>, xlm_cuda_blocks(keys, 1), SIMT_THREADS, 0, stream, a, keys);
    if (done || !queries) return done;
    return XLM_LAUNCH(attend_queries_simt<N>, xlm_cuda_blocks(queries, 1), SIMT_THREADS, 0, stream, a, queries);
  }));
}
