// attend_bwd on tensor cores; the algorithm is that of attend_bwd.cu. Its two kernels are one template: rows that stay,
// keys or queries, and columns that pass by. Each of the two tiles of columns is replaced as soon as it is read no more,
// while the products with the other run.
//
// Shared memory holds 4 tiles. For heads of more than 128 features the columns are half a tile, so that 99 KiB suffice on
// every card, and dk and dv, which must stay in registers, are computed 128 features at a time.
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/attend_tensor_priv.h"

template <int D> struct attend_bwd_room {
  static constexpr int N = D > 128 ? ATTEND_TILE / 2 : ATTEND_TILE;
  tensor_row<D> rows[2][ATTEND_TILE]; // keys and values, or queries and their gradients of the result
  tensor_row<D> cols[2][N];           // the others
};

// The columns that pass by a tile of rows: of the query heads [head, end), N of a tile at a time. Those of which nothing is
// seen are left out.
template <bool of_keys, bool terms, int N> struct passing {
  const attend_bwd_args &a;
  const attend_shape &s;
  const attend_rows &rows;
  attend_range tiles;
  int64_t batch, head, end, tile;
  int col0;
  attend_rows cols; // the tile
  attend_band band;
  attend_here here; // of the head

  __device__ __forceinline__ passing(const attend_bwd_args &args, const attend_rows &own, int64_t of_batch, int64_t of_head)
      : a(args), s(args.s), rows(own), batch(of_batch) {
    head = of_keys ? attend_first_head(&s, of_head) : of_head;
    end = of_keys ? attend_first_head(&s, of_head + 1) : of_head + 1;
    col0 = 0, cols = {}, band = {}, here = {};
    begin();
    find();
  }
  __device__ __forceinline__ void begin() { // a head
    if constexpr (terms) {
      here = attend_here_of(s, a.t, batch, head);
      tiles = of_keys ? attend_find_queries(s, a.t, here, rows) : attend_find_keys(s, a.t, here, rows);
    } else
      tiles = of_keys ? attend_seeing_queries(&s, &rows, 0) : attend_seen_keys(&s, &rows, 0);
    tile = tiles.begin;
  }
  __device__ __forceinline__ void find() { // from here on
    while (head < end) {
      for (; tile < tiles.end; tile++, col0 = 0) {
        cols = of_keys ? attend_query_tile(&s, tile) : attend_key_tile(&s, tile);
        band = attend_band_of(&s, &queries(), &keys(), here.prefix);
        if (col0 < cols.n && !attend_sees_nothing(&band)) return;
      }
      if (++head < end) begin();
    }
  }
  __device__ __forceinline__ const attend_rows &queries() const { return of_keys ? cols : rows; }
  __device__ __forceinline__ const attend_rows &keys() const { return of_keys ? rows : cols; }
  __device__ __forceinline__ bool some() const { return head < end; }
  __device__ __forceinline__ void next() { col0 += N, find(); }
  __device__ __forceinline__ int64_t query0() const { return head * s.queries + (of_keys ? cols : rows).row; }
  __device__ __forceinline__ int64_t col_head() const { return of_keys ? head : attend_key_head(&s, head); }
};

// The products of rows with columns from col0 on become probabilities and gradients of scores. sums: of the tile of queries.
template <bool of_keys, bool terms, int N>
static __device__ __forceinline__ void differentiate(const attend_bwd_args &a, const passing<of_keys, terms, N> &p,
                                                     const attend_sums *sums, tensor_sums<N> &x, tensor_sums<N> &y) {
  const attend_band &band = p.band;
  const int col0 = p.col0;
  auto sums_of = [&](int query) { return query < band.queries ? sums[query] : attend_sums{0, 0}; };
  attend_sums own[2] = {}; // of the two queries of a thread's rows, or of neighbouring columns
  for (int half = 0; half < 2 && !of_keys; half++) own[half] = sums_of(tensor_row_of(half));
  attend_capped(a.s, [&](auto capped) {
    tensor_each<N>([&](int n, int e) {
      if (of_keys && e < 2) own[e] = sums_of(col0 + tensor_col(n, e));
      float added = 0;
      if constexpr (terms) {
        int row = tensor_row_of(e / 2), col = col0 + tensor_col(n, e % 2), query = of_keys ? col : row, key = of_keys ? row : col;
        if (attend_sees(&band, query, key)) added = attend_added(a.t, p.here, p.queries(), p.keys(), query, key);
      }
      attend_pair pair = attend_gradient(a.s, capped, x.at[n][e], added, y.at[n][e], own[of_keys ? e % 2 : e / 2]);
      x.at[n][e] = pair.p, y.at[n][e] = pair.ds;
    });
  });
  if (attend_sees_all(&band)) return;
  tensor_each<N>([&](int n, int e) {
    int row = tensor_row_of(e / 2), col = col0 + tensor_col(n, e % 2);
    if (!attend_sees(&band, of_keys ? col : row, of_keys ? row : col)) x.at[n][e] = y.at[n][e] = 0;
  });
}

// Begins to copy the columns of v, if there are any.
template <bool of_keys, bool terms, int N, int D>
static __device__ __forceinline__ void load_cols(tensor_row<D> *to, const attend_view &v, int64_t features,
                                                 const passing<of_keys, terms, N> &p) {
  if (p.some()) tensor_load<N>(to, tensor_rows_of(p.s, v, p.batch, p.col_head(), p.cols), p.col0, features);
  copy_commit();
}

// of_keys: dk and dv of tiles of keys; else dq of tiles of queries. W features of them per block.
template <bool of_keys, bool terms, int D, int W>
__global__ void __launch_bounds__(MMA_THREADS) attend_bwd_tensor(const __grid_constant__ attend_bwd_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(attend_bwd_room<D>, room);
  constexpr int N = attend_bwd_room<D>::N;
  const attend_shape &s = a.s;
  const attend_view &row0 = of_keys ? a.k : a.q, &row1 = of_keys ? a.v : a.dout;
  const attend_view &col0 = of_keys ? a.q : a.k, &col1 = of_keys ? a.dout : a.v;
  int64_t tiles = of_keys ? attend_tiles(s.keys) : attend_query_tiles(&s);
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    attend_item it = attend_item_of(item, of_keys ? attend_widest(&s) : s.features, tiles, of_keys ? s.kv_heads : s.heads, W);
    attend_rows rows = of_keys ? attend_key_tile(&s, it.tile) : attend_query_tile(&s, tiles - 1 - it.tile); // long ones first
    passing<of_keys, terms, N> p(a, rows, it.batch, it.head);
    tensor_sums<W> dx = {}, dv = {}; // dx: dk or dq
    __syncthreads();                 // the last item's rows are read no more
    tensor_load<ATTEND_TILE>(room->rows[0], tensor_rows_of(s, row0, it.batch, it.head, rows), 0, s.features);
    tensor_load<ATTEND_TILE>(room->rows[1], tensor_rows_of(s, row1, it.batch, it.head, rows), 0, s.v_features);
    load_cols(room->cols[1], col1, s.v_features, p);
    load_cols(room->cols[0], col0, s.features, p);
    while (p.some()) {
      tensor_sums<N> x, y;
      copy_wait<1>();
      __syncthreads(); // the second columns are there
      tensor_scores<N>(y, room->rows[1], room->cols[1], s.v_features);
      copy_wait<0>();
      __syncthreads(); // the first columns are there
      tensor_scores<N>(x, room->rows[0], room->cols[0], s.features);
      differentiate(a, p, a.sums + it.batch * s.heads * s.queries + p.query0(), x, y);
      p.next();
      if (of_keys) tensor_add<W>(dv, x, room->cols[1], it.feature, s.v_features);
      __syncthreads(); // the second columns are read no more
      load_cols(room->cols[1], col1, s.v_features, p);
      tensor_add<W>(dx, y, room->cols[0], it.feature, s.features);
      __syncthreads(); // the first columns are read no more
      load_cols(room->cols[0], col0, s.features, p);
    }
    copy_wait<0>(); // if there was nothing to see
    const float scale[2] = {s.scale, s.scale}, one[2] = {1, 1};
    tensor_store<W>(tensor_rows_of(s, of_keys ? a.dk : a.dq, it.batch, it.head, rows), dx, scale, it.feature, s.features);
    if (of_keys) tensor_store<W>(tensor_rows_of(s, a.dv, it.batch, it.head, rows), dv, one, it.feature, s.v_features);
  }
}

template <bool of_keys, bool terms, int D, int W>
static xlm_launch_status launch(const xlm_call *c, const attend_bwd_args &a, int64_t tiles, int64_t heads, int64_t features) {
  int64_t items = a.s.batches * heads * tiles * attend_parts(features, W);
  if (!items) return {};
  xlm_launch_status done = XLM_ALLOW_SHARED((attend_bwd_tensor<of_keys, terms, D, W>), sizeof(attend_bwd_room<D>));
  if (done) return done;
  return XLM_LAUNCH((attend_bwd_tensor<of_keys, terms, D, W>), xlm_cuda_blocks(items, 1), MMA_THREADS,
                    sizeof(attend_bwd_room<D>), xlm_cuda_stream(c), a, items);
}

template <bool terms, int D> static xlm_launch_status launch_both(const xlm_call *c, const attend_bwd_args &a) {
  const attend_shape &s = a.s;
  xlm_launch_status done =
      launch<true, terms, D, D < 128 ? D : 128>(c, a, attend_tiles(s.keys), s.kv_heads, attend_widest(&s));
  return done ? done : launch<false, terms, D, D>(c, a, attend_query_tiles(&s), s.heads, s.features);
}

xlm_status xlm_cuda_attend_bwd_tensor(const xlm_call *c, const attend_bwd_args &a) {
  return xlm_cuda_launched(c, tensor_width(attend_widest(&a.s), [&](auto width) {
    constexpr int D = decltype(width)::value;
    return a.t.any ? launch_both<true, D>(c, a) : launch_both<false, D>(c, a);
  }));
}
