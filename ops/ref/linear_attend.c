// linear_attend and its gradient in float64, step by step as the recurrence says:
//
//   S[t] = d[t] S[t-1] + k[t] v[t]^T,   y[t] = q[t] S[t]
//
// and backwards, with Z the gradient to S[t] through all that follows: Z += q[t] dy[t]^T, then dk[t] = Z
// v[t], dv[t] = k[t] Z, dlog_decay[t] = d[t] <S[t-1], Z>, dq[t] = S[t] dy[t], and Z = d[t] Z for the step
// before. With a decay per channel d[t] and dlog_decay[t] are those of each row of S.
#include <math.h>
#include <string.h>

#include "ops/ref/ref_priv.h"

enum { Q, K, V };

typedef struct setting {
  const xlm_call *c;
  xlm_dim seq, feature, value;
  int decay; // the operand; 0: none
  int64_t steps, n, p;
} setting;

static setting setting_of(const xlm_call *c, int decay) {
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_over, over);
  setting s = {.c = c,
               .seq = xlm_call_dim(c, XLM_A_seq, 0),
               .feature = xlm_call_dim(c, XLM_A_feature, 0),
               .value = over[n - 1],
               .decay = decay < c->instr->n_in ? decay : 0};
  s.steps = c->dims[s.seq].size, s.n = c->dims[s.feature].size, s.p = c->dims[s.value].size;
  return s;
}

// The vectors of one operand or result for one head: element i of that at a position is at[position * step +
// i * next].
typedef struct vectors {
  double *at;
  int64_t step, next;
} vectors;

typedef struct head {
  vectors in[5], out[4];
} head;

static vectors vectors_of(const setting *s, void *data, const xlm_type *t, const ref_walk *w) {
  xlm_dim d = xlm_type_find(t, s->value) >= 0 ? s->value : s->feature;
  return (vectors){(double *)data + ref_at(s->c, t, w), xlm_call_stride(s->c, t, s->seq),
                   xlm_call_stride(s->c, t, d)};
}

static head head_at(const setting *s, const ref_walk *w) {
  head h = {0};
  for (int i = 0; i < s->c->instr->n_in; i++) h.in[i] = vectors_of(s, s->c->in[i], s->c->in_type[i], w);
  for (int i = 0; i < s->c->instr->n_out; i++) h.out[i] = vectors_of(s, s->c->out[i], s->c->out_type[i], w);
  return h;
}

static double *place(const vectors *v, int64_t step, int64_t i) {
  return &v->at[step * v->step + i * v->next];
}

static double decay(const setting *s, const head *h, int64_t step, int64_t channel) {
  return s->decay ? exp(*place(&h->in[s->decay], step, channel)) : 1;
}

static ref_walk heads_of(const setting *s) { // every batch entry and head
  const xlm_type *v = s->c->in_type[V];
  xlm_dim dims[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < v->rank; i++)
    if (v->dim[i] != s->value && v->dim[i] != s->seq) dims[n++] = v->dim[i];
  return ref_walk_over(s->c, dims, n);
}

// state = decay before + k v^T; before NULL: zero.
static void step_state(const setting *s, const head *h, int64_t t, const double *before, double *state) {
  for (int64_t i = 0; i < s->n; i++) {
    double d = decay(s, h, t, i), k = *place(&h->in[K], t, i);
    for (int64_t j = 0; j < s->p; j++)
      state[i * s->p + j] = (before ? d * before[i * s->p + j] : 0) + k * *place(&h->in[V], t, j);
  }
}

static size_t workspace(const xlm_call *c, const xlm_target *t) { // the state
  (void)t;
  setting s = setting_of(c, 3);
  return (size_t)(s.n * s.p) * sizeof(double);
}

static xlm_status run(const xlm_call *c) {
  setting s = setting_of(c, 3);
  double *state = c->workspace;
  for (ref_walk w = heads_of(&s); ref_walk_next(&w);) {
    head h = head_at(&s, &w);
    for (int64_t t = 0; t < s.steps; t++) {
      step_state(&s, &h, t, t ? state : NULL, state);
      for (int64_t j = 0; j < s.p; j++) {
        double sum = 0;
        for (int64_t i = 0; i < s.n; i++) sum += *place(&h.in[Q], t, i) * state[i * s.p + j];
        *place(&h.out[0], t, j) = sum;
      }
    }
  }
  return XLM_OK;
}

static size_t workspace_bwd(const xlm_call *c, const xlm_target *t) { // the state of every step, and Z
  (void)t;
  setting s = setting_of(c, 4);
  return (size_t)((s.steps + 1) * s.n * s.p) * sizeof(double);
}

static void step_back(const setting *s, const head *h, int64_t t, const double *state, double *z) {
  enum { DOUT = 3, DDECAY = 3 };
  const double *before = state - s->n * s->p;
  for (int64_t i = 0; i < s->n; i++) {
    double d = decay(s, h, t, i), q = *place(&h->in[Q], t, i), k = *place(&h->in[K], t, i), through = 0;
    for (int64_t j = 0; j < s->p; j++) {
      double v = *place(&h->in[V], t, j), dy = *place(&h->in[DOUT], t, j), *to = &z[i * s->p + j];
      *to += q * dy;
      *place(&h->out[Q], t, i) += state[i * s->p + j] * dy;
      *place(&h->out[K], t, i) += *to * v;
      *place(&h->out[V], t, j) += *to * k;
      if (t) through += before[i * s->p + j] * *to;
      *to *= d;
    }
    if (s->decay) *place(&h->out[DDECAY], t, i) += d * through;
  }
}

static xlm_status run_bwd(const xlm_call *c) {
  setting s = setting_of(c, 4);
  double *states = c->workspace, *z = states + s.steps * s.n * s.p;
  for (int i = 0; i < c->instr->n_out; i++)
    memset(c->out[i], 0, (size_t)xlm_call_elements(c, c->out_type[i]) * sizeof(double));
  for (ref_walk w = heads_of(&s); ref_walk_next(&w);) {
    head h = head_at(&s, &w);
    memset(z, 0, (size_t)(s.n * s.p) * sizeof(double));
    for (int64_t t = 0; t < s.steps; t++)
      step_state(&s, &h, t, t ? states + (t - 1) * s.n * s.p : NULL, states + t * s.n * s.p);
    for (int64_t t = s.steps - 1; t >= 0; t--) step_back(&s, &h, t, states + t * s.n * s.p, z);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_linear_attend = {.op = XLM_OP_LINEAR_ATTEND, .workspace = workspace, .run = run};
const xlm_kernel xlm_ref_linear_attend_bwd = {
    .op = XLM_OP_LINEAR_ATTEND_BWD, .workspace = workspace_bwd, .run = run_bwd};
