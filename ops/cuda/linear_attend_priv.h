// linear_attend as planning and the kernels see it: operands with strides, chunks, and the states between
// them. For plan.c and the kernels; the formulas are in ops/linear_attend.c.
//
// A chunk has LINEAR_TILE positions. An entry is an index of the dimensions of q besides sequence and vector;
// each has `heads` heads, which share its q and k. A unit is a head of an entry.
#ifndef XLM_CUDA_LINEAR_ATTEND_PRIV_H
#define XLM_CUDA_LINEAR_ATTEND_PRIV_H

#include "ops/cuda/sort_priv.h"
#include "runtime/device/over.h"

enum { LINEAR_TILE = 64, LINEAR_CHUNKS_AT_ONCE = 4096 };

enum { LINEAR_TENSOR_CORE, LINEAR_SIMT }; // the variants

typedef struct linear_shape {
  int64_t steps, chunks, keys, values; // positions; sizes of the vectors
  int64_t entries, heads;
  int64_t links; // between chunks: a state each
  bool channels; // decays are those of each channel of the keys
  int64_t
      at_once; // entries whose states are in the workspace at the same time: enough chunks for all of a card
} linear_shape;

typedef struct linear_view { // an operand, a result or a state; strides in elements, 0 along dimensions it
                             // lacks
  void *data;                // NULL: there is none
  bool bf16, packs;          // f32 otherwise; packs: its vectors may be read in pieces of 8 neighbours
  over_dims entry, head;
  int64_t step, vector;
} linear_view;

// States are [slot, head, link, keys, values], slot numbering the entries of one pass.
typedef struct linear_scratch {
  float *states; // before the chunk that follows the link
  float *ahead;  // backward: the gradient to the state after the chunk that the link follows
  float *whole;  // [slot, head, chunk]: the decay along a chunk; with decays per channel [.., keys]
  size_t bytes;
} linear_scratch;

static inline XLM_HOST_DEVICE int64_t linear_tiles(int64_t n) {
  return (n + LINEAR_TILE - 1) / LINEAR_TILE;
}

// q: has the dimensions of the queries; decay: the operand, if the call has so many.
static inline linear_shape linear_shape_like(const xlm_call *c, const xlm_type *q, int decay) {
  xlm_dim over[XLM_MAX_RANK], seq = xlm_call_dim(c, XLM_A_seq, 0),
                              feature = xlm_call_dim(c, XLM_A_feature, 0);
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_over, over);
  linear_shape s;
  memset(&s, 0, sizeof s);
  s.steps = c->dims[seq].size, s.chunks = linear_tiles(s.steps), s.links = s.chunks > 1 ? s.chunks - 1 : 0;
  s.keys = c->dims[feature].size, s.values = c->dims[over[n - 1]].size;
  s.channels = decay < c->instr->n_in && xlm_type_find(c->in_type[decay], feature) >= 0;
  s.entries = s.heads = 1;
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != seq && q->dim[i] != feature) s.entries *= xlm_call_size(c, q, i);
  for (int i = 0; i + 1 < n; i++) s.heads *= c->dims[over[i]].size;
  int64_t chunks = s.heads * s.chunks, enough = chunks ? (LINEAR_CHUNKS_AT_ONCE + chunks - 1) / chunks : 1;
  s.at_once = enough < s.entries ? enough : s.entries;
  return s;
}
static inline linear_shape linear_shape_of(const xlm_call *c, int decay) {
  return linear_shape_like(c, c->in_type[0], decay);
}

static inline bool linear_all_by_8(const over_dims *d) {
  for (int i = 0; i < d->n; i++)
    if (d->stride[i] % 8) return false;
  return true;
}

static inline linear_view linear_view_like(const xlm_call *c, const xlm_type *q, const xlm_type *t,
                                           void *data) {
  xlm_dim over[XLM_MAX_RANK], seq = xlm_call_dim(c, XLM_A_seq, 0),
                              feature = xlm_call_dim(c, XLM_A_feature, 0);
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_over, over);
  xlm_dim vector = xlm_type_find(t, feature) >= 0 ? feature : over[n - 1];
  linear_view v;
  memset(&v, 0, sizeof v);
  v.data = data, v.bf16 = t->dtype == XLM_BF16;
  v.step = xlm_call_stride(c, t, seq), v.vector = xlm_call_stride(c, t, vector);
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != seq && q->dim[i] != feature)
      over_add(&v.entry, xlm_call_size(c, q, i), xlm_call_stride(c, t, q->dim[i]));
  for (int i = 0; i + 1 < n; i++) over_add(&v.head, c->dims[over[i]].size, xlm_call_stride(c, t, over[i]));
  v.packs = v.vector == 1 && v.step % 8 == 0 && c->dims[vector].size % 8 == 0 && linear_all_by_8(&v.entry) &&
            linear_all_by_8(&v.head) && (uintptr_t)data % 16 == 0;
  return v;
}
static inline linear_view linear_view_of(const xlm_call *c, const xlm_type *t, void *data) {
  return linear_view_like(c, c->in_type[0], t, data);
}

static inline XLM_HOST_DEVICE int64_t linear_decays_each(const linear_shape *s) { // per chunk and head
  return s->channels ? s->keys : 1;
}

static inline linear_scratch linear_scratch_of(void *workspace, const linear_shape *s, bool backward) {
  size_t units = (size_t)(s->at_once * s->heads), states = units * (size_t)(s->links * s->keys * s->values);
  linear_scratch r;
  r.bytes = 0;
  r.states = (float *)xlm_cuda_part_of(workspace, &r.bytes, states * sizeof(float));
  r.ahead = (float *)xlm_cuda_part_of(workspace, &r.bytes, backward ? states * sizeof(float) : 0);
  r.whole = (float *)xlm_cuda_part_of(
      workspace, &r.bytes,
      s->links ? units * (size_t)(s->chunks * linear_decays_each(s)) * sizeof(float) : 0);
  return r;
}

#endif
