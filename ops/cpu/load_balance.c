// load_balance on the CPU. With counts c the loss is scale * sum over tokens of (sum_i c_i p_ti): every token
// is one softmax and one dot product, and the tokens' terms are added in order, in double. Logits are [a,
// experts, b].
#include <float.h>

#include "ops/cpu/places_priv.h"

enum { SMALL = 1 << 12 };

typedef struct job {
  const void *logits;
  void *dlogits;
  xlm_dtype dtype;
  int64_t tokens, experts, b, padded; // padded: experts rounded up to whole vectors
  float *counts;                      // [padded], zero behind the last expert
  float *rows;                        // [workers, padded]
  float *terms;                       // [tokens]
  float factor;                       // backward: dloss * scale
} job;

static int64_t shape(const xlm_call *c, job *j) { // floats of workspace without the workers' rows
  xlm_dim d[XLM_MAX_RANK];
  const xlm_type *t = c->in_type[0];
  xlm_attr_dims(&c->instr->attrs, XLM_A_experts, d);
  int at = xlm_type_find(t, d[0]);
  *j = (job){.dtype = t->dtype, .experts = c->dims[d[0]].size, .b = xlm_call_inner(c, t, at)};
  j->tokens = xlm_call_outer(c, t, at) * j->b;
  j->padded = vec_pad(j->experts);
  return j->padded + vec_pad(j->tokens);
}

static size_t workspace(const xlm_call *c, int threads) {
  job j;
  int64_t fixed = shape(c, &j);
  return (size_t)(fixed + j.padded * threads) * sizeof(float);
}

static void count(job *j, const xlm_call *c) {
  const int32_t *e = c->in[1];
  int64_t n = xlm_call_elements(c, c->in_type[1]);
  memset(j->counts, 0, (size_t)j->padded * sizeof *j->counts);
  for (int64_t k = 0; k < n; k++)
    if (e[k] >= 0 && e[k] < j->experts) j->counts[e[k]]++;
}

static job start(const xlm_call *c) {
  job j;
  int64_t fixed = shape(c, &j);
  j.logits = c->in[0];
  j.counts = c->workspace;
  j.terms = j.counts + j.padded;
  j.rows = j.counts + fixed;
  count(&j, c);
  return j;
}

static int64_t base_of(const job *j, int64_t t) {
  return t / j->b * j->experts * j->b + t % j->b;
}

// p: the softmax of token t's logits; returns sum_i c_i p_i.
static float softmax(const job *j, int64_t t, float *p) {
  read_strided(j->dtype, j->logits, base_of(j, t), j->b, j->experts, p);
  for (int64_t i = j->experts; i < j->padded; i++) p[i] = -INFINITY;
  float max = vec_max(p, j->experts);
  if (max < -FLT_MAX) max = -FLT_MAX;
  for (int64_t i = 0; i < vec_lanes(j->padded); i++) p[i] = vec_exp(p[i] - max);
  float inverse = 1 / vec_sum(p, j->padded);
  for (int64_t i = 0; i < vec_lanes(j->padded); i++) p[i] *= inverse;
  return vec_dot(p, j->counts, j->padded);
}

static void forward(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) j->terms[t] = softmax(j, t, j->rows + worker * j->padded);
}

static void run(const xlm_call *c) {
  job j = start(c);
  xlm_pool_run(j.tokens * j.experts < SMALL ? NULL : c->pool, forward, &j);
  double sum = 0;
  for (int64_t t = 0; t < j.tokens; t++) sum += (double)j.terms[t];
  *(float *)c->out[0] = (float)(sum * xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1));
}

const xlm_kernel XLM_KERNEL(load_balance) = {.op = "load_balance", .workspace = workspace, .run = run};

static void backward(void *arg, int worker, int workers) {
  const job *j = arg;
  float *p = j->rows + worker * j->padded;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    float mean = softmax(j, t, p);
    for (int64_t i = 0; i < j->experts; i++) p[i] *= (j->counts[i] - mean) * j->factor;
    write_strided(j->dtype, j->dlogits, base_of(j, t), j->b, j->experts, p);
  }
}

static void run_bwd(const xlm_call *c) {
  job j = start(c);
  j.dlogits = c->out[0];
  j.factor = (float)(xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1) * (double)*(const float *)c->in[2]);
  xlm_pool_run(j.tokens * j.experts < SMALL ? NULL : c->pool, backward, &j);
}

const xlm_kernel XLM_KERNEL(load_balance_bwd) = {
    .op = "load_balance_bwd", .workspace = workspace, .run = run_bwd};
