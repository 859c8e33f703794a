// Attention as its kernels see it: operands with strides, tiles of queries and of keys, and which keys a query sees.
// For plan.c and the kernels.
//
// Queries and keys are counted in tiles of ATTEND_TILE. The queries from `first` on, a second run of the sequence, have
// tiles of their own, so that the positions within a tile are consecutive: what a tile of queries sees of a tile of keys is
// a band of differences (attend_band). Positions count from the first key, which may lie before or after the first query.
#ifndef XLM_CUDA_ATTEND_PRIV_H
#define XLM_CUDA_ATTEND_PRIV_H

#include <math.h>

#include "runtime/device/over.h"

enum { ATTEND_TILE = 64 };

typedef struct attend_view { // an operand or result; strides in elements
  void *data;                // NULL: none
  bool bf16;                 // f32 otherwise
  int64_t batch[XLM_MAX_RANK], row, head, feature;
} attend_view;

typedef struct attend_shape {
  int n_batch;
  int64_t batch[XLM_MAX_RANK];                                  // dims that are neither sequence, heads nor feature
  int64_t batches;                                              // their product
  int64_t heads, kv_heads, queries, keys, features, v_features; // of keys and of values
  int64_t first, at, tail_at; // queries of the first run; positions of the first query of each run
  int64_t first_key;          // its position in the whole sequence
  // Query head h uses key head (h + head_first) * kv_full / heads_full - kv_first, with numbers of the whole model, so that
  // a rank with some of the heads uses the same mapping.
  int64_t head_first, heads_full, kv_first, kv_full;
  bool causal;
  int64_t window; // 0: none
  // Scores are in base 2, since 2^x is cheaper than e^x: factor * (q . k), or with a soft-cap cap * tanh(factor * (q . k)).
  float scale, factor, cap; // cap 0: none
} attend_shape;

// What attend_bwd keeps of each query [batch, heads, queries]; for a query that sees no key both are unused.
typedef struct attend_sums {
  float lse;   // logarithm of the sum of its scores' powers, base 2
  float delta; // sum of dout * out, less the gradient of the logsumexp
} attend_sums;

typedef struct attend_term { // an optional operand; strides in elements, 0 along dimensions that it lacks
  const void *data;          // NULL: none
  xlm_dtype type;
  int64_t batch[XLM_MAX_RANK], head, query, key;
} attend_term;

typedef struct attend_terms { // all of them; see attend_terms_priv.h
  attend_term bias, slopes, sink, mask, documents, kv_documents, prefix;
  bool any; // of those that change or hide single scores: all but the sink
} attend_terms;

typedef struct attend_args {
  attend_shape s;
  attend_terms t;
  attend_view q, k, v, out, lse;
} attend_args;

typedef struct attend_bwd_args {
  attend_shape s;
  attend_terms t;
  attend_view q, k, v, out, lse, dout, dlse, dq, dk, dv; // dlse may be none
  attend_sums *sums;
} attend_bwd_args;

static inline bool attend_is_batch(const xlm_call *c, xlm_dim d) { // of the dims of q
  return d != xlm_call_dim(c, XLM_A_seq, 0) && d != xlm_call_dim(c, XLM_A_heads, 0) && d != xlm_call_dim(c, XLM_A_feature, 0);
}

static inline xlm_dim attend_v_feature(const xlm_call *c) {
  xlm_dim d = xlm_call_dim(c, XLM_A_v_feature, 0);
  return d ? d : xlm_call_dim(c, XLM_A_feature, 0);
}

static inline void attend_read_heads(const xlm_call *c, attend_shape *s) {
  xlm_dim heads = xlm_call_dim(c, XLM_A_heads, 0), kv = xlm_call_dim(c, XLM_A_kv_heads, 0);
  s->heads = s->kv_heads = s->heads_full = s->kv_full = 1;
  if (heads) s->heads = c->dims[heads].size, s->heads_full = c->dims[heads].full, s->head_first = c->dims[heads].offset;
  if (kv) s->kv_heads = c->dims[kv].size, s->kv_full = c->dims[kv].full, s->kv_first = c->dims[kv].offset;
}

static inline attend_shape attend_shape_of(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *q = c->in_type[0];
  const xlm_dim_info *seq = &c->dims[xlm_call_dim(c, XLM_A_seq, 0)], *keys = &c->dims[xlm_call_dim(c, XLM_A_kv_seq, 0)];
  const double log2e = 1.4426950408889634;
  double scale = xlm_attr_float(as, XLM_A_scale, 1), softcap = xlm_attr_float(as, XLM_A_softcap, 0);
  XLM_ASSERT(!keys->tail, "keys in two runs");
  attend_shape s;
  memset(&s, 0, sizeof s);
  s.queries = seq->size, s.keys = keys->size, s.features = c->dims[xlm_call_dim(c, XLM_A_feature, 0)].size;
  s.v_features = c->dims[attend_v_feature(c)].size, s.first_key = keys->offset;
  s.first = seq->size - seq->tail;
  s.at = seq->offset - keys->offset, s.tail_at = seq->tail_offset - keys->offset;
  s.causal = xlm_attr_int(as, XLM_A_causal, 0), s.window = xlm_attr_int(as, XLM_A_window, 0);
  s.scale = (float)scale;
  s.factor = (float)(softcap > 0 ? scale / softcap : scale * log2e), s.cap = (float)(softcap * log2e);
  attend_read_heads(c, &s);
  s.batches = 1;
  for (int i = 0; i < q->rank; i++)
    if (attend_is_batch(c, q->dim[i])) s.batches *= s.batch[s.n_batch++] = xlm_call_size(c, q, i);
  return s;
}

// of_keys: the operand has the sequence and heads of the keys, otherwise of the queries.
static inline attend_view attend_view_of(const xlm_call *c, const xlm_type *t, void *data, bool of_keys) {
  const xlm_type *q = c->in_type[0];
  xlm_dim head = xlm_call_dim(c, of_keys ? XLM_A_kv_heads : XLM_A_heads, 0);
  attend_view v;
  memset(&v, 0, sizeof v);
  v.data = data, v.bf16 = t->dtype == XLM_BF16;
  v.row = xlm_call_stride(c, t, xlm_call_dim(c, of_keys ? XLM_A_kv_seq : XLM_A_seq, 0));
  v.head = head ? xlm_call_stride(c, t, head) : 0;
  bool is_value = xlm_type_find(t, attend_v_feature(c)) >= 0;
  v.feature = xlm_call_stride(c, t, is_value ? attend_v_feature(c) : xlm_call_dim(c, XLM_A_feature, 0));
  int n = 0;
  for (int i = 0; i < q->rank; i++)
    if (attend_is_batch(c, q->dim[i])) v.batch[n++] = xlm_call_stride(c, t, q->dim[i]);
  return v;
}

static inline size_t attend_bwd_workspace(const xlm_call *c) {
  attend_shape s = attend_shape_of(c);
  return (size_t)(s.batches * s.heads * s.queries) * sizeof(attend_sums);
}

// On tensor cores: all operands and results of bf16, one head's vector contiguous, in accesses of 16 bytes, and small
// enough for tiles in shared memory.
static inline bool attend_fits_tensor_cores(const xlm_call *c) {
  xlm_dim features[] = {xlm_call_dim(c, XLM_A_feature, 0), attend_v_feature(c)};
  int n_in = c->instr->n_in - (int)xlm_attr_ints(&c->instr->attrs, XLM_A_operands).n;
  for (int k = 0; k < 2; k++) {
    if (c->dims[features[k]].size % 8 || c->dims[features[k]].size > 256) return false;
    for (int i = 0; i < n_in + c->instr->n_out; i++) {
      const xlm_type *t = i < n_in ? c->in_type[i] : c->out_type[i - n_in];
      int at = xlm_type_find(t, features[k]);
      if (at >= 0 && (at != t->rank - 1 || t->dtype != XLM_BF16)) return false;
    }
  }
  return true;
}

// ---- for kernels too

static inline XLM_HOST_DEVICE int64_t attend_tiles(int64_t rows) { return (rows + ATTEND_TILE - 1) / ATTEND_TILE; }

static inline XLM_HOST_DEVICE int64_t attend_query_tiles(const attend_shape *s) {
  return attend_tiles(s->first) + attend_tiles(s->queries - s->first);
}

static inline XLM_HOST_DEVICE int64_t attend_clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

// Element offset of row 0, feature 0.
static inline XLM_HOST_DEVICE int64_t attend_base(const attend_shape *s, const attend_view *v, int64_t batch, int64_t head) {
  int64_t at = head * v->head;
  for (int i = s->n_batch - 1; i >= 0; i--) at += over_split(&batch, s->batch[i]) * v->batch[i];
  return at;
}

static inline XLM_HOST_DEVICE int64_t attend_key_head(const attend_shape *s, int64_t h) {
  return (h + s->head_first) * s->kv_full / s->heads_full - s->kv_first;
}

// The first query head that uses key head g or a later one.
static inline XLM_HOST_DEVICE int64_t attend_first_head(const attend_shape *s, int64_t g) {
  int64_t whole = (g + s->kv_first) * s->heads_full;
  return attend_clamp((whole + s->kv_full - 1) / s->kv_full - s->head_first, 0, s->heads);
}

typedef struct attend_rows { // a tile: local rows [row, row + n), and the position of the first
  int64_t row, at;
  int n;
} attend_rows;

static inline XLM_HOST_DEVICE attend_rows attend_key_tile(const attend_shape *s, int64_t tile) {
  attend_rows r = {tile * ATTEND_TILE, tile * ATTEND_TILE, 0};
  r.n = (int)attend_clamp(s->keys - r.row, 0, ATTEND_TILE);
  return r;
}

static inline XLM_HOST_DEVICE attend_rows attend_query_tile(const attend_shape *s, int64_t tile) {
  int64_t tiles = attend_tiles(s->first), end = tile < tiles ? s->first : s->queries;
  int64_t in_run = (tile < tiles ? tile : tile - tiles) * ATTEND_TILE;
  attend_rows r = {(tile < tiles ? 0 : s->first) + in_run, (tile < tiles ? s->at : s->tail_at) + in_run, 0};
  r.n = (int)attend_clamp(end - r.row, 0, ATTEND_TILE);
  return r;
}

// Query i of a tile sees key j of a tile: i < queries, j < keys, and low <= j - i <= high or j < open.
typedef struct attend_band {
  int queries, keys, low, high, open;
} attend_band;

// prefix: all queries see the keys at positions below it.
static inline XLM_HOST_DEVICE attend_band attend_band_of(const attend_shape *s, const attend_rows *q, const attend_rows *k,
                                                         int64_t prefix) {
  attend_band b = {q->n, k->n, -ATTEND_TILE, ATTEND_TILE, (int)attend_clamp(prefix - k->at, 0, ATTEND_TILE)};
  int64_t own = q->at - k->at; // of query 0
  if (s->causal) b.high = (int)attend_clamp(own, -ATTEND_TILE, ATTEND_TILE);
  if (s->causal && s->window) b.low = (int)attend_clamp(own - s->window + 1, -ATTEND_TILE, ATTEND_TILE);
  return b;
}

static inline XLM_HOST_DEVICE bool attend_sees(const attend_band *b, int query, int key) {
  return query < b->queries && key < b->keys && ((key - query >= b->low && key - query <= b->high) || key < b->open);
}

static inline XLM_HOST_DEVICE bool attend_sees_nothing(const attend_band *b) {
  return !b->queries || !b->keys || (!b->open && (b->high <= -b->queries || b->low >= b->keys));
}

static inline XLM_HOST_DEVICE bool attend_sees_all(const attend_band *b) {
  return b->queries == ATTEND_TILE && b->keys == ATTEND_TILE && b->low <= 1 - ATTEND_TILE && b->high >= ATTEND_TILE - 1;
}

typedef struct attend_range { // of tiles: all with something to see lie in it; between two runs also others
  int64_t begin, end;
} attend_range;

static inline XLM_HOST_DEVICE attend_range attend_seen_keys(const attend_shape *s, const attend_rows *q, int64_t prefix) {
  attend_range r = {0, attend_tiles(s->keys)};
  if (s->causal) r.end = attend_tiles(attend_clamp(q->at + q->n, 0, s->keys));
  if (s->causal && s->window) r.begin = attend_clamp(q->at - s->window + 1, 0, s->keys) / ATTEND_TILE;
  if (prefix <= 0) return r;
  int64_t open = attend_tiles(attend_clamp(prefix, 0, s->keys));
  r.begin = 0, r.end = r.end > open ? r.end : open;
  return r;
}

static inline XLM_HOST_DEVICE attend_range attend_seeing_queries(const attend_shape *s, const attend_rows *k, int64_t prefix) {
  attend_range r = {0, attend_query_tiles(s)};
  int64_t tiles = attend_tiles(s->first), tail = s->queries - s->first;
  if (!s->causal || k->at < prefix) return r;
  int64_t begin = attend_clamp(k->at - s->at, 0, s->first);
  r.begin = begin < s->first ? begin / ATTEND_TILE : tiles + attend_clamp(k->at - s->tail_at, 0, tail) / ATTEND_TILE;
  if (!s->window) return r;
  int64_t last = k->at + k->n - 1 + s->window, end = attend_clamp(last - s->tail_at, 0, tail); // last: sees none of them
  r.end = end ? tiles + attend_tiles(end) : attend_tiles(attend_clamp(last - s->at, 0, s->first));
  return r;
}

// What a block does: a tile of one head and batch entry, `width` features of the results from `feature` on.
typedef struct attend_item {
  int64_t tile, head, batch, feature;
} attend_item;

static inline XLM_HOST_DEVICE int64_t attend_widest(const attend_shape *s) {
  return s->features > s->v_features ? s->features : s->v_features;
}

static inline XLM_HOST_DEVICE int64_t attend_parts(int64_t features, int width) { return (features + width - 1) / width; }

static inline XLM_HOST_DEVICE attend_item attend_item_of(int64_t i, int64_t features, int64_t tiles, int64_t heads, int width) {
  attend_item x;
  x.feature = over_split(&i, attend_parts(features, width)) * width;
  x.tile = over_split(&i, tiles);
  x.head = over_split(&i, heads);
  x.batch = i;
  return x;
}

#endif
