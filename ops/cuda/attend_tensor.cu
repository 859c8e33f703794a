// attend on tensor cores; the algorithm is that of attend.cu, whose blocks have the same tiles. While a warp computes
// scores, the tile of values arrives, and while it adds values, the next tile of keys.
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/attend_tensor_priv.h"

template <int D> struct attend_room {
  tensor_row<D> q[ATTEND_TILE], k[ATTEND_TILE], v[ATTEND_TILE];
};

typedef tensor_sums<ATTEND_TILE> pairs;

struct running { // of the thread's two queries: the largest score so far, and its own part of the sum of powers
  float most[2], sum[2];
};

// Of the four threads that share a row.
static __device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(XLM_ALL_LANES, x, 1));
  return fmaxf(x, __shfl_xor_sync(XLM_ALL_LANES, x, 2));
}
static __device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(XLM_ALL_LANES, x, 1);
  return x + __shfl_xor_sync(XLM_ALL_LANES, x, 2);
}

// Products become scores; of keys that a query does not see -infinity.
template <bool terms>
static __device__ __forceinline__ void find_scores(const attend_args &a, const attend_here &here, const attend_band &band,
                                                   const attend_rows &q, const attend_rows &k, pairs &x) {
  const attend_shape &s = a.s;
  attend_capped(s, [&](auto capped) {
    tensor_each<ATTEND_TILE>([&](int n, int e) { x.at[n][e] = attend_score(s, capped, x.at[n][e]); });
  });
  if constexpr (terms) {
    tensor_each<ATTEND_TILE>([&](int n, int e) {
      int row = tensor_row_of(e / 2), col = tensor_col(n, e % 2);
      if (attend_sees(&band, row, col)) x.at[n][e] += attend_added(a.t, here, q, k, row, col);
    });
  }
  if (attend_sees_all(&band)) return;
  tensor_each<ATTEND_TILE>([&](int n, int e) {
    if (!attend_sees(&band, tensor_row_of(e / 2), tensor_col(n, e % 2))) x.at[n][e] = -INFINITY;
  });
}

// Scores become their powers, relative to the largest; out is scaled accordingly.
template <int D> static __device__ __forceinline__ void soften(pairs &x, running &r, tensor_sums<D> &out) {
  for (int half = 0; half < 2; half++) {
    float now = -INFINITY, keep;
    XLM_UNROLL(ATTEND_TILE / 8) for (int n = 0; n < ATTEND_TILE / 8; n++)
        now = fmaxf(now, fmaxf(x.at[n][2 * half], x.at[n][2 * half + 1]));
    r.most[half] = attend_raise(r.most[half], row_max(now), &keep);
    float base = r.most[half] == -INFINITY ? 0.0f : r.most[half];
    r.sum[half] *= keep;
    XLM_UNROLL(ATTEND_TILE / 8) for (int n = 0; n < ATTEND_TILE / 8; n++) for (int e = 2 * half; e < 2 * half + 2; e++) {
      x.at[n][e] = exp2f(x.at[n][e] - base);
      r.sum[half] += x.at[n][e];
    }
    XLM_UNROLL(D / 8) for (int n = 0; n < D / 8; n++) out.at[n][2 * half] *= keep, out.at[n][2 * half + 1] *= keep;
  }
}

template <int D>
static __device__ __forceinline__ void write(const attend_args &a, const attend_item &it, const attend_rows &rows,
                                             const running &r, const tensor_sums<D> &out) {
  float *lse = (float *)a.lse.data + attend_base(&a.s, &a.lse, it.batch, it.head) + rows.row * a.lse.row;
  float factor[2];
  for (int half = 0; half < 2; half++) {
    float sum = row_sum(r.sum[half]);
    factor[half] = sum == 0 ? 0.0f : 1.0f / sum;
    if (tensor_col(0, 0) == 0 && tensor_row_of(half) < rows.n)
      lse[tensor_row_of(half) * a.lse.row] = attend_lse(r.most[half], sum);
  }
  tensor_store<D>(tensor_rows_of(a.s, a.out, it.batch, it.head, rows), out, factor, 0, a.s.v_features);
}

template <int D, bool terms> // terms: operands that change single scores
__global__ void __launch_bounds__(MMA_THREADS) attend_tensor(const __grid_constant__ attend_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(attend_room<D>, room);
  const attend_shape &s = a.s;
  int64_t tiles = attend_query_tiles(&s);
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(item, s.v_features, tiles, s.heads, D);
    attend_rows rows = attend_query_tile(&s, tiles - 1 - it.tile); // those that see most first
    attend_here here = attend_here_of(s, a.t, it.batch, it.head);
    if constexpr (!terms) here = {0, 0, 0, 0, 0, here.sink, 0};
    attend_range seen = terms ? attend_find_keys(s, a.t, here, rows) : attend_seen_keys(&s, &rows, 0);
    int64_t g = attend_key_head(&s, it.head);
    tensor_sums<D> out = {};
    float of_sink = here.sink > -INFINITY && tensor_col(0, 0) == 0;
    running r = {{here.sink, here.sink}, {of_sink, of_sink}};
    __syncthreads(); // the last item's tiles are read no more
    tensor_load<ATTEND_TILE>(room->q, tensor_rows_of(s, a.q, it.batch, it.head, rows), 0, s.features);
    attend_rows keys = attend_key_tile(&s, seen.begin);
    tensor_load<ATTEND_TILE>(room->k, tensor_rows_of(s, a.k, it.batch, g, keys), 0, s.features);
    copy_commit();
    for (int64_t tile = seen.begin; tile < seen.end; tile++) {
      attend_band band = attend_band_of(&s, &rows, &keys, here.prefix);
      copy_wait<0>();
      __syncthreads(); // the keys are there, the last values are read no more
      tensor_load<ATTEND_TILE>(room->v, tensor_rows_of(s, a.v, it.batch, g, keys), 0, s.v_features);
      copy_commit();
      pairs x;
      tensor_scores<ATTEND_TILE>(x, room->q, room->k, s.features);
      find_scores<terms>(a, here, band, rows, keys, x);
      soften<D>(x, r, out);
      copy_wait<0>();
      __syncthreads(); // the values are there, the keys are read no more
      keys = attend_key_tile(&s, tile + 1);
      if (tile + 1 < seen.end) tensor_load<ATTEND_TILE>(room->k, tensor_rows_of(s, a.k, it.batch, g, keys), 0, s.features);
      copy_commit();
      tensor_add<D>(out, x, room->v, 0, s.v_features);
    }
    copy_wait<0>();
    write<D>(a, it, rows, r, out);
  }
}

template <int D, bool terms> static xlm_launch_status launch(const xlm_call *c, const attend_args &a) {
  int64_t items = a.s.batches * a.s.heads * attend_query_tiles(&a.s);
  xlm_launch_status done = XLM_ALLOW_SHARED((attend_tensor<D, terms>), sizeof(attend_room<D>));
  if (done) return done;
  return XLM_LAUNCH((attend_tensor<D, terms>), xlm_cuda_blocks(items, 1), MMA_THREADS, sizeof(attend_room<D>),
                    xlm_cuda_stream(c), a, items);
}

xlm_status xlm_cuda_attend_tensor(const xlm_call *c, const attend_args &a) {
  return xlm_cuda_launched(c, tensor_width(attend_widest(&a.s), [&](auto width) {
    constexpr int D = decltype(width)::value;
    return a.t.any ? launch<D, true>(c, a) : launch<D, false>(c, a);
  }));
}
