// attend_bias_bwd: the gradients of scores, recomputed as in attend_bwd, summed over the dimensions that the result lacks.
// A block has the elements of the result of one head, one batch entry, one tile of queries and one of keys, each if the
// result has that dimension, and goes in ascending order through all that is added to them. In f32.
#include "ops/cuda/attend_pairs_priv.h"

struct bias_args {
  attend_bwd_args a;
  attend_term out;
  int64_t heads, q_tiles, k_tiles; // those of the result
  bool queries, keys, distance;
};

struct bias_item {
  int64_t batch, head, q_tile, k_tile; // the first of each
  int64_t head_end, q_end, k_end;
};

static __device__ __forceinline__ bias_item item_of(const bias_args &b, int64_t i) {
  const attend_shape &s = b.a.s;
  bias_item x;
  x.k_tile = over_split(&i, b.k_tiles), x.q_tile = over_split(&i, b.q_tiles), x.head = over_split(&i, b.heads), x.batch = i;
  x.k_end = b.keys ? x.k_tile + 1 : attend_tiles(s.keys);
  x.q_end = b.queries ? x.q_tile + 1 : attend_query_tiles(&s);
  x.head_end = b.out.head ? x.head + 1 : s.heads;
  return x;
}

static __device__ __forceinline__ bool is_first(const bias_args &b, int64_t batch) { // of the entries that are added up
  const attend_shape &s = b.a.s;
  for (int i = s.n_batch - 1; i >= 0; i--)
    if (over_split(&batch, s.batch[i]) && !b.out.batch[i]) return false;
  return true;
}

static __device__ __forceinline__ void add_tiles(const bias_args &b, simt_room &room, int64_t batch, int64_t head,
                                                 int64_t q_tile, const bias_item &it, simt_pairs &sum) {
  const attend_bwd_args &a = b.a;
  attend_here here = attend_here_of(a.s, a.t, batch, head);
  attend_rows q = attend_query_tile(&a.s, q_tile);
  attend_range seen = attend_find_keys(a.s, a.t, here, q);
  int64_t end = min(seen.end, it.k_end);
  for (int64_t tile = max(seen.begin, it.k_tile); tile < end; tile++) {
    attend_rows k = attend_key_tile(&a.s, tile);
    simt_pairs x, y;
    if (!find_pairs<false, false>(a, here, room, batch, head, q, k, x, y)) continue;
    for (int i = 0; i < PER; i++)
      for (int j = 0; j < PER; j++)
        sum[i][j] += b.distance ? y[i][j] * (float)(k.at + simt_col(j) - q.at - simt_row(i)) : y[i][j];
  }
}

// The result's elements: sum over what it has no dimension for.
static __device__ __forceinline__ void write(const bias_args &b, simt_room &room, const bias_item &it, const simt_pairs &sum) {
  const attend_shape &s = b.a.s;
  attend_rows q = attend_query_tile(&s, it.q_tile), k = attend_key_tile(&s, it.k_tile);
  float *out = (float *)b.out.data + attend_term_at(s, b.out, it.batch, it.head);
  __syncthreads(); // what is in the room is read no more
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < PER; j++) room.pairs[simt_col(j)][simt_row(i)] = sum[i][j];
  __syncthreads(); // the sums are there
  int rows = b.queries ? q.n : 1, cols = b.keys ? k.n : 1;
  for (int e = (int)threadIdx.x; e < rows * cols; e += SIMT_THREADS) {
    int row = e / cols, col = e % cols;
    float x = 0;
    for (int i = b.queries ? row : 0; i < (b.queries ? row + 1 : ATTEND_TILE); i++)
      for (int j = b.keys ? col : 0; j < (b.keys ? col + 1 : ATTEND_TILE); j++) x += room.pairs[j][i];
    out[(b.queries ? q.row + row : 0) * b.out.query + (b.keys ? k.row + col : 0) * b.out.key] = x;
  }
}

__global__ void __launch_bounds__(SIMT_THREADS) attend_bias_simt(const __grid_constant__ bias_args b, int64_t items) {
  XLM_SHARED(simt_room, room);
  const attend_shape &s = b.a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    bias_item it = item_of(b, item);
    if (!is_first(b, it.batch)) continue;
    int64_t own = attend_term_at(s, b.out, it.batch, 0);
    simt_pairs sum = {};
    for (int64_t batch = it.batch; batch < s.batches; batch++) {
      if (attend_term_at(s, b.out, batch, 0) != own) continue;
      for (int64_t head = it.head; head < it.head_end; head++)
        for (int64_t tile = it.q_tile; tile < it.q_end; tile++) add_tiles(b, room, batch, head, tile, it, sum);
    }
    write(b, room, it, sum);
  }
}

XLM_CUDA_RUN(attend_bias_bwd) {
  const xlm_attrs *as = &c->instr->attrs;
  int64_t along = xlm_attr_int(as, XLM_A_along, 0);
  bias_args b;
  memset(&b, 0, sizeof b);
  b.a = attend_bwd_args_of(c);
  b.queries = along & 1, b.keys = along & 2, b.distance = xlm_attr_int(as, XLM_A_distance, 0);
  b.out = attend_term_of(c, c->out_type[0], c->out[0], b.queries, b.keys);
  b.heads = b.out.head ? b.a.s.heads : 1;
  b.q_tiles = b.queries ? attend_query_tiles(&b.a.s) : 1, b.k_tiles = b.keys ? attend_tiles(b.a.s.keys) : 1;
  int64_t items = b.a.s.batches * b.heads * b.q_tiles * b.k_tiles;
  if (!items) return XLM_OK;
  XLM_TRY((attend_sum<XLM_WARP, 1>(c, b.a)));
  return xlm_cuda_launched(
      c, XLM_LAUNCH(attend_bias_simt, xlm_cuda_blocks(items, 1), SIMT_THREADS, 0, xlm_cuda_stream(c), b, items));
}
