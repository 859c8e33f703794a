// See attend_terms_priv.h. A row of TILE sums per query and tile of keys: a small part of the products with
// them.
#include <math.h>

#include "ops/cpu/attend/attend_terms_priv.h"

static bool cached(const xlm_call *c) { // then a dimension of bias and mask numbers keys from the beginning
  return xlm_call_dim(c, XLM_A_past, 0) != 0;
}

attend_term xlm_attend_term_of(const xlm_call *c, const xlm_type *t, const void *data, bool queries,
                               bool keys) {
  const xlm_type *q = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), heads = xlm_call_dim(c, XLM_A_heads, 0),
          feature = xlm_call_dim(c, XLM_A_feature, 0);
  attend_term x = {.data = data, .type = t->dtype, .head = heads ? xlm_call_stride(c, t, heads) : 0};
  if (queries) x.query = xlm_call_stride(c, t, seq);
  if (keys) x.key = xlm_call_stride(c, t, xlm_call_dim(c, cached(c) ? XLM_A_keys : XLM_A_kv_seq, 0));
  int n = 0;
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != seq && q->dim[i] != heads && q->dim[i] != feature)
      x.batch[n++] = xlm_call_stride(c, t, q->dim[i]);
  return x;
}

attend_terms xlm_attend_read_terms(const xlm_call *c) {
  bool apart = cached(c) || xlm_call_dim(c, XLM_A_seq, 0) != xlm_call_dim(c, XLM_A_kv_seq, 0);
  attend_terms t = {0};
  struct {
    xlm_operand what;
    attend_term *to;
    bool queries, keys;
  } const all[] = {{XLM_OPERAND_BIAS, &t.bias, apart, true},
                   {XLM_OPERAND_SLOPES, &t.slopes, false, false},
                   {XLM_OPERAND_SINK, &t.sink, false, false},
                   {XLM_OPERAND_MASK, &t.mask, apart, true},
                   {XLM_OPERAND_DOCUMENTS, &t.documents, true, false},
                   {XLM_OPERAND_KV_DOCUMENTS, &t.kv_documents, false, true},
                   {XLM_OPERAND_PREFIX, &t.prefix, false, false},
                   {XLM_OPERAND_START, &t.start, false, false}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int at = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, all[i].what);
    if (at < 0) continue;
    *all[i].to = xlm_attend_term_of(c, c->in_type[at], c->in[at], all[i].queries, all[i].keys);
    t.any |= all[i].what != XLM_OPERAND_SINK && all[i].what != XLM_OPERAND_START;
  }
  XLM_ASSERT(!t.start.data || !t.documents.data, "documents of cached keys");
  return t;
}

static int64_t base_of(const attend_shape *s, const attend_term *t, int64_t batch, int64_t head) {
  int64_t at = head * t->head;
  for (int i = s->n_batch - 1; i >= 0; i--) {
    at += batch % s->batch[i] * t->batch[i];
    batch /= s->batch[i];
  }
  return at;
}

static float number(const attend_term *t, int64_t at) {
  if (t->type == XLM_BF16) return xlm_bf16_to_f32(((const uint16_t *)t->data)[at]);
  if (t->type == XLM_I32) return (float)((const int32_t *)t->data)[at];
  return ((const float *)t->data)[at];
}

static int32_t id(const attend_term *t, int64_t at) {
  return ((const int32_t *)t->data)[at];
}

int64_t xlm_attend_prefix(const attend_shape *s, const attend_terms *t, int64_t batch) {
  return t->prefix.data ? id(&t->prefix, base_of(s, &t->prefix, batch, 0)) : 0;
}

int64_t xlm_attend_start(const attend_shape *s, const attend_terms *t, int64_t batch) {
  return id(&t->start, base_of(s, &t->start, batch, 0));
}

attend_here xlm_attend_terms_at(const attend_shape *s, const attend_terms *t, int64_t batch, int64_t head) {
  attend_here h = {.t = t, .sink = ATTEND_HIDDEN, .prefix = xlm_attend_prefix(s, t, batch)};
  h.bias = base_of(s, &t->bias, batch, head), h.mask = base_of(s, &t->mask, batch, head);
  h.documents = base_of(s, &t->documents, batch, head),
  h.kv_documents = base_of(s, &t->kv_documents, batch, head);
  if (t->slopes.data)
    h.slope = (float)(number(&t->slopes, base_of(s, &t->slopes, batch, head)) * ATTEND_LOG2E);
  if (t->sink.data) h.sink = (float)(number(&t->sink, base_of(s, &t->sink, batch, head)) * ATTEND_LOG2E);
  if (h.sink < ATTEND_HIDDEN) h.sink = ATTEND_HIDDEN;
  return h;
}

static bool has_documents(const attend_shape *s, const attend_here *h, int64_t k_tile, int32_t low,
                          int32_t high) {
  attend_rows k = xlm_attend_key_rows(s, k_tile);
  const attend_term *t = &h->t->kv_documents;
  for (int64_t j = 0; j < k.n; j++) {
    int32_t x = id(t, h->kv_documents + (k.row + j) * t->key);
    if (x >= low && x <= high) return true;
  }
  return false;
}

void xlm_attend_narrow(const attend_shape *s, const attend_here *h, attend_rows q, int64_t *first,
                       int64_t *end) {
  const attend_term *t = &h->t->documents;
  if (!t->data || !q.n) return;
  int32_t low = INT32_MAX, high = INT32_MIN;
  for (int64_t i = 0; i < q.n; i++) {
    int32_t x = id(t, h->documents + (q.row + i) * t->query);
    low = x < low ? x : low, high = x > high ? x : high;
  }
  while (*first < *end && !has_documents(s, h, *first, low, high)) ++*first;
  while (*first < *end && !has_documents(s, h, *end - 1, low, high)) --*end;
}

static void hide_others(float *x, const attend_here *h, int64_t query, attend_rows k) {
  const attend_term *t = &h->t->documents, *of_keys = &h->t->kv_documents;
  int32_t own = id(t, h->documents + query * t->query);
  const int32_t *ids = (const int32_t *)of_keys->data + h->kv_documents + k.row * of_keys->key;
  for (int64_t j = 0; j < k.n; j++) x[j] = ids[j * of_keys->key] == own ? x[j] : ATTEND_HIDDEN;
}

// Only minus infinity hides a key: a finite bias stays above ATTEND_HIDDEN, however small it is.
static void add_bias(float *x, const attend_here *h, int64_t query, attend_rows k) {
  const attend_term *t = &h->t->bias;
  const float hides = 2 * ATTEND_HIDDEN, least = 0.4f * ATTEND_HIDDEN;
  int64_t at = h->bias + query * t->query + k.row * t->key;
  for (int64_t j = 0; j < k.n; j++) {
    float b = number(t, at + j * t->key), scaled = (float)(b * ATTEND_LOG2E);
    x[j] += b == -INFINITY ? hides : scaled < least ? least : scaled;
  }
}

static void hide_masked(float *x, const attend_here *h, int64_t query, attend_rows k) {
  const attend_term *t = &h->t->mask;
  int64_t at = h->mask + query * t->query + k.row * t->key;
  for (int64_t j = 0; j < k.n; j++) x[j] = number(t, at + j * t->key) != 0 ? x[j] : ATTEND_HIDDEN;
}

void xlm_attend_added(float *x, const attend_here *h, const attend_tile *t, attend_rows q, int i,
                      attend_rows k) {
  i = i < t->nq ? i : t->nq - 1; // rows beyond the queries are not used
  float distance = (float)(k.pos - q.pos - i);
  for (int j = 0; j < TILE; j++) x[j] = h->slope * (distance + (float)j);
  if (h->t->bias.data) add_bias(x, h, q.row + i, k);
  if (h->t->documents.data) hide_others(x, h, q.row + i, k);
  if (h->t->mask.data) hide_masked(x, h, q.row + i, k);
  if (!t->open) return;
  for (int j = t->open; j < TILE; j++) x[j] = j - i >= t->lo && j - i <= t->hi ? x[j] : ATTEND_HIDDEN;
}
