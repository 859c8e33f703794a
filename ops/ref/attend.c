// attend, the reference: the scores of one query at a time, softmax, weighted sum; and its derivative by the
// chain rule.
#include <math.h>
#include <string.h>

#include "ops/ref/ref_priv.h"

enum { Q, K, V, OUT, LSE, DOUT };

typedef struct setting {
  const xlm_call *c;
  xlm_dim seq, kv_seq, heads, kv_heads, feature, v_feature;
  bool causal;
  int64_t window, n, n_v;
  int64_t past, keys; // key j: in a cache if j < past, else key j - past of those given
  xlm_dim ring, numbers;
  int in_past_k, in_past_v, in_start; // operands, with a past
  double scale, softcap;
} setting;

static setting read_setting(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  setting s = {.c = c,
               .seq = xlm_call_dim(c, XLM_A_seq, 0),
               .kv_seq = xlm_call_dim(c, XLM_A_kv_seq, 0),
               .heads = xlm_call_dim(c, XLM_A_heads, 0),
               .kv_heads = xlm_call_dim(c, XLM_A_kv_heads, 0),
               .feature = xlm_call_dim(c, XLM_A_feature, 0),
               .causal = xlm_attr_int(as, XLM_A_causal, 0),
               .window = xlm_attr_int(as, XLM_A_window, 0),
               .scale = xlm_attr_float(as, XLM_A_scale, 1),
               .softcap = xlm_attr_float(as, XLM_A_softcap, 0)};
  s.ring = xlm_call_dim(c, XLM_A_past, 0), s.numbers = xlm_call_dim(c, XLM_A_keys, 0);
  s.past = s.ring ? c->dims[s.ring].size : 0;
  s.in_past_k = xlm_attr_operand(as, c->instr->n_in, XLM_OPERAND_PAST_K);
  s.in_past_v = xlm_attr_operand(as, c->instr->n_in, XLM_OPERAND_PAST_V);
  s.in_start = xlm_attr_operand(as, c->instr->n_in, XLM_OPERAND_START);
  s.keys = s.past + c->dims[s.kv_seq].size;
  s.v_feature = xlm_call_dim(c, XLM_A_v_feature, 0);
  if (!s.v_feature) s.v_feature = s.feature;
  s.n = c->dims[s.feature].size, s.n_v = c->dims[s.v_feature].size;
  return s;
}

static int64_t start_of(const setting *s, const ref_walk *q) { // of the queries and keys given
  return s->in_start < 0
             ? 0
             : ((const int32_t *)s->c->in[s->in_start])[ref_at(s->c, s->c->in_type[s->in_start], q)];
}

static int64_t key_place(const setting *s, const ref_walk *q, int64_t j) { // < 0: there is none
  return start_of(s, q) + (j < s->past ? j - s->past : xlm_dim_global(&s->c->dims[s->kv_seq], j - s->past));
}

// Offset of the first element of key j, for the query at q, in t: k, v, their caches, or (term) an optional
// operand of keys, whose sequence is that of queries if there are caches.
static int64_t offset_of(const setting *s, const xlm_type *t, const ref_walk *q, int64_t j, bool term) {
  const xlm_dim_info *dims = s->c->dims;
  int64_t at = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    int64_t index = ref_walk_index(q, d);
    if (d == s->kv_heads)
      index = (ref_walk_index(q, s->heads) + dims[s->heads].offset) * dims[d].full / dims[s->heads].full -
              dims[d].offset;
    if (d == s->kv_seq && !(term && s->past)) index = j - s->past;
    if (d == s->numbers) index = key_place(s, q, j);
    if (d == s->ring) index = key_place(s, q, j) % s->past;
    if (d == s->feature || d == s->v_feature) index = 0;
    at = at * dims[d].size + index;
  }
  return at;
}

typedef struct row { // a vector of features: element f is at[f * next]
  double *at;
  int64_t next;
} row;

static row row_from(const setting *s, void *data, const xlm_type *t, int64_t first) {
  xlm_dim d = xlm_type_find(t, s->feature) >= 0 ? s->feature : s->v_feature;
  return (row){(double *)data + first, xlm_call_stride(s->c, t, d)};
}

// Of key (or value) j, and of the query at q; in an operand or a result.
static row key_in(const setting *s, const ref_walk *q, int64_t j, int i) {
  const xlm_type *t = s->c->in_type[i];
  return row_from(s, s->c->in[i], t, offset_of(s, t, q, j, false));
}
static row key_out(const setting *s, const ref_walk *q, int64_t j, int i) {
  const xlm_type *t = s->c->out_type[i];
  return row_from(s, s->c->out[i], t, offset_of(s, t, q, j, false));
}
static row query_in(const setting *s, const ref_walk *q, int i) {
  const xlm_type *t = s->c->in_type[i];
  return row_from(s, s->c->in[i], t, ref_at(s->c, t, q));
}
static row query_out(const setting *s, const ref_walk *q, int i) {
  const xlm_type *t = s->c->out_type[i];
  return row_from(s, s->c->out[i], t, ref_at(s->c, t, q));
}

static double dot(row x, row y, int64_t n) {
  double sum = 0;
  for (int64_t f = 0; f < n; f++) sum += x.at[f * x.next] * y.at[f * y.next];
  return sum;
}

static void add(row to, double by, row x, int64_t n) {
  for (int64_t f = 0; f < n; f++) to.at[f * to.next] += by * x.at[f * x.next];
}

// An optional operand for a query and a key; `unset`: it is not there.
static double term(const setting *s, xlm_operand what, const ref_walk *q, int64_t j, double unset) {
  int i = xlm_attr_operand(&s->c->instr->attrs, s->c->instr->n_in, what);
  if (i < 0) return unset;
  const xlm_type *t = s->c->in_type[i];
  bool of_query = what == XLM_OPERAND_DOCUMENTS || what == XLM_OPERAND_DLSE;
  int64_t at = of_query ? ref_at(s->c, t, q) : offset_of(s, t, q, j, true);
  return t->dtype == XLM_I32 ? ((const int32_t *)s->c->in[i])[at] : ref_in(s->c, i)[at];
}

static int64_t distance(const setting *s, const ref_walk *q, int64_t j) {
  return key_place(s, q, j) - start_of(s, q) - xlm_dim_global(&s->c->dims[s->seq], ref_walk_index(q, s->seq));
}

static bool sees(const setting *s, const ref_walk *q, int64_t j) {
  int64_t d = distance(s, q, j), key = key_place(s, q, j);
  if (key < 0) return false;
  bool in_order = !s->causal || (d <= 0 && (!s->window || d > -s->window));
  if (!in_order && key >= term(s, XLM_OPERAND_PREFIX, q, j, 0)) return false;
  return term(s, XLM_OPERAND_DOCUMENTS, q, j, 0) == term(s, XLM_OPERAND_KV_DOCUMENTS, q, j, 0) &&
         term(s, XLM_OPERAND_MASK, q, j, 1) != 0 && term(s, XLM_OPERAND_BIAS, q, j, 0) != -INFINITY;
}

static double raw_score(const setting *s, const ref_walk *q, int64_t j) {
  return dot(query_in(s, q, Q), key_in(s, q, j, j < s->past ? s->in_past_k : K), s->n) * s->scale;
}

static double score(const setting *s, const ref_walk *q, int64_t j, double raw) {
  double x = s->softcap > 0 ? s->softcap * tanh(raw / s->softcap) : raw;
  return x + term(s, XLM_OPERAND_BIAS, q, j, 0) +
         term(s, XLM_OPERAND_SLOPES, q, j, 0) * (double)distance(s, q, j);
}

static ref_walk queries(const setting *s) { // every index of q except the feature
  const xlm_type *t = s->c->in_type[Q];
  xlm_dim dims[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] != s->feature) dims[n++] = t->dim[i];
  return ref_walk_over(s->c, dims, n);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) { // the scores of one query
  (void)t;
  return (size_t)read_setting(c).keys * sizeof(double);
}

static xlm_status run(const xlm_call *c) {
  setting s = read_setting(c);
  double *x = c->workspace;
  ref_walk q = queries(&s);
  while (ref_walk_next(&q)) {
    double sink = term(&s, XLM_OPERAND_SINK, &q, 0, -INFINITY), most = sink;
    for (int64_t j = 0; j < s.keys; j++)
      most = fmax(most, x[j] = sees(&s, &q, j) ? score(&s, &q, j, raw_score(&s, &q, j)) : -INFINITY);
    double sum = sink > -INFINITY ? exp(sink - most) : 0;
    for (int64_t j = 0; j < s.keys; j++) sum += x[j] > -INFINITY ? exp(x[j] - most) : 0;
    row out = query_out(&s, &q, 0);
    for (int64_t f = 0; f < s.n_v; f++) out.at[f * out.next] = 0;
    for (int64_t j = 0; j < s.keys; j++)
      if (x[j] > -INFINITY)
        add(out, exp(x[j] - most) / sum, key_in(&s, &q, j, j < s.past ? s.in_past_v : V), s.n_v);
    ref_out(c, 1)[ref_at(c, c->out_type[1], &q)] = sum > 0 ? most + log(sum) : -INFINITY;
  }
  return XLM_OK;
}

typedef struct pair {
  double p, ds; // probability; gradient of the score, and of scale * (q . k)
  double draw;
} pair;

// dot_out: dout . out less the gradient of the logsumexp
static pair pair_of(const setting *s, const ref_walk *q, int64_t j, double dot_out) {
  const xlm_call *c = s->c;
  double lse = ref_in(c, LSE)[ref_at(c, c->in_type[LSE], q)], x = raw_score(s, q, j);
  double dp = dot(query_in(s, q, DOUT), key_in(s, q, j, V), s->n_v);
  double t = s->softcap > 0 ? tanh(x / s->softcap) : 0, p = exp(score(s, q, j, x) - lse);
  return (pair){.p = p, .ds = p * (dp - dot_out), .draw = p * (dp - dot_out) * (1 - t * t)};
}

static double dot_out_of(const setting *s, const ref_walk *q) {
  return dot(query_in(s, q, OUT), query_in(s, q, DOUT), s->n_v) - term(s, XLM_OPERAND_DLSE, q, 0, 0);
}

static void key_gradients(const setting *s, const ref_walk *q, int64_t j, double dot_out) {
  pair x = pair_of(s, q, j, dot_out);
  add(key_out(s, q, j, V), x.p, query_in(s, q, DOUT), s->n_v);
  add(query_out(s, q, Q), x.draw * s->scale, key_in(s, q, j, K), s->n);
  add(key_out(s, q, j, K), x.draw * s->scale, query_in(s, q, Q), s->n);
}

static xlm_status run_bwd(const xlm_call *c) {
  setting s = read_setting(c);
  for (int i = Q; i <= V; i++)
    memset(c->out[i], 0, (size_t)xlm_call_elements(c, c->out_type[i]) * sizeof(double));
  ref_walk q = queries(&s);
  while (ref_walk_next(&q)) {
    double dot_out = dot_out_of(&s, &q);
    for (int64_t j = 0; j < s.keys; j++)
      if (sees(&s, &q, j)) key_gradients(&s, &q, j, dot_out);
  }
  return XLM_OK;
}

static xlm_status run_bias_bwd(const xlm_call *c) {
  setting s = read_setting(c);
  const xlm_attrs *as = &c->instr->attrs;
  bool slopes = xlm_attr_int(as, XLM_A_distance, 0), of_query = xlm_attr_int(as, XLM_A_along, 0) == 1;
  const xlm_type *t = c->out_type[0];
  memset(c->out[0], 0, (size_t)xlm_call_elements(c, t) * sizeof(double));
  ref_walk q = queries(&s);
  while (ref_walk_next(&q)) {
    double dot_out = dot_out_of(&s, &q);
    for (int64_t j = 0; j < s.keys; j++)
      if (sees(&s, &q, j))
        ref_out(c, 0)[of_query ? ref_at(c, t, &q) : offset_of(&s, t, &q, j, false)] +=
            pair_of(&s, &q, j, dot_out).ds * (slopes ? (double)distance(&s, &q, j) : 1);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_attend = {.op = XLM_OP_ATTEND, .workspace = workspace, .run = run};
const xlm_kernel xlm_ref_attend_bwd = {.op = XLM_OP_ATTEND_BWD, .run = run_bwd};
const xlm_kernel xlm_ref_attend_bias_bwd = {.op = XLM_OP_ATTEND_BIAS_BWD, .run = run_bias_bwd};
