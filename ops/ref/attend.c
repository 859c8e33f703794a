// attend, the reference: the scores of one query at a time, softmax, weighted sum; and its derivative by the
// chain rule.
#include <math.h>
#include <string.h>

#include "ops/ref/ref_priv.h"

enum { Q, K, V, OUT, LSE, DOUT, DLSE };

typedef struct setting {
  const xlm_call *c;
  xlm_dim seq, kv_seq, heads, kv_heads, feature;
  bool causal;
  int64_t window, keys, n;
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
  s.keys = c->dims[s.kv_seq].size;
  s.n = c->dims[s.feature].size;
  return s;
}

// Offset in k or v of element f of key j, for the query at q.
static int64_t key_at(const setting *s, const ref_walk *q, int64_t j, int64_t f) {
  const xlm_dim_info *dims = s->c->dims;
  const xlm_type *t = s->c->in_type[K];
  int64_t at = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    int64_t index = ref_walk_index(q, d);
    if (d == s->kv_heads)
      index = (ref_walk_index(q, s->heads) + dims[s->heads].offset) * dims[d].full / dims[s->heads].full -
              dims[d].offset;
    if (d == s->kv_seq) index = j;
    if (d == s->feature) index = f;
    at = at * dims[d].size + index;
  }
  return at;
}

static int64_t value_at(const setting *s, const ref_walk *q, int64_t j,
                        int64_t f) { // as key_at, in v's own order
  xlm_call c = *s->c;
  const xlm_type *types[] = {c.in_type[Q], c.in_type[V]};
  c.in_type = types;
  setting v = *s;
  v.c = &c;
  return key_at(&v, q, j, f);
}

static int64_t query_at(const setting *s, const xlm_type *t, const ref_walk *q, int64_t f) {
  ref_walk w = *q;
  w.dim[w.n] = s->feature, w.size[w.n] = s->n, w.index[w.n] = f;
  w.n++;
  return ref_at(s->c, t, &w);
}

static bool sees(const setting *s, const ref_walk *q, int64_t j) {
  const xlm_dim_info *dims = s->c->dims;
  int64_t p = xlm_dim_global(&dims[s->seq], ref_walk_index(q, s->seq)),
          k = xlm_dim_global(&dims[s->kv_seq], j);
  return !s->causal || (k <= p && (!s->window || k > p - s->window));
}

static double raw_score(const setting *s, const ref_walk *q, int64_t j) {
  double sum = 0;
  for (int64_t f = 0; f < s->n; f++)
    sum += ref_in(s->c, Q)[query_at(s, s->c->in_type[Q], q, f)] * ref_in(s->c, K)[key_at(s, q, j, f)];
  return sum * s->scale;
}

static double score(const setting *s, const ref_walk *q, int64_t j) {
  double x = raw_score(s, q, j);
  return s->softcap > 0 ? s->softcap * tanh(x / s->softcap) : x;
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
  return (size_t)c->dims[xlm_call_dim(c, XLM_A_kv_seq, 0)].size * sizeof(double);
}

static xlm_status run(const xlm_call *c) {
  setting s = read_setting(c);
  double *x = c->workspace;
  ref_walk q = queries(&s);
  while (ref_walk_next(&q)) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s.keys; j++)
      most = fmax(most, x[j] = sees(&s, &q, j) ? score(&s, &q, j) : -INFINITY);
    for (int64_t j = 0; j < s.keys; j++) sum += sees(&s, &q, j) ? exp(x[j] - most) : 0;
    for (int64_t f = 0; f < s.n; f++) ref_out(c, 0)[query_at(&s, c->out_type[0], &q, f)] = 0;
    for (int64_t j = 0; j < s.keys; j++)
      for (int64_t f = 0; sees(&s, &q, j) && f < s.n; f++)
        ref_out(c, 0)[query_at(&s, c->out_type[0], &q, f)] +=
            exp(x[j] - most) / sum * ref_in(c, V)[value_at(&s, &q, j, f)];
    ref_out(c, 1)[ref_at(c, c->out_type[1], &q)] = sum > 0 ? most + log(sum) : -INFINITY;
  }
  return XLM_OK;
}

static void key_gradients(const setting *s, const ref_walk *q, int64_t j, double dot_out) {
  const xlm_call *c = s->c;
  double lse = ref_in(c, LSE)[ref_at(c, c->in_type[LSE], q)], x = raw_score(s, q, j), dp = 0;
  double p = exp((s->softcap > 0 ? s->softcap * tanh(x / s->softcap) : x) - lse);
  for (int64_t f = 0; f < s->n; f++) {
    double dout = ref_in(c, DOUT)[query_at(s, c->in_type[DOUT], q, f)];
    dp += dout * ref_in(c, V)[value_at(s, q, j, f)];
    ref_out(c, V)[value_at(s, q, j, f)] += p * dout;
  }
  double ds = p * (dp - dot_out) * s->scale, t = s->softcap > 0 ? tanh(x / s->softcap) : 0;
  ds *= 1 - t * t;
  for (int64_t f = 0; f < s->n; f++) {
    int64_t qf = query_at(s, c->in_type[Q], q, f), kf = key_at(s, q, j, f);
    ref_out(c, Q)[qf] += ds * ref_in(c, K)[kf];
    ref_out(c, K)[kf] += ds * ref_in(c, Q)[qf];
  }
}

static xlm_status run_bwd(const xlm_call *c) {
  setting s = read_setting(c);
  for (int i = Q; i <= V; i++)
    memset(c->out[i], 0, (size_t)xlm_call_elements(c, c->out_type[i]) * sizeof(double));
  ref_walk q = queries(&s);
  while (ref_walk_next(&q)) {
    double dot_out = c->instr->n_in > DLSE ? -ref_in(c, DLSE)[ref_at(c, c->in_type[DLSE], &q)] : 0;
    for (int64_t f = 0; f < s.n; f++)
      dot_out += ref_in(c, OUT)[query_at(&s, c->in_type[OUT], &q, f)] *
                 ref_in(c, DOUT)[query_at(&s, c->in_type[DOUT], &q, f)];
    for (int64_t j = 0; j < s.keys; j++)
      if (sees(&s, &q, j)) key_gradients(&s, &q, j, dot_out);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_attend = {.op = XLM_OP_ATTEND, .workspace = workspace, .run = run};
const xlm_kernel xlm_ref_attend_bwd = {.op = XLM_OP_ATTEND_BWD, .run = run_bwd};
