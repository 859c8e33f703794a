// Linear attention with a decay for each channel of the keys: states, and rows of results.
// ops/linear_attend.c has the formulas and the parts of a chunk. All is in f32 by single threads. Within a
// part the decay from one position to the next is multiplied step by step.
#include "ops/cuda/linear_attend_columns_priv.h"

typedef linear_simt P;

// ---- states

struct channel_states_room {
  channel_tile keys, values;
  channel_parts log; // of the decay of each part
};

__global__ void __launch_bounds__(LINEAR_THREADS)
    linear_channel_states(const __grid_constant__ linear_states_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(channel_states_room, room);
  const linear_shape &s = a.s;
  int64_t across = linear_tiles(s.values), parts = linear_tiles(s.keys) * across;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, parts, s.links, s.heads);
    int64_t link = it.chunk, chunk = a.back ? link + 1 : link, unit = it.slot * s.heads + it.head,
            entry = a.first + it.slot;
    int64_t key0 = it.part / across * LINEAR_TILE, value0 = it.part % across * LINEAR_TILE;
    int rows = linear_clamp(s.steps - chunk * LINEAR_TILE);
    int keys = linear_clamp(s.keys - key0), values = linear_clamp(s.values - value0);
    column_place c = column_of(rows, keys);
    float log[PART], key[PART], before = 0, after = 0;
    float all =
        read_decays(log, c, a.decay, linear_place(a.decay, entry, it.head, chunk) + key0 * a.decay.vector);
    read_column(key, c, a.keys, linear_place(a.keys, entry, it.head, chunk) + key0 * a.keys.vector);
    int64_t value_at = linear_place(a.values, entry, it.head, chunk) + value0 * a.values.vector;
    __syncthreads(); // the last tiles are read no more
    room->log[c.part][c.channel] = all;
    linear_load(room->values, linear_piece_of(a.values, value_at, rows, values), NULL);
    __syncthreads(); // the decays of all parts are there
    for (int part = 0; part < c.part; part++) before += room->log[part][c.channel];
    for (int part = c.part + 1; part < PARTS; part++) after += room->log[part][c.channel];
    if (!value0 && !c.part && c.channel < keys)
      a.whole[(unit * s.chunks + chunk) * s.keys + key0 + c.channel] = exp2f(all + after);
    if (a.back)
      by_from(key, log, before);
    else
      by_to(key, log, after);
    put_column(room->keys, c, key);
    __syncthreads(); // the keys by their decays are there
    linear_sums sum = {};
    P::multiply<true, false>(sum, room->keys, room->values, rows);
    float *to = a.states + (unit * s.links + link) * s.keys * s.values + key0 * s.values + value0;
    linear_each([&](int e) {
      if (P::row(e) < keys && P::column(e) < values) to[P::row(e) * s.values + P::column(e)] = sum[e];
    });
  }
}

xlm_status xlm_cuda_linear_channel_states(const xlm_call *c, const linear_states_args &a, int64_t items) {
  return xlm_cuda_launched(c, XLM_LAUNCH(linear_channel_states, xlm_cuda_blocks(items, 1), LINEAR_THREADS,
                                         sizeof(channel_states_room), xlm_cuda_stream(c), a, items));
}

// ---- rows of results: y, dv

struct channel_rows_room {
  channel_tile q, k,
      step; // in the end q: weights, k: values; step: the decay of each position, then the state
  channel_parts whole;
};

// The weights within parts, as sums over a quarter of the channels: thread (part, s, quarter) has those of
// the key s and all queries of its part.
struct own_place {
  int part, s, quarter;
};
static __device__ __forceinline__ own_place own_of() {
  int i = (int)threadIdx.x;
  return {i / LINEAR_TILE, i / 4 % PART, i % 4};
}

static __device__ __forceinline__ void add_own_weights(float (&own)[PART], const channel_rows_room &room) {
  own_place p = own_of();
  const auto *q = room.q + p.part * PART, *k = room.k + p.part * PART, *step = room.step + p.part * PART;
  XLM_UNROLL(4) for (int i = p.quarter; i < LINEAR_TILE; i += 4) {
    float key = k[p.s][i], moved = 0;
    XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
      moved = t < p.s ? 0.0f : t == p.s ? key : moved * step[t][i];
      own[t] += q[t][i] * moved;
    }
  }
}

// The weights between parts, of queries and keys by the decays within theirs: what lies in between is
// multiplied on the way to later parts.
static __device__ __forceinline__ void add_weights(linear_sums &sum, const channel_rows_room &room, int n) {
  for (int i = 0; i < n; i++) XLM_UNROLL(PARTS) for (int b = 0; b < PARTS; b++) {
      float key = room.k[P::column(b)][i];
      XLM_UNROLL(PARTS) for (int a = b + 1; a < PARTS; a++) {
        sum[4 * a + b] += room.q[P::row(4 * a)][i] * key;
        key *= room.whole[a][i];
      }
    }
}

static __device__ __forceinline__ void put_weights(channel_tile &to, const linear_sums &sum,
                                                   const float (&own)[PART]) {
  own_place p = own_of();
  linear_each([&](int e) {
    if (e / 4 != e % 4) to[P::row(e)][P::column(e)] = e / 4 > e % 4 ? sum[e] : 0.0f;
  });
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    float x = own[t] + __shfl_xor_sync(XLM_ALL_LANES, own[t], 1);
    x += __shfl_xor_sync(XLM_ALL_LANES, x, 2);
    if (t % 4 == p.quarter) to[p.part * PART + t][p.part * PART + p.s] = t >= p.s ? x : 0.0f;
  }
}

// Channels from key0 on are added to the weights, and to sum what they give with the state.
static __device__ __forceinline__ void add_channels(channel_rows_room &room,
                                                    const linear_channel_rows_args &a, const linear_item &it,
                                                    int64_t key0, linear_sums &sum, linear_sums &weights,
                                                    float (&own)[PART]) {
  const linear_shape &s = a.s;
  int64_t entry = a.first + it.slot;
  int rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE), n = linear_clamp(s.keys - key0);
  auto place = [&](const linear_view &v) {
    return linear_place(v, entry, it.head, it.chunk) + key0 * v.vector;
  };
  const float *states = linear_state(s, a.states, it.slot, it.head, it.chunk, a.back);
  column_place c = column_of(rows, n);
  float log[PART], q[PART], k[PART], whole = exp2f(read_decays(log, c, a.decay, place(a.decay)));
  read_column(q, c, a.q, place(a.q));
  read_column(k, c, a.k, place(a.k));
  __syncthreads(); // the last tiles are read no more
  put_column(room.q, c, q);
  put_column(room.k, c, k);
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) room.step[c.row(t)][c.channel] = exp2f(log[t]);
  room.whole[c.part][c.channel] = whole;
  __syncthreads(); // queries, keys and decays are there
  add_own_weights(own, room);
  __syncthreads(); // they are read no more as they were
  by_from(q, log, 0);
  by_to(k, log, 0);
  put_column(room.q, c, q);
  put_column(room.k, c, k);
  if (states) linear_load(room.step, linear_piece_of_state(s, states, key0, it.part * LINEAR_TILE), NULL);
  __syncthreads(); // queries and keys by their decays, and the state, are there
  add_weights(weights, room, n);
  if (!states) return;
  float by = 1;
  for (int part = a.back ? c.part + 1 : 0; part < (a.back ? (int)PARTS : c.part); part++)
    by *= room.whole[part][c.channel];
  __syncthreads(); // the weights are done
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    if (a.back)
      room.k[c.row(t)][c.channel] = k[t] * by;
    else
      room.q[c.row(t)][c.channel] = q[t] * by;
  }
  __syncthreads(); // the decays of the chunk are in
  P::multiply<false, false>(sum, a.back ? room.k : room.q, room.step, n);
}

__global__ void __launch_bounds__(LINEAR_THREADS)
    linear_channel_rows(const __grid_constant__ linear_channel_rows_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(channel_rows_room, room);
  const linear_shape &s = a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, linear_tiles(s.values), s.chunks, s.heads);
    int64_t entry = a.first + it.slot, first = it.part * LINEAR_TILE;
    int rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE), width = linear_clamp(s.values - first);
    linear_sums sum = {}, weights = {};
    float own[PART] = {};
    for (int64_t key0 = 0; key0 < s.keys; key0 += LINEAR_TILE)
      add_channels(*room, a, it, key0, sum, weights, own);
    __syncthreads(); // the last products are done
    put_weights(room->q, weights, own);
    int64_t values = linear_place(a.values, entry, it.head, it.chunk) + first * a.values.vector;
    linear_load(room->k, linear_piece_of(a.values, values, rows, width), NULL);
    __syncthreads(); // the weights and the values are there
    if (a.back)
      P::multiply<true, false>(sum, room->q, room->k, rows);
    else
      P::multiply<false, false>(sum, room->q, room->k, rows);
    int64_t to = linear_place(a.out, entry, it.head, it.chunk) + first * a.out.vector;
    linear_each([&](int e) {
      int row = P::row(e), column = P::column(e);
      if (row < rows && column < width)
        linear_write(a.out, to + row * a.out.step + column * a.out.vector, sum[e]);
    });
  }
}

xlm_status xlm_cuda_linear_channel_rows(const xlm_call *c, const linear_channel_rows_args &a) {
  int64_t items = a.entries * a.s.heads * a.s.chunks * linear_tiles(a.s.values);
  xlm_launch_status bad = XLM_ALLOW_SHARED(linear_channel_rows, sizeof(channel_rows_room));
  if (!bad && items)
    bad = XLM_LAUNCH(linear_channel_rows, xlm_cuda_blocks(items, 1), LINEAR_THREADS,
                     sizeof(channel_rows_room), xlm_cuda_stream(c), a, items);
  return xlm_cuda_launched(c, bad);
}
