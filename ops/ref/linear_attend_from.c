// linear_attend_from and linear_attend_put in float64, step by step from the state before the first place's
// chunk on.
#include <math.h>
#include <string.h>

#include "ops/ref/ref_priv.h"
#include "runtime/plan/chunks.h"

// Operands after the state; what both have is at the same place, or a number in `setting`.
enum { STATE, FROM_Q, PAST_K = 5, PAST_V, LOG, PAST_LOG };

typedef struct setting {
  const xlm_call *c;
  xlm_dim seq, feature, value;
  int k, v, start;
  int64_t n, p;
} setting;

static setting setting_of(const xlm_call *c, int k, int start) {
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_over, over);
  setting s = {.c = c,
               .seq = xlm_call_dim(c, XLM_A_seq, 0),
               .feature = xlm_call_dim(c, XLM_A_feature, 0),
               .value = over[n - 1],
               .k = k,
               .v = k + 1,
               .start = start};
  s.n = c->dims[s.feature].size, s.p = c->dims[s.value].size;
  return s;
}

static ref_walk heads_of(const setting *s) { // every batch entry and head
  const xlm_type *v = s->c->in_type[s->v];
  xlm_dim dims[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < v->rank; i++)
    if (v->dim[i] != s->value && v->dim[i] != s->seq) dims[n++] = v->dim[i];
  return ref_walk_over(s->c, dims, n);
}

static int64_t number(const setting *s, int operand, const ref_walk *w) {
  return ((const int32_t *)s->c->in[operand])[ref_at(s->c, s->c->in_type[operand], w)];
}

static ref_walk with(const setting *s, const ref_walk *w, xlm_dim d, int64_t i) {
  ref_walk x = *w;
  x.dim[x.n] = d, x.size[x.n] = s->c->dims[d].size, x.index[x.n++] = i;
  return x;
}

// The dimension that a cache has in the place of the sequence.
static xlm_dim ring_of(const setting *s, int cache) {
  xlm_dim d = 0;
  for (int i = 0; i < 3 && !d; i++) {
    xlm_dim past = xlm_call_dim(s->c, XLM_A_past, i);
    if (past && xlm_type_find(s->c->in_type[cache], past) >= 0) d = past;
  }
  return d;
}

// Element i of vector d, at a place: of the operand, or before `start` of its cache.
static double at(const setting *s, int operand, int cache, const ref_walk *w, int64_t place, xlm_dim d,
                 int64_t i) {
  ref_walk x = with(s, w, d, i);
  int64_t start = number(s, s->start, w);
  if (place < start && cache < s->c->instr->n_in)
    return ref_in(s->c, cache)[ref_at_place(s->c, cache, &x, ring_of(s, cache), place)];
  x = with(s, &x, s->seq, place < start ? 0 : place - start);
  return ref_in(s->c, operand)[ref_at(s->c, s->c->in_type[operand], &x)];
}

static int64_t cell(const setting *s, const ref_walk *w, int64_t i, int64_t j) {
  ref_walk x = with(s, w, s->feature, i);
  x = with(s, &x, s->value, j);
  return ref_at(s->c, s->c->in_type[STATE], &x);
}

static void step(const setting *s, const ref_walk *w, int64_t place, double *state) {
  for (int64_t i = 0; i < s->n; i++) {
    double log = s->c->instr->n_in > LOG ? at(s, LOG, PAST_LOG, w, place, s->feature, i) : 0;
    double k = at(s, s->k, PAST_K, w, place, s->feature, i);
    for (int64_t j = 0; j < s->p; j++)
      state[i * s->p + j] = exp(log) * state[i * s->p + j] + k * at(s, s->v, PAST_V, w, place, s->value, j);
  }
}

// The state before the chunk of place `start`; the chunk's first place.
static int64_t begin(const setting *s, const ref_walk *w, double *state) {
  int64_t first = number(s, s->start, w) / XLM_LINEAR_CHUNK * XLM_LINEAR_CHUNK;
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t j = 0; j < s->p; j++)
      state[i * s->p + j] = first ? ref_in(s->c, STATE)[cell(s, w, i, j)] : 0;
  return first;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) { // the state
  (void)t;
  setting s = setting_of(c, 1, 0);
  return (size_t)(s.n * s.p) * sizeof(double);
}

static void result(const setting *s, const ref_walk *w, int64_t row, const double *state) {
  for (int64_t j = 0; j < s->p; j++) {
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
      ref_walk x = with(s, w, s->feature, i);
      x = with(s, &x, s->seq, row);
      sum += ref_in(s->c, FROM_Q)[ref_at(s->c, s->c->in_type[FROM_Q], &x)] * state[i * s->p + j];
    }
    ref_walk x = with(s, w, s->seq, row);
    x = with(s, &x, s->value, j);
    ref_out(s->c, 0)[ref_at(s->c, s->c->out_type[0], &x)] = sum;
  }
}

static xlm_status run_from(const xlm_call *c) {
  setting s = setting_of(c, 2, 4);
  double *state = c->workspace;
  for (ref_walk w = heads_of(&s); ref_walk_next(&w);) {
    int64_t start = number(&s, s.start, &w), place = begin(&s, &w, state);
    for (; place < start + c->dims[s.seq].size; place++) {
      step(&s, &w, place, state);
      if (place >= start) result(&s, &w, place - start, state);
    }
  }
  return XLM_OK;
}

static xlm_status run_put(const xlm_call *c) {
  enum { COUNT = 4 };
  setting s = setting_of(c, 1, 3);
  double *state = c->workspace;
  memmove(c->out[0], c->in[STATE], xlm_type_bytes(c->in_type[STATE], c->dims));
  for (ref_walk w = heads_of(&s); ref_walk_next(&w);) {
    int64_t place = begin(&s, &w, state), end = number(&s, s.start, &w) + number(&s, COUNT, &w);
    if (place + XLM_LINEAR_CHUNK > end) continue;
    for (; place < end / XLM_LINEAR_CHUNK * XLM_LINEAR_CHUNK; place++) step(&s, &w, place, state);
    for (int64_t i = 0; i < s.n; i++)
      for (int64_t j = 0; j < s.p; j++) ref_out(c, 0)[cell(&s, &w, i, j)] = state[i * s.p + j];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_linear_attend_from = {
    .op = XLM_OP_LINEAR_ATTEND_FROM, .workspace = workspace, .run = run_from};
const xlm_kernel xlm_ref_linear_attend_put = {
    .op = XLM_OP_LINEAR_ATTEND_PUT, .workspace = workspace, .run = run_put};
