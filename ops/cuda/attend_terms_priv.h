// The optional operands of attention: what they add to the score of a query and a key, and which keys they hide.
#ifndef XLM_CUDA_ATTEND_TERMS_PRIV_H
#define XLM_CUDA_ATTEND_TERMS_PRIV_H

#include "ops/cuda/attend_priv.h"
#include "ops/cuda/cuda.h"

// An operand or result with rows of queries, of keys, or of both.
static inline attend_term attend_term_of(const xlm_call *c, const xlm_type *t, const void *data, bool queries, bool keys) {
  const xlm_type *q = c->in_type[0];
  xlm_dim heads = xlm_call_dim(c, XLM_A_heads, 0), past = xlm_call_dim(c, XLM_A_past, 0);
  xlm_attr_key numbers = past ? XLM_A_keys : XLM_A_kv_seq; // with caches keys are numbered from the beginning
  attend_term x;
  memset(&x, 0, sizeof x);
  x.data = data, x.type = t->dtype, x.head = heads ? xlm_call_stride(c, t, heads) : 0;
  if (queries) x.query = xlm_call_stride(c, t, xlm_call_dim(c, XLM_A_seq, 0));
  if (keys) x.key = xlm_call_stride(c, t, xlm_call_dim(c, numbers, 0));
  int n = 0;
  for (int i = 0; i < q->rank; i++)
    if (attend_is_batch(c, q->dim[i])) x.batch[n++] = xlm_call_stride(c, t, q->dim[i]);
  return x;
}

static inline attend_terms attend_terms_of(const xlm_call *c) {
  bool apart = xlm_call_dim(c, XLM_A_seq, 0) != xlm_call_dim(c, XLM_A_kv_seq, 0) || xlm_call_dim(c, XLM_A_past, 0);
  attend_terms t;
  memset(&t, 0, sizeof t);
  const struct {
    xlm_operand what;
    attend_term *to;
    bool queries, keys;
  } all[] = {{XLM_OPERAND_BIAS, &t.bias, apart, true},           {XLM_OPERAND_SLOPES, &t.slopes, false, false},
             {XLM_OPERAND_SINK, &t.sink, false, false},          {XLM_OPERAND_MASK, &t.mask, apart, true},
             {XLM_OPERAND_DOCUMENTS, &t.documents, true, false}, {XLM_OPERAND_KV_DOCUMENTS, &t.kv_documents, false, true},
             {XLM_OPERAND_PREFIX, &t.prefix, false, false}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int at = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, all[i].what);
    if (at < 0) continue;
    *all[i].to = attend_term_of(c, c->in_type[at], c->in[at], all[i].queries, all[i].keys);
    t.any |= all[i].what != XLM_OPERAND_SINK;
  }
  return t;
}

struct attend_here {                           // the terms of one head of one batch entry
  int64_t bias, mask, documents, kv_documents; // offsets of their first element
  float slope, sink;                           // of scores in base 2; sink -infinity: none
  int64_t prefix;                              // from the first key on
};

static __device__ __forceinline__ int64_t attend_term_at(const attend_shape &s, const attend_term &t, int64_t batch,
                                                         int64_t head) {
  int64_t at = head * t.head;
  for (int i = s.n_batch - 1; i >= 0; i--) at += over_split(&batch, s.batch[i]) * t.batch[i];
  return at;
}

static __device__ __forceinline__ float attend_number(const attend_term &t, int64_t at) {
  if (t.type == XLM_BF16) return to_float(((const bf16 *)t.data)[at]);
  return t.type == XLM_I32 ? (float)((const int32_t *)t.data)[at] : ((const float *)t.data)[at];
}

static __device__ __forceinline__ int32_t attend_id(const attend_term &t, int64_t at) { return ((const int32_t *)t.data)[at]; }

static __device__ __forceinline__ attend_here attend_here_of(const attend_shape &s, const attend_terms &t, int64_t batch,
                                                             int64_t head) {
  const float log2e = 1.44269504088896341f;
  attend_here h = {0, 0, 0, 0, 0, -INFINITY, 0};
  if (t.bias.data) h.bias = attend_term_at(s, t.bias, batch, head);
  if (t.mask.data) h.mask = attend_term_at(s, t.mask, batch, head);
  if (t.documents.data) h.documents = attend_term_at(s, t.documents, batch, head);
  if (t.kv_documents.data) h.kv_documents = attend_term_at(s, t.kv_documents, batch, head);
  if (t.slopes.data) h.slope = attend_number(t.slopes, attend_term_at(s, t.slopes, batch, head)) * log2e;
  if (t.sink.data) h.sink = attend_number(t.sink, attend_term_at(s, t.sink, batch, head)) * log2e;
  if (t.prefix.data) h.prefix = attend_id(t.prefix, attend_term_at(s, t.prefix, batch, 0)) - s.first_key;
  return h;
}

// What is added to the score of query i and key j of two tiles, in base 2; -infinity: the key is hidden. A call, since
// kernels have it in loops that are unrolled: inlined it takes registers also from calls without any of these operands.
static __device__ __attribute__((noinline)) float attend_added(const attend_terms &t, const attend_here &h,
                                                               const attend_rows &q, const attend_rows &k, int i, int j) {
  const float log2e = 1.44269504088896341f;
  int64_t query = q.row + i, key = k.row + j;
  if (t.documents.data && attend_id(t.documents, h.documents + query * t.documents.query) !=
                              attend_id(t.kv_documents, h.kv_documents + key * t.kv_documents.key))
    return -INFINITY;
  if (t.mask.data && attend_number(t.mask, h.mask + query * t.mask.query + key * t.mask.key) == 0) return -INFINITY;
  float x = h.slope * (float)(k.at + j - q.at - i);
  if (!t.bias.data) return x;
  float bias = attend_number(t.bias, h.bias + query * t.bias.query + key * t.bias.key), scaled = bias * log2e;
  return bias == -INFINITY ? bias : x + (scaled < -1e38f ? -1e38f : scaled); // a finite one hides nothing
}

// ---- documents: a warp leaves out tiles that have others than its own

struct attend_ids { // the least and largest of a tile's documents
  int32_t low, high;
};

static __device__ __forceinline__ attend_ids attend_ids_of(const attend_term &t, int64_t at, int64_t stride,
                                                           const attend_rows &r) {
  attend_ids x = {INT32_MAX, INT32_MIN};
  for (int i = (int)threadIdx.x % XLM_WARP; i < r.n; i += XLM_WARP) {
    int32_t id = attend_id(t, at + (r.row + i) * stride);
    x.low = min(x.low, id), x.high = max(x.high, id);
  }
  for (int d = XLM_WARP / 2; d; d >>= 1) {
    x.low = min(x.low, __shfl_xor_sync(XLM_ALL_LANES, x.low, d));
    x.high = max(x.high, __shfl_xor_sync(XLM_ALL_LANES, x.high, d));
  }
  return x;
}

static __device__ __forceinline__ bool attend_has_ids(const attend_term &t, int64_t at, int64_t stride, const attend_rows &r,
                                                      attend_ids of) {
  bool has = false;
  for (int i = (int)threadIdx.x % XLM_WARP; i < r.n; i += XLM_WARP) {
    int32_t id = attend_id(t, at + (r.row + i) * stride);
    has |= id >= of.low && id <= of.high;
  }
  return __any_sync(XLM_ALL_LANES, has);
}

// Of the tiles of keys that queries q see, in order and by documents. All lanes of a warp take part.
static __device__ __forceinline__ attend_range attend_find_keys(const attend_shape &s, const attend_terms &t,
                                                                const attend_here &h, const attend_rows &q) {
  attend_range r = attend_seen_keys(&s, &q, h.prefix);
  if (!t.documents.data) return r;
  attend_ids own = attend_ids_of(t.documents, h.documents, t.documents.query, q);
  auto has = [&](int64_t tile) {
    return attend_has_ids(t.kv_documents, h.kv_documents, t.kv_documents.key, attend_key_tile(&s, tile), own);
  };
  while (r.begin < r.end && !has(r.begin)) r.begin++;
  while (r.begin < r.end && !has(r.end - 1)) r.end--;
  return r;
}

static __device__ __forceinline__ attend_range attend_find_queries(const attend_shape &s, const attend_terms &t,
                                                                   const attend_here &h, const attend_rows &k) {
  attend_range r = attend_seeing_queries(&s, &k, h.prefix);
  if (!t.documents.data) return r;
  attend_ids own = attend_ids_of(t.kv_documents, h.kv_documents, t.kv_documents.key, k);
  auto has = [&](int64_t tile) {
    return attend_has_ids(t.documents, h.documents, t.documents.query, attend_query_tile(&s, tile), own);
  };
  while (r.begin < r.end && !has(r.begin)) r.begin++;
  while (r.begin < r.end && !has(r.end - 1)) r.end--;
  return r;
}

#endif
