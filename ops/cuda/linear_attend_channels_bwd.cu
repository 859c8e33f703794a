// Linear attention with a decay for each channel of the keys: the gradients to queries, keys and decays. See
// linear_attend_channels.cu.
#include "ops/cuda/linear_attend_columns_priv.h"

typedef linear_simt P;

struct channel_keys_room {
  channel_tile left, right, back; // back: D, zero where s > t
  channel_parts whole;            // the decay of each part
  channel_parts net;              // q dq - k dk, summed over a part
  float through[LINEAR_TILE];     // <S', Z> of each channel
};

// Of one head and chunk: where its operands' tiles begin.
struct channel_head {
  int rows, channels;
  int64_t q, k, v, dout, decay, ddecay, key0;
  const float *before, *after, *next; // S and Z of the chunk, and S'; NULL: zero
};

static __device__ __forceinline__ channel_head head_of(const linear_channel_keys_args &a,
                                                       const linear_item &it) {
  const linear_shape &s = a.s;
  channel_head h;
  int64_t entry = a.first + it.slot;
  auto place = [&](const linear_view &v) { return linear_place(v, entry, it.head, it.chunk); };
  h.key0 = it.part * LINEAR_TILE;
  h.rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE), h.channels = linear_clamp(s.keys - h.key0);
  h.q = place(a.q) + h.key0 * a.q.vector, h.k = place(a.k) + h.key0 * a.k.vector;
  h.decay = place(a.decay) + h.key0 * a.decay.vector, h.ddecay = place(a.ddecay) + h.key0 * a.ddecay.vector;
  h.v = place(a.v), h.dout = place(a.dout);
  h.before = linear_state(s, a.states, it.slot, it.head, it.chunk, false);
  h.after = linear_state(s, a.ahead, it.slot, it.head, it.chunk, true);
  h.next = linear_state(s, a.states, it.slot, it.head, it.chunk + 1, false);
  return h;
}

// D into room.back; dq = S dy, dk = Z v.
static __device__ __forceinline__ void find_products(channel_keys_room &room,
                                                     const linear_channel_keys_args &a, const channel_head &h,
                                                     linear_sums &dq, linear_sums &dk) {
  linear_sums pairs = {};
  for (int64_t v = 0; v < a.s.values; v += LINEAR_TILE) {
    int n = linear_clamp(a.s.values - v);
    __syncthreads(); // the last tiles are read no more
    linear_load(room.left, linear_piece_of(a.dout, h.dout + v * a.dout.vector, h.rows, n), NULL);
    linear_load(room.right, linear_piece_of(a.v, h.v + v * a.v.vector, h.rows, n), NULL);
    if (h.before) linear_load(room.back, linear_piece_of_state(a.s, h.before, h.key0, v), NULL);
    __syncthreads(); // the tiles are there
    P::multiply<false, true>(pairs, room.left, room.right, n);
    if (h.before) P::multiply<false, true>(dq, room.left, room.back, n);
    if (!h.after) continue;
    __syncthreads(); // the state is read no more
    linear_load(room.back, linear_piece_of_state(a.s, h.after, h.key0, v), NULL);
    __syncthreads(); // its gradient is there
    P::multiply<false, true>(dk, room.right, room.back, n);
  }
  __syncthreads(); // the products are done
  linear_each([&](int e) {
    int row = P::row(e), column = P::column(e);
    room.back[row][column] = column <= row ? pairs[e] : 0.0f;
  });
}

// A thread's elements of rows of a part, each by the decay of its column along another part.
static __device__ __forceinline__ void decay_rows(linear_sums &sum, int part, const float *decays) {
  XLM_UNROLL(4) for (int j = 0; j < 4; j++) sum[4 * part + j] *= decays[P::column(j)];
}

// Adds pairs of different parts, of queries (left) and keys (right) by the decays within their parts; what
// lies in between is multiplied on the way.
static __device__ __forceinline__ void add_parts(const channel_keys_room &room, linear_sums &dq,
                                                 linear_sums &dk) {
  XLM_UNROLL(PARTS) for (int from = 0; from + 1 < PARTS; from++) {
    XLM_UNROLL(PARTS) for (int a = from + 1; a < PARTS; a++) decay_rows(dq, a, room.whole[from]);
    for (int s = from * PART; s < (from + 1) * PART; s++) {
      XLM_UNROLL(4) for (int j = 0; j < 4; j++) {
        float key = room.right[s][P::column(j)];
        XLM_UNROLL(PARTS)
        for (int a = from + 1; a < PARTS; a++) dq[4 * a + j] += room.back[P::row(4 * a)][s] * key;
      }
    }
  }
  XLM_UNROLL(PARTS) for (int from = PARTS - 1; from > 0; from--) {
    XLM_UNROLL(PARTS) for (int b = 0; b < from; b++) decay_rows(dk, b, room.whole[from]);
    for (int t = from * PART; t < (from + 1) * PART; t++) {
      XLM_UNROLL(4) for (int j = 0; j < 4; j++) {
        float query = room.left[t][P::column(j)];
        XLM_UNROLL(PARTS) for (int b = 0; b < from; b++) dk[4 * b + j] += room.back[t][P::row(4 * b)] * query;
      }
    }
  }
}

// Adds pairs s < t within the thread's part.
static __device__ __forceinline__ void add_own(const channel_keys_room &room, const column_place &c,
                                               const float (&q)[PART], const float (&k)[PART],
                                               const float (&log)[PART], float (&dq)[PART],
                                               float (&dk)[PART]) {
  float step[PART];
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) step[t] = exp2f(log[t]);
  XLM_UNROLL(PART) for (int s = 0; s < PART; s++) {
    float decay = 1;
    XLM_UNROLL(PART) for (int t = s + 1; t < PART; t++) {
      decay *= step[t];
      float by = decay * room.back[c.row(t)][c.row(s)];
      dq[t] += by * k[s], dk[s] += by * q[t];
    }
  }
}

static __device__ __forceinline__ void find_through(channel_keys_room &room, const linear_shape &s,
                                                    const channel_head &h) {
  int lane = (int)threadIdx.x % XLM_WARP;
  for (int i = (int)threadIdx.x / XLM_WARP; i < LINEAR_TILE; i += LINEAR_THREADS / XLM_WARP) {
    float sum = 0;
    int64_t at = (h.key0 + i) * s.values;
    if (h.next && h.after && i < h.channels)
      for (int64_t v = lane; v < s.values; v += XLM_WARP) sum += h.next[at + v] * h.after[at + v];
    sum = warp_sum(sum);
    if (!lane) room.through[i] = sum;
  }
}

// The gradient to log_decay of a column: of what ends at a position or later, less what begins there.
static __device__ __forceinline__ void put_decays(channel_keys_room &room, const linear_channel_keys_args &a,
                                                  const channel_head &h, const column_place &c,
                                                  float (&net)[PART]) {
  float sum = 0;
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) sum += net[t];
  room.net[c.part][c.channel] = sum;
  find_through(room, a.s, h);
  __syncthreads(); // the sums of all parts are there
  float later = room.through[c.channel];
  for (int part = c.part + 1; part < PARTS; part++) later += room.net[part][c.channel];
  XLM_UNROLL(PART) for (int t = PART - 1; t >= 0; t--) net[t] = later += net[t];
  write_column(net, c, a.ddecay, h.ddecay);
}

static __device__ __forceinline__ void add_head(channel_keys_room &room, const linear_channel_keys_args &a,
                                                const channel_head &h, float (&dq)[PART], float (&dk)[PART]) {
  column_place c = column_of(h.rows, h.channels);
  linear_sums queries = {}, keys = {};
  find_products(room, a, h, queries, keys);
  float log[PART], q[PART], k[PART], x[PART], y[PART];
  room.whole[c.part][c.channel] = exp2f(read_decays(log, c, a.decay, h.decay));
  read_column(q, c, a.q, h.q);
  read_column(k, c, a.k, h.k);
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) x[t] = q[t], y[t] = k[t];
  by_from(x, log, 0);
  by_to(y, log, 0);
  put_column(room.left, c, x);
  put_column(room.right, c, y);
  __syncthreads(); // D, queries and keys by their decays are there
  add_parts(room, queries, keys);
  __syncthreads(); // they are read no more
  linear_each([&](int e) {
    room.left[P::row(e)][P::column(e)] = queries[e];
    room.right[P::row(e)][P::column(e)] = keys[e];
  });
  __syncthreads(); // the gradients of all pairs of parts are there
  get_column(x, c, room.left);
  get_column(y, c, room.right);
  by_from(x, log, 0);
  by_to(y, log, 0);
  add_own(room, c, q, k, log, x, y);
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    float itself = room.back[c.row(t)][c.row(t)];
    dq[t] += x[t] + itself * k[t], dk[t] += y[t] + itself * q[t];
    x[t] = q[t] * x[t] - k[t] * y[t];
  }
  put_decays(room, a, h, c, x);
}

__global__ void __launch_bounds__(LINEAR_THREADS)
    linear_channel_keys(const __grid_constant__ linear_channel_keys_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(channel_keys_room, room);
  const linear_shape &s = a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, linear_tiles(s.keys), s.chunks, 1);
    float dq[PART] = {}, dk[PART] = {};
    for (it.head = 0; it.head < s.heads; it.head++) add_head(*room, a, head_of(a, it), dq, dk);
    int64_t entry = a.first + it.slot, key0 = it.part * LINEAR_TILE;
    column_place c = column_of(linear_clamp(s.steps - it.chunk * LINEAR_TILE), linear_clamp(s.keys - key0));
    write_column(dq, c, a.dq, linear_place(a.dq, entry, 0, it.chunk) + key0 * a.dq.vector);
    write_column(dk, c, a.dk, linear_place(a.dk, entry, 0, it.chunk) + key0 * a.dk.vector);
  }
}

xlm_status xlm_cuda_linear_channel_keys(const xlm_call *c, const linear_channel_keys_args &a) {
  int64_t items = a.entries * a.s.chunks * linear_tiles(a.s.keys);
  xlm_launch_status bad = XLM_ALLOW_SHARED(linear_channel_keys, sizeof(channel_keys_room));
  if (!bad && items)
    bad = XLM_LAUNCH(linear_channel_keys, xlm_cuda_blocks(items, 1), LINEAR_THREADS,
                     sizeof(channel_keys_room), xlm_cuda_stream(c), a, items);
  return xlm_cuda_launched(c, bad);
}
