// linear_attend_bwd: see ops/linear_attend.c, and linear_attend_chunks.cu for all but the gradient to
// log_decay, which has a kernel here; for decays per channel linear_attend_channels.cu. Scores and products
// with states are computed again by each of the four results: no two blocks add to one place, and nothing but
// the states is stored.
#include "ops/cuda/linear_attend_run_priv.h"
#include "ops/cuda/linear_attend_tile_priv.h"

enum { Q, K, V, DOUT, DECAY, DDECAY = 3 };

typedef struct decay_args {
  linear_shape s;
  linear_view q, k, v, dout, decay, out;
  const float *states, *ahead;
  int64_t first, entries;
} decay_args;

template <class P> struct decay_room {
  typename P::tile left, right;
  float of_pairs[LINEAR_TILE][LINEAR_TILE + 1]; // [later][earlier]; also a product with a state, row by row
  linear_decay decay;
  double net[LINEAR_TILE];     // of paths that end at each position, less those of the chunk that begin there
  double left_by[LINEAR_TILE]; // of paths that begin at each position and leave the chunk
  block_scratch through;
};

// sum = left . right of all pairs of a chunk's positions.
template <class P>
static __device__ __forceinline__ void
find_pairs(decay_room<P> &room, linear_sums &sum, const linear_view &left, int64_t left_at,
           const linear_view &right, int64_t right_at, int rows, int64_t features) {
  for (int64_t f = 0; f < features; f += LINEAR_TILE) {
    int n = linear_clamp(features - f);
    __syncthreads(); // the last tiles are read no more
    linear_load(room.left, linear_piece_of(left, left_at + f * left.vector, rows, n), NULL);
    linear_load(room.right, linear_piece_of(right, right_at + f * right.vector, rows, n), NULL);
    __syncthreads(); // the tiles are there
    P::template multiply<false, true>(sum, room.left, room.right, n);
  }
}

// For position threadIdx.x: its key . state . its value, without decay. keys, values: what stands there of
// the chunk.
template <class P>
static __device__ __forceinline__ double
through_state(decay_room<P> &room, const linear_shape &s, const linear_view &keys, int64_t key_at,
              const linear_view &values, int64_t value_at, const float *states, int rows) {
  double total = 0;
  for (int64_t v = 0; v < s.values; v += LINEAR_TILE) {
    int n = linear_clamp(s.values - v);
    linear_sums sum = {};
    for (int64_t k = 0; k < s.keys; k += LINEAR_TILE) {
      int m = linear_clamp(s.keys - k);
      __syncthreads(); // the last tiles are read no more
      linear_load(room.left, linear_piece_of(keys, key_at + k * keys.vector, rows, m), NULL);
      linear_load(room.right, linear_piece_of_state(s, states, k, v), NULL);
      __syncthreads(); // the tiles are there
      P::template multiply<false, false>(sum, room.left, room.right, m);
    }
    __syncthreads(); // the last products are read no more
    linear_each([&](int e) {
      int row = P::row(e), column = P::column(e);
      bool there = row < rows && column < n;
      int64_t at = value_at + row * values.step + (v + column) * values.vector;
      room.of_pairs[row][column] = there ? sum[e] * linear_read_one(values, at) : 0.0f;
    });
    __syncthreads(); // the products are there
    if (threadIdx.x < LINEAR_TILE)
      for (int i = 0; i < n; i++) total += room.of_pairs[threadIdx.x][i];
  }
  return total;
}

static __device__ __forceinline__ float product_of_states(const float *a, const float *b, int64_t size,
                                                          block_scratch &room) {
  float sum = 0;
  for (int64_t i = (int)threadIdx.x; i < size; i += LINEAR_THREADS) sum += a[i] * b[i];
  return block_sum(sum, room);
}

// Of pairs within the chunk, for position threadIdx.x: as the later one, less as the earlier one.
template <class P> static __device__ __forceinline__ double net_of_pairs(const decay_room<P> &room) {
  double net = 0;
  int t = (int)threadIdx.x;
  for (int i = 0; i < t; i++) net += room.of_pairs[t][i];
  for (int i = t + 1; i < LINEAR_TILE; i++) net -= room.of_pairs[i][t];
  return net;
}

// A position's gradient is the sum of all paths that begin before it and end at it or later.
template <class P>
__global__ void __launch_bounds__(LINEAR_THREADS)
    linear_decay_bwd(const __grid_constant__ decay_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(decay_room<P>, room);
  const linear_shape &s = a.s;
  int t = (int)threadIdx.x;
  bool mine = t < LINEAR_TILE;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, 1, s.chunks, s.heads);
    int64_t entry = a.first + it.slot;
    int rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE);
    const float *before = linear_state(s, a.states, it.slot, it.head, it.chunk, false);
    const float *after = linear_state(s, a.ahead, it.slot, it.head, it.chunk, true);
    auto place = [&](const linear_view &v) { return linear_place(v, entry, it.head, it.chunk); };
    int64_t q = place(a.q), k = place(a.k), v = place(a.v), dout = place(a.dout), out = place(a.out);
    const linear_decay &decay = room->decay;
    linear_decays(room->decay, a.decay, place(a.decay), rows);
    linear_sums scores = {}, back = {};
    find_pairs<P>(*room, scores, a.q, q, a.k, k, rows, s.keys);
    find_pairs<P>(*room, back, a.dout, dout, a.v, v, rows, s.values);
    linear_each([&](int e) {
      int row = P::row(e), column = P::column(e);
      room->of_pairs[row][column] = scores[e] * back[e] * linear_weight(decay, column, row);
    });
    float through = before && after ? linear_whole(decay) *
                                          product_of_states(before, after, s.keys * s.values, room->through)
                                    : 0;
    __syncthreads(); // all pairs are there
    double net = mine ? net_of_pairs<P>(*room) : 0, left = 0;
    if (before) {
      double entered = through_state<P>(*room, s, a.q, q, a.dout, dout, before, rows);
      if (mine) net += decay.from_start[t] * entered;
    }
    if (after) {
      double leaves = through_state<P>(*room, s, a.k, k, a.v, v, after, rows);
      if (mine) left = decay.to_end[t] * leaves;
    }
    if (mine) room->net[t] = net, room->left_by[t] = left;
    __syncthreads(); // all sums are there
    if (mine && t < rows) {
      double sum = through;
      for (int i = LINEAR_TILE - 1; i >= t; i--) sum += room->net[i];
      for (int i = 0; i < t; i++) sum += room->left_by[i];
      linear_write(a.out, out + t * a.out.step, (float)sum);
    }
  }
}

static xlm_status decays(const xlm_call *c, const decay_args &a) {
  int64_t items = a.entries * a.s.heads * a.s.chunks;
  return linear_by(c, [&](auto p) {
    using P = decltype(p);
    xlm_launch_status bad = XLM_ALLOW_SHARED(linear_decay_bwd<P>, sizeof(decay_room<P>));
    if (!bad && items)
      bad = XLM_LAUNCH(linear_decay_bwd<P>, xlm_cuda_blocks(items, 1), LINEAR_THREADS, sizeof(decay_room<P>),
                       xlm_cuda_stream(c), a, items);
    return xlm_cuda_launched(c, bad);
  });
}

static xlm_status channels(const xlm_call *c, const linear_shape &s, const linear_view *in,
                           const linear_view *out, const linear_scratch &w, int64_t first, int64_t n) {
  linear_channel_rows_args dv = {s, in[Q], in[K], in[DOUT], in[DECAY], out[V], true, w.ahead, first, n};
  linear_channel_keys_args keys = {s,      in[Q],       in[K],    in[V],   in[DOUT], in[DECAY], out[Q],
                                   out[K], out[DDECAY], w.states, w.ahead, first,    n};
  XLM_TRY(xlm_cuda_linear_channel_rows(c, dv));
  return xlm_cuda_linear_channel_keys(c, keys);
}

XLM_CUDA_RUN(linear_attend_bwd) {
  linear_shape s = linear_shape_of(c, DECAY);
  linear_scratch w = linear_scratch_of(c->workspace, &s, true);
  linear_view in[DECAY + 1] = {}, out[DDECAY + 1] = {};
  for (int i = 0; i < c->instr->n_in; i++) in[i] = linear_view_of(c, c->in_type[i], c->in[i]);
  for (int i = 0; i < c->instr->n_out; i++) out[i] = linear_view_of(c, c->out_type[i], c->out[i]);
  const linear_view &q = in[Q], &k = in[K], &v = in[V], &dout = in[DOUT], &decay = in[DECAY];
  return linear_passes(s, [&](int64_t first, int64_t n) {
    linear_states_args before = {s, k, v, decay, false, w.states, w.whole, first, n};
    linear_states_args after = {s, q, dout, decay, true, w.ahead, w.whole, first, n};
    linear_rows_args dq = {s, dout, v, k, out[Q], decay, false, true, w.states, first, n, s.values, s.keys};
    linear_rows_args dk = {s, v, dout, q, out[K], decay, true, true, w.ahead, first, n, s.values, s.keys};
    linear_rows_args dv = {s, k, q, dout, out[V], decay, true, false, w.ahead, first, n, s.keys, s.values};
    XLM_TRY(xlm_cuda_linear_states(c, before));
    XLM_TRY(xlm_cuda_linear_states(c, after));
    if (s.channels) return channels(c, s, in, out, w, first, n);
    XLM_TRY(xlm_cuda_linear_rows(c, dq));
    XLM_TRY(xlm_cuda_linear_rows(c, dk));
    XLM_TRY(xlm_cuda_linear_rows(c, dv));
    if (!out[DDECAY].data) return XLM_OK;
    decay_args d = {s, q, k, v, dout, decay, out[DDECAY], w.states, w.ahead, first, n};
    return decays(c, d);
  });
}
