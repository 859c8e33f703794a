// linear_attend_from and linear_attend_put, in decoding: a block has some columns of a head's state, a thread a column, and
// goes along the chunks that the rows are in. In f32 and with the formulas of ops/linear_attend.c, without tiles: a
// decay between two positions is the exponential of the sum of the logarithms between them, which has one sign.
#include "ops/cuda/linear_attend_run_priv.h"

enum { STATE, FROM_Q, PAST_K = 5, PAST_V, LOG, PAST_LOG };

struct from_operand { // of a chunk's places: those before `start` are in a ring
  linear_view own, past;
  int64_t ring; // 0: there is none
};

struct from_numbers { // one for each entry; NULL: there are none
  const int32_t *at;
  over_dims entry;
};

struct from_args {
  linear_shape s;
  linear_view q, out, state; // of the state: step is along keys, vector along values
  from_operand k, v, decay;
  from_numbers start, count;
  float *scratch; // [entry, head, keys, values]; NULL: the call has rows of one chunk, or updates the state
};

struct from_room {
  float weight[LINEAR_TILE]; // of each position of the chunk
};

struct from_head { // a head of an entry
  int64_t entry, head, start, end; // places [start, end) are the call's
};

static __device__ __forceinline__ int64_t from_base(const linear_view &v, const from_head &h) {
  return over_offset(&v.entry, h.entry) + over_offset(&v.head, h.head);
}

static __device__ __forceinline__ float from_read(const linear_view &v, int64_t at) {
  return v.bf16 ? to_float(((const bf16 *)v.data)[at]) : ((const float *)v.data)[at];
}

// Element i of the vector of a place.
static __device__ __forceinline__ float from_element(const from_operand &x, const from_head &h, int64_t place, int64_t i) {
  if (place < h.start && x.ring)
    return from_read(x.past, from_base(x.past, h) + place % x.ring * x.past.step + i * x.past.vector);
  return from_read(x.own, from_base(x.own, h) + (place - h.start) * x.own.step + i * x.own.vector);
}

// The decay of channel i after place `after`, up to `last`.
static __device__ float from_decay(const from_args &a, const from_head &h, int64_t after, int64_t last, int64_t i) {
  float sum = 0;
  for (int64_t p = after + 1; a.decay.own.data && p <= last; p++) sum += from_element(a.decay, h, p, i);
  return expf(sum);
}

struct from_state { // where a head's state is now; data NULL: it is zero
  float *data;
  int64_t step, vector;
};

// The state by the chunk that begins at `tile`, all of whose places are there.
static __device__ void from_advance(const from_args &a, const from_head &h, int64_t tile, int64_t column,
                                    from_room &room, from_state &now, const from_state &to) {
  for (int64_t i = 0; i < a.s.keys; i++) {
    for (int s = threadIdx.x; s < LINEAR_TILE; s += XLM_BLOCK)
      room.weight[s] = from_element(a.k, h, tile + s, i) * from_decay(a, h, tile + s, tile + LINEAR_TILE - 1, i);
    __syncthreads(); // the keys up to the chunk's end are there
    if (column < a.s.values) {
      float sum = now.data ? from_decay(a, h, tile - 1, tile + LINEAR_TILE - 1, i) *
                                 now.data[i * now.step + column * now.vector]
                           : 0;
      for (int s = 0; s < LINEAR_TILE; s++) sum += room.weight[s] * from_element(a.v, h, tile + s, column);
      to.data[i * to.step + column * to.vector] = sum;
    }
    __syncthreads(); // they are read no more
  }
  now = to;
}

// The weights of the places of a chunk for the query of place `own`: a warp has every eighth.
static __device__ void from_weights(const from_args &a, const from_head &h, int64_t tile, int64_t own, from_room &room) {
  int warp = threadIdx.x / XLM_WARP, lane = threadIdx.x % XLM_WARP;
  int64_t q = from_base(a.q, h) + (own - h.start) * a.q.step;
  for (int64_t p = tile + warp; p <= own; p += XLM_BLOCK / XLM_WARP) {
    float sum = 0, decay = a.s.channels ? 1 : from_decay(a, h, p, own, 0);
    for (int64_t i = lane; i < a.s.keys; i += XLM_WARP) {
      float product = from_read(a.q, q + i * a.q.vector) * from_element(a.k, h, p, i);
      sum += product * (a.s.channels ? from_decay(a, h, p, own, i) : decay);
    }
    for (int d = XLM_WARP / 2; d; d >>= 1) sum += __shfl_xor_sync(XLM_ALL_LANES, sum, d);
    if (lane == 0) room.weight[p - tile] = sum;
  }
}

static __device__ void from_row(const from_args &a, const from_head &h, int64_t tile, int64_t own, int64_t column,
                                from_room &room, float *query, const from_state &now) {
  int64_t q = from_base(a.q, h) + (own - h.start) * a.q.step;
  from_weights(a, h, tile, own, room);
  for (int64_t i = threadIdx.x; i < a.s.keys; i += XLM_BLOCK)
    query[i] = from_read(a.q, q + i * a.q.vector) * from_decay(a, h, tile - 1, own, i);
  __syncthreads(); // weights and the decayed query are there
  if (column < a.s.values) {
    float sum = 0;
    for (int64_t i = 0; now.data && i < a.s.keys; i++) sum += query[i] * now.data[i * now.step + column * now.vector];
    for (int64_t p = tile; p <= own; p++) sum += room.weight[p - tile] * from_element(a.v, h, p, column);
    int64_t to = from_base(a.out, h) + (own - h.start) * a.out.step + column * a.out.vector;
    if (a.out.bf16)
      ((bf16 *)a.out.data)[to] = from_float<bf16>(sum);
    else
      ((float *)a.out.data)[to] = sum;
  }
  __syncthreads(); // they are read no more, before the next row's
}

static __device__ int64_t from_number(const from_numbers &n, int64_t entry) {
  return n.at[over_offset(&n.entry, entry)];
}

__global__ void __launch_bounds__(XLM_BLOCK) linear_from(const __grid_constant__ from_args a, int64_t parts) {
  XLM_SHARED(from_room, room);
  XLM_DYNAMIC_SHARED(float, query);
  for (int64_t item = blockIdx.x; item < a.s.entries * a.s.heads * parts; item += gridDim.x) {
    int64_t rest = item, column = over_split(&rest, parts) * XLM_BLOCK + threadIdx.x;
    from_head h = {0, over_split(&rest, a.s.heads), 0, 0};
    h.entry = rest, h.start = from_number(a.start, h.entry), h.end = h.start + a.s.steps;
    int64_t tile = h.start / LINEAR_TILE * LINEAR_TILE;
    from_state now = {tile ? (float *)a.state.data + from_base(a.state, h) : NULL, a.state.step, a.state.vector};
    from_state next = {a.scratch + (h.entry * a.s.heads + h.head) * a.s.keys * a.s.values, a.s.values, 1};
    for (; tile < h.end; tile += LINEAR_TILE) {
      int64_t first = tile < h.start ? h.start : tile, last = tile + LINEAR_TILE < h.end ? tile + LINEAR_TILE : h.end;
      for (int64_t own = first; own < last; own++) from_row(a, h, tile, own, column, room, query, now);
      if (tile + LINEAR_TILE < h.end) from_advance(a, h, tile, column, room, now, next);
    }
  }
}

__global__ void __launch_bounds__(XLM_BLOCK) linear_put(const __grid_constant__ from_args a, int64_t parts) {
  XLM_SHARED(from_room, room);
  for (int64_t item = blockIdx.x; item < a.s.entries * a.s.heads * parts; item += gridDim.x) {
    int64_t rest = item, column = over_split(&rest, parts) * XLM_BLOCK + threadIdx.x;
    from_head h = {0, over_split(&rest, a.s.heads), 0, 0};
    h.entry = rest, h.start = from_number(a.start, h.entry);
    int64_t count = from_number(a.count, h.entry), tile = h.start / LINEAR_TILE * LINEAR_TILE;
    h.end = h.start + (count < a.s.steps ? count : a.s.steps);
    from_state kept = {(float *)a.state.data + from_base(a.state, h), a.state.step, a.state.vector};
    from_state now = {tile ? kept.data : NULL, kept.step, kept.vector};
    for (; tile + LINEAR_TILE <= h.end; tile += LINEAR_TILE) from_advance(a, h, tile, column, room, now, kept);
  }
}

static from_operand operand_of(const xlm_call *c, const xlm_type *like, int at, int past) {
  from_operand x;
  memset(&x, 0, sizeof x);
  if (at >= c->instr->n_in) return x;
  x.own = linear_view_like(c, like, c->in_type[at], c->in[at]);
  if (past >= c->instr->n_in) return x;
  x.past = linear_view_like(c, like, c->in_type[past], c->in[past]);
  for (int i = 0; i < 3; i++) {
    xlm_dim d = xlm_call_dim(c, XLM_A_past, i);
    if (d && xlm_type_find(c->in_type[past], d) >= 0)
      x.past.step = xlm_call_stride(c, c->in_type[past], d), x.ring = c->dims[d].size;
  }
  return x;
}

static from_numbers numbers_of(const xlm_call *c, const xlm_type *like, int at) {
  from_numbers n;
  n.at = (const int32_t *)c->in[at], n.entry = linear_view_like(c, like, c->in_type[at], c->in[at]).entry;
  return n;
}

// k: the operand of the keys, which the values follow; start: that of the places.
static from_args args_of(const xlm_call *c, int k, int start) {
  from_args a;
  memset(&a, 0, sizeof a);
  const xlm_type *like = c->in_type[k];
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_over, over);
  a.s = linear_shape_like(c, like, LOG);
  a.k = operand_of(c, like, k, PAST_K), a.v = operand_of(c, like, k + 1, PAST_V);
  a.decay = operand_of(c, like, LOG, PAST_LOG);
  a.state = linear_view_like(c, like, c->in_type[STATE], c->in[STATE]);
  a.state.step = a.state.vector, a.state.vector = xlm_call_stride(c, c->in_type[STATE], over[n - 1]);
  a.start = numbers_of(c, like, start);
  return a;
}

XLM_CUDA_RUN(linear_attend_from) {
  from_args a = args_of(c, 2, 4);
  const xlm_type *like = c->in_type[2];
  a.q = linear_view_like(c, like, c->in_type[FROM_Q], c->in[FROM_Q]);
  a.out = linear_view_like(c, like, c->out_type[0], c->out[0]);
  a.scratch = (float *)c->workspace;
  int64_t parts = (a.s.values + XLM_BLOCK - 1) / XLM_BLOCK, items = a.s.entries * a.s.heads * parts;
  size_t shared = (size_t)a.s.keys * sizeof(float);
  if (!items || !a.s.steps) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH(linear_from, xlm_cuda_blocks(items, 1), XLM_BLOCK, shared, xlm_cuda_stream(c), a, parts));
}

XLM_CUDA_RUN(linear_attend_put) {
  from_args a = args_of(c, 1, 3);
  a.count = numbers_of(c, c->in_type[1], 4);
  a.state.data = c->out[0];
  int64_t parts = (a.s.values + XLM_BLOCK - 1) / XLM_BLOCK, items = a.s.entries * a.s.heads * parts;
  if (!items) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH(linear_put, xlm_cuda_blocks(items, 1), XLM_BLOCK, 0, xlm_cuda_stream(c), a, parts));
}
