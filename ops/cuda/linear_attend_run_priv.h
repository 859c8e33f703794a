// What linear_attend and its gradient are made of: the states between chunks, and rows of results. For
// linear_attend.cu and linear_attend_bwd.cu.
#ifndef XLM_CUDA_LINEAR_ATTEND_RUN_PRIV_H
#define XLM_CUDA_LINEAR_ATTEND_RUN_PRIV_H

#include "ops/cuda/cuda.h"
#include "ops/cuda/linear_attend_priv.h"

// Calls f(the first entry, how many) for all entries, as many at a time as have states in the workspace, or
// fewer in emulated runs that limit blocks: no bit depends on it.
template <class F> static inline xlm_status linear_passes(const linear_shape &s, F f) {
  int64_t at_once = xlm_cuda_blocks(s.at_once, 1);
  for (int64_t first = 0; first < s.entries; first += at_once)
    XLM_TRY(f(first, s.entries - first < at_once ? s.entries - first : at_once));
  return XLM_OK;
}

// The states before chunks: products of keys and values. back: the gradients to those after chunks, which are
// products of queries and of gradients to results, and go from the last chunk to the first.
typedef struct linear_states_args {
  linear_shape s;
  linear_view keys, values, decay;
  bool back;
  float *states, *whole;
  int64_t first, entries;
} linear_states_args;

// A result at its positions: factor (left state) + weights (left . right) values, where weights are those of
// a position and all before it, or back: all after it. y, dv: a block has one head, and state is [left,
// result]. dq, dk: a block adds up all heads, and the state is turned.
typedef struct linear_rows_args {
  linear_shape s;
  linear_view left, right, values, out, decay;
  bool back, all_heads;
  const float *states;
  int64_t first, entries;
  int64_t inner, width; // sizes of the vectors of left and right; of values and out
} linear_rows_args;

// The same with a decay per channel: y from queries, keys and the values, and the states before chunks; back:
// dv from the gradients to results in place of the values, and the gradients to the states after chunks.
typedef struct linear_channel_rows_args {
  linear_shape s;
  linear_view q, k, values, decay, out;
  bool back;
  const float *states;
  int64_t first, entries;
} linear_channel_rows_args;

// Gradients to queries, keys and decays per channel. A block adds up all heads.
typedef struct linear_channel_keys_args {
  linear_shape s;
  linear_view q, k, v, dout, decay, dq, dk, ddecay;
  const float *states, *ahead;
  int64_t first, entries;
} linear_channel_keys_args;

xlm_status xlm_cuda_linear_states(const xlm_call *c, const linear_states_args &a);
xlm_status xlm_cuda_linear_rows(const xlm_call *c, const linear_rows_args &a);
// What the chunks add to states: `items` tiles.
xlm_status xlm_cuda_linear_channel_states(const xlm_call *c, const linear_states_args &a, int64_t items);
xlm_status xlm_cuda_linear_channel_rows(const xlm_call *c, const linear_channel_rows_args &a);
xlm_status xlm_cuda_linear_channel_keys(const xlm_call *c, const linear_channel_keys_args &a);

// ---- for kernels

typedef struct linear_item { // what a block does; slot: of the entry, in this pass
  int64_t part, chunk, head, slot;
} linear_item;

static inline XLM_HOST_DEVICE linear_item linear_item_of(int64_t i, int64_t parts, int64_t chunks,
                                                         int64_t heads) {
  linear_item x;
  x.part = over_split(&i, parts);
  x.chunk = over_split(&i, chunks);
  x.head = over_split(&i, heads);
  x.slot = i;
  return x;
}

// The state before a chunk, or back: the gradient to that after it; NULL: it is zero.
static inline XLM_HOST_DEVICE const float *linear_state(const linear_shape &s, const float *states,
                                                        int64_t slot, int64_t head, int64_t chunk,
                                                        bool back) {
  int64_t link = back ? chunk : chunk - 1;
  if (link < 0 || link >= s.links) return NULL;
  return states + ((slot * s.heads + head) * s.links + link) * s.keys * s.values;
}

#endif
