// cross_entropy on the CPU. The forward reads the logits once, in chunks that stay in the cache, with a
// running maximum and a running sum scaled to it (Milakov & Gimelshein, "Online normalizer calculation for
// softmax"). The backward computes gradients of logits elementwise and may do so in place. Both at once go
// over a row twice, the second time in the cache. The logits are [a, vocab, b]; b = 1 is the fast case.
//
// Losses of tokens are written to the workspace and added in the order of the tokens in double, independent
// of the workers.
#include <float.h>

#include "ops/cpu/places_priv.h"

enum {
  CHUNK = VEC_RUN,
  SMALL = 1 << 12
}; // elements of a row at a time; elements below which one worker does everything

typedef struct job {
  const void *logits;
  void *dlogits;
  xlm_dtype dtype;
  const int32_t *targets;
  float *lse, *loss; // like the targets; loss: per token in the logits' order
  int64_t tokens, vocab, stride, ignore;
  int64_t first, full;          // the local part of the vocabulary begins at `first` of `full`
  double share;                 // tokens of all ranks relative to the local ones
  places at_logits, at_targets; // by token, in the order of the logits
  float factor;                 // backward: dloss / valid ..
  const float *dlosses;         // .. or, if not NULL, a factor for each token, like the targets
} job;

static double token_share(const xlm_call *c, const xlm_dim *dims, int n) {
  double share = 1;
  for (int i = 0; i < n; i++)
    if (c->dims[dims[i]].size) share *= (double)c->dims[dims[i]].full / (double)c->dims[dims[i]].size;
  return share;
}

static job job_of(const xlm_call *c) {
  xlm_dim vocab[XLM_MAX_RANK], dims[XLM_MAX_RANK];
  const xlm_type *t = c->in_type[0];
  int n = 0;
  xlm_attr_dims(&c->instr->attrs, XLM_A_vocab, vocab);
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] != vocab[0]) dims[n++] = t->dim[i];
  job j = {.logits = c->in[0],
           .dtype = t->dtype,
           .targets = c->in[1],
           .vocab = c->dims[vocab[0]].size,
           .stride = xlm_call_stride(c, t, vocab[0]),
           .first = c->dims[vocab[0]].offset,
           .full = c->dims[vocab[0]].full,
           .share = token_share(c, dims, n),
           .ignore = xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1)};
  j.at_logits = places_over(c, t, dims, n);
  j.at_targets = places_over(c, c->in_type[1], dims, n);
  j.tokens = j.at_logits.count;
  return j;
}

static bool counts(const job *j, int32_t target) {
  return target >= 0 && target < j->full && target != j->ignore;
}

static bool is_here(const job *j, int32_t target) {
  return counts(j, target) && target >= j->first && target < j->first + j->vocab;
}

static float logit_at(const job *j, int64_t base, int32_t target) {
  return vec_read_one(j->dtype, j->logits, base + (target - j->first) * j->stride);
}

// Without a count for the global batch: the local count, assuming that the other ranks have as many.

static double valid_targets(const xlm_call *c, const job *j, int operand) {
  if (c->instr->n_in > operand) return (double)((const float *)c->in[operand])[0];
  int64_t n = 0;
  for (int64_t i = 0; i < j->tokens; i++) n += counts(j, j->targets[i]); // in any order
  return (double)n * j->share;
}

// Elements [at, at + n) of the row at `base`, as f32, padded with -inf to a whole block; `buffer` is used
// unless they are in memory in that form.
static const float *chunk(const job *j, int64_t base, int64_t at, int64_t n, float *buffer) {
  bool direct = j->dtype == XLM_F32 && j->stride == 1 && n == vec_pad(n);
  if (direct) return (const float *)j->logits + base + at;
  read_strided(j->dtype, j->logits, base + at * j->stride, j->stride, n, buffer);
  for (; n < CHUNK && n % VEC_PAD; n++) buffer[n] = -INFINITY;
  return buffer;
}

typedef struct running { // running sum of e^(x - max)
  float max;
  double sum;
} running;

static void add_chunk(running *r, const float *x, int64_t n) { // n: whole blocks
  float e[CHUNK], max = vec_max(x, n);
  if (max < r->max) max = r->max;
  for (int64_t i = 0; i < vec_lanes(n); i++) e[i] = vec_exp(x[i] - max);
  r->sum = r->sum * exp((double)r->max - (double)max) + (double)vec_sum(e, n);
  r->max = max;
}

static float logsumexp(const job *j, int64_t base) {
  float buffer[CHUNK];
  running r = {.max = -FLT_MAX};
  for (int64_t at = 0; at < j->vocab; at += CHUNK) {
    int64_t n = j->vocab - at < CHUNK ? j->vocab - at : CHUNK;
    add_chunk(&r, chunk(j, base, at, n, buffer), vec_pad(n));
  }
  return (float)((double)r.max + log(r.sum));
}

static void forward(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = places_at(&j->at_logits, t), at = places_at(&j->at_targets, t);
    int32_t target = j->targets[at];
    float lse = logsumexp(j, base);
    j->lse[at] = lse;
    j->loss[t] = is_here(j, target) ? lse - logit_at(j, base, target) : 0;
  }
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return (size_t)xlm_call_elements(c, c->in_type[1]) * sizeof(float);
}

static float mean_loss(const job *j, double valid) {
  double sum = 0;
  for (int64_t t = 0; t < j->tokens; t++) sum += (double)j->loss[t];
  return valid > 0 ? (float)(sum / valid) : 0;
}

static xlm_status run(const xlm_call *c) {
  job j = job_of(c);
  j.lse = c->out[1];
  j.loss = c->workspace;
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), forward, &j);
  *(float *)c->out[0] = mean_loss(&j, valid_targets(c, &j, 2));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(cross_entropy) = {.op = XLM_OP_CROSS_ENTROPY, .workspace = workspace, .run = run};

static void row_gradient(const job *j, int64_t base, float lse, int32_t target, float factor) {
  float buffer[CHUNK], *direct = j->dlogits;
  bool here = is_here(j, target);
  float at_target = here ? logit_at(j, base, target) : 0; // read before it is overwritten
  for (int64_t at = 0; at < j->vocab; at += CHUNK) {
    int64_t n = j->vocab - at < CHUNK ? j->vocab - at : CHUNK;
    const float *x = chunk(j, base, at, n, buffer);
    float *y = x == buffer ? buffer : direct + base + at;
    for (int64_t i = 0; i < vec_lanes(vec_pad(n)); i++) y[i] = vec_exp(x[i] - lse) * factor;
    if (x == buffer) write_strided(j->dtype, j->dlogits, base + at * j->stride, j->stride, n, y);
  }
  if (here)
    write_one(j->dtype, j->dlogits, base + (target - j->first) * j->stride,
              (vec_exp(at_target - lse) - 1) * factor);
}

static void row_zero(const job *j, int64_t base) {
  if (j->stride == 1)
    memset((char *)j->dlogits + (size_t)base * xlm_dtype_bytes(j->dtype), 0,
           (size_t)j->vocab * xlm_dtype_bytes(j->dtype));
  else
    for (int64_t v = 0; v < j->vocab; v++) write_one(j->dtype, j->dlogits, base + v * j->stride, 0);
}

static void backward(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = places_at(&j->at_logits, t), at = places_at(&j->at_targets, t);
    if (counts(j, j->targets[at]))
      row_gradient(j, base, j->lse[at], j->targets[at], j->dlosses ? j->dlosses[at] : j->factor);
    else
      row_zero(j, base);
  }
}

static void set_factor(job *j, const float *dloss, double valid) {
  j->factor = valid > 0 ? (float)((double)*dloss / valid) : 0;
}

static xlm_status run_bwd(const xlm_call *c) { // logits, targets, lse, dloss, valid
  job j = job_of(c);
  double valid = valid_targets(c, &j, 4);
  j.lse = c->in[2];
  j.dlogits = c->out[0];
  set_factor(&j, c->in[3], valid);
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), backward, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(cross_entropy_bwd) = {.op = XLM_OP_CROSS_ENTROPY_BWD, .run = run_bwd};

// ---- both at once

static void forward_and_backward(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = places_at(&j->at_logits, t);
    int32_t target = j->targets[places_at(&j->at_targets, t)];
    j->loss[t] = 0;
    if (!counts(j, target)) {
      row_zero(j, base);
      continue;
    }
    float lse = logsumexp(j, base);
    if (is_here(j, target)) j->loss[t] = lse - logit_at(j, base, target);
    row_gradient(j, base, lse, target, j->factor);
  }
}

static xlm_status run_grad(const xlm_call *c) { // logits, targets, dloss, valid -> dlogits, loss
  job j = job_of(c);
  double valid = valid_targets(c, &j, 3);
  j.loss = c->workspace;
  j.dlogits = c->out[0];
  set_factor(&j, c->in[2], valid);
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), forward_and_backward, &j);
  *(float *)c->out[1] = mean_loss(&j, valid);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(cross_entropy_grad) = {
    .op = XLM_OP_CROSS_ENTROPY_GRAD, .workspace = workspace, .run = run_grad};

// ---- a split vocabulary

static void stats(void *arg, int worker, int workers) { // loss: the targets' logits
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = places_at(&j->at_logits, t), at = places_at(&j->at_targets, t);
    j->lse[at] = logsumexp(j, base);
    j->loss[at] = is_here(j, j->targets[at]) ? logit_at(j, base, j->targets[at]) : 0;
  }
}

static xlm_status run_stats(const xlm_call *c) { // logits, targets -> lse, logit of the target
  job j = job_of(c);
  j.lse = c->out[0];
  j.loss = c->out[1];
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), stats, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(token_stats) = {.op = XLM_OP_TOKEN_STATS, .run = run_stats};

static xlm_status run_token_loss(const xlm_call *c) { // lse, logit of the target, targets, valid
  const xlm_type *t = c->in_type[2];
  const int32_t *targets = c->in[2];
  job j = {.targets = targets,
           .tokens = xlm_call_elements(c, t),
           .full = xlm_attr_int(&c->instr->attrs, XLM_A_k, INT32_MAX),
           .ignore = xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1),
           .share = token_share(c, t->dim, t->rank)};
  places lse = places_over(c, c->in_type[0], t->dim, t->rank),
         logit = places_over(c, c->in_type[1], t->dim, t->rank);
  double sum = 0, valid = valid_targets(c, &j, 3);
  for (int64_t i = 0; i < j.tokens; i++)
    if (counts(&j, targets[i]))
      sum += (double)(((const float *)c->in[0])[places_at(&lse, i)] -
                      ((const float *)c->in[1])[places_at(&logit, i)]);
  *(float *)c->out[0] = valid > 0 ? (float)(sum / valid) : 0;
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(token_loss) = {.op = XLM_OP_TOKEN_LOSS, .run = run_token_loss};

// ---- a loss for each token

static void each(void *arg, int worker, int workers) { // loss: like the targets
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = places_at(&j->at_logits, t), at = places_at(&j->at_targets, t);
    j->lse[at] = logsumexp(j, base);
    j->loss[at] = is_here(j, j->targets[at]) ? j->lse[at] - logit_at(j, base, j->targets[at]) : 0;
  }
}

static xlm_status run_each(const xlm_call *c) { // logits, targets -> losses, lse
  job j = job_of(c);
  j.loss = c->out[0];
  j.lse = c->out[1];
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), each, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(token_cross_entropy) = {.op = XLM_OP_TOKEN_CROSS_ENTROPY, .run = run_each};

static xlm_status run_each_bwd(const xlm_call *c) { // logits, targets, lse, dlosses
  job j = job_of(c);
  j.lse = c->in[2];
  j.dlosses = c->in[3];
  j.dlogits = c->out[0];
  xlm_pool_run(j.tokens * j.vocab < SMALL ? NULL : xlm_cpu_pool(c), backward, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(token_cross_entropy_bwd) = {.op = XLM_OP_TOKEN_CROSS_ENTROPY_BWD,
                                                        .run = run_each_bwd};
