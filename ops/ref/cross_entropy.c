// cross_entropy in float64, token by token.
#include <math.h>

#include "ops/ref/ref_priv.h"

static xlm_dim vocab_of(const xlm_call *c) {
  xlm_dim d[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_vocab, d);
  return d[0];
}

static int32_t target_at(const xlm_call *c, const ref_walk *w) {
  return ((const int32_t *)c->in[1])[ref_at(c, c->in_type[1], w)];
}

static bool counts(const xlm_call *c, int32_t target) {
  return target >= 0 && target < c->dims[vocab_of(c)].size &&
         target != xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1);
}

static double valid_targets(const xlm_call *c, int operand) {
  if (c->instr->n_in > operand) return ref_in(c, operand)[0];
  double n = 0;
  ref_walk w = ref_walk_type(c, c->in_type[1]);
  while (ref_walk_next(&w)) n += counts(c, target_at(c, &w));
  return n;
}

static double logit_at(const xlm_call *c, ref_walk *w, int64_t v) {
  ref_walk_set(w, vocab_of(c), v);
  return ref_in(c, 0)[ref_at(c, c->in_type[0], w)];
}

static double logsumexp(const xlm_call *c, ref_walk *w) {
  int64_t n = c->dims[vocab_of(c)].size;
  double max = -INFINITY, sum = 0;
  for (int64_t v = 0; v < n; v++) max = fmax(max, logit_at(c, w, v));
  for (int64_t v = 0; v < n; v++) sum += exp(logit_at(c, w, v) - max);
  return max + log(sum);
}

static ref_walk at_logits(const xlm_call *c,
                          const ref_walk *token) { // a walk over all dims, standing at this token
  ref_walk w = ref_walk_type(c, c->in_type[0]);
  for (int i = 0; i < token->n; i++) ref_walk_set(&w, token->dim[i], token->index[i]);
  return w;
}

static xlm_status run(const xlm_call *c) {
  double sum = 0, valid = valid_targets(c, 2);
  ref_walk t = ref_walk_type(c, c->in_type[1]);
  while (ref_walk_next(&t)) {
    ref_walk w = at_logits(c, &t);
    double lse = logsumexp(c, &w);
    int32_t target = target_at(c, &t);
    ref_out(c, 1)[ref_at(c, c->out_type[1], &t)] = lse;
    if (counts(c, target)) sum += lse - logit_at(c, &w, target);
  }
  ref_out(c, 0)[0] = valid > 0 ? sum / valid : 0;
  return XLM_OK;
}

const xlm_kernel xlm_ref_cross_entropy = {.op = XLM_OP_CROSS_ENTROPY, .run = run};

static xlm_status run_bwd(const xlm_call *c) {
  double valid = valid_targets(c, 4);
  double factor = valid > 0 ? ref_in(c, 3)[0] / valid : 0;
  ref_walk w = ref_walk_type(c, c->in_type[0]);
  while (ref_walk_next(&w)) {
    int32_t target = target_at(c, &w);
    double lse = ref_in(c, 2)[ref_at(c, c->in_type[2], &w)];
    int64_t at = ref_at(c, c->in_type[0], &w);
    double p = exp(ref_in(c, 0)[at] - lse), one = ref_walk_index(&w, vocab_of(c)) == target;
    ref_out(c, 0)[at] = counts(c, target) ? factor * (p - one) : 0;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_cross_entropy_bwd = {.op = XLM_OP_CROSS_ENTROPY_BWD, .run = run_bwd};

static xlm_status run_grad(const xlm_call *c) { // logits, targets, dloss, valid -> dlogits, loss
  double sum = 0, valid = valid_targets(c, 3);
  double factor = valid > 0 ? ref_in(c, 2)[0] / valid : 0;
  ref_walk t = ref_walk_type(c, c->in_type[1]);
  while (ref_walk_next(&t)) {
    ref_walk w = at_logits(c, &t);
    double lse = logsumexp(c, &w);
    int32_t target = target_at(c, &t);
    if (counts(c, target)) sum += lse - logit_at(c, &w, target);
    for (int64_t v = 0; v < c->dims[vocab_of(c)].size; v++) {
      double p = exp(logit_at(c, &w, v) - lse), one = v == target; // sets w to v
      ref_out(c, 0)[ref_at(c, c->in_type[0], &w)] = counts(c, target) ? factor * (p - one) : 0;
    }
  }
  ref_out(c, 1)[0] = valid > 0 ? sum / valid : 0;
  return XLM_OK;
}

const xlm_kernel xlm_ref_cross_entropy_grad = {.op = XLM_OP_CROSS_ENTROPY_GRAD, .run = run_grad};

static xlm_status run_stats(const xlm_call *c) {
  const xlm_dim_info *vocab = &c->dims[vocab_of(c)];
  ref_walk t = ref_walk_type(c, c->in_type[1]);
  while (ref_walk_next(&t)) {
    ref_walk w = at_logits(c, &t);
    int64_t target = target_at(c, &t), here = target - vocab->offset;
    bool counted = target >= 0 && target != xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1) && here >= 0 &&
                   here < vocab->size;
    ref_out(c, 0)[ref_at(c, c->out_type[0], &t)] = logsumexp(c, &w);
    ref_out(c, 1)[ref_at(c, c->out_type[1], &t)] = counted ? logit_at(c, &w, here) : 0;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_token_stats = {.op = XLM_OP_TOKEN_STATS, .run = run_stats};

static xlm_status run_token_loss(const xlm_call *c) {
  double sum = 0, n = 0;
  ref_walk t = ref_walk_type(c, c->in_type[2]);
  while (ref_walk_next(&t)) {
    int64_t target = ((const int32_t *)c->in[2])[ref_at(c, c->in_type[2], &t)];
    if (target < 0 || target >= xlm_attr_int(&c->instr->attrs, XLM_A_k, INT32_MAX) ||
        target == xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1))
      continue;
    sum += ref_in(c, 0)[ref_at(c, c->in_type[0], &t)] - ref_in(c, 1)[ref_at(c, c->in_type[1], &t)];
    n++;
  }
  double valid = c->instr->n_in > 3 ? ref_in(c, 3)[0] : n;
  ref_out(c, 0)[0] = valid > 0 ? sum / valid : 0;
  return XLM_OK;
}

const xlm_kernel xlm_ref_token_loss = {.op = XLM_OP_TOKEN_LOSS, .run = run_token_loss};

static xlm_status run_each(const xlm_call *c) {
  ref_walk t = ref_walk_type(c, c->in_type[1]);
  while (ref_walk_next(&t)) {
    ref_walk w = at_logits(c, &t);
    int32_t target = target_at(c, &t);
    double lse = logsumexp(c, &w);
    ref_out(c, 0)[ref_at(c, c->out_type[0], &t)] = counts(c, target) ? lse - logit_at(c, &w, target) : 0;
    ref_out(c, 1)[ref_at(c, c->out_type[1], &t)] = lse;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_token_cross_entropy = {.op = XLM_OP_TOKEN_CROSS_ENTROPY, .run = run_each};

static xlm_status run_each_bwd(const xlm_call *c) { // logits, targets, lse, dlosses
  ref_walk w = ref_walk_type(c, c->in_type[0]);
  while (ref_walk_next(&w)) {
    int32_t target = target_at(c, &w);
    int64_t at = ref_at(c, c->in_type[0], &w);
    double lse = ref_in(c, 2)[ref_at(c, c->in_type[2], &w)],
           dloss = ref_in(c, 3)[ref_at(c, c->in_type[3], &w)];
    double p = exp(ref_in(c, 0)[at] - lse), one = ref_walk_index(&w, vocab_of(c)) == target;
    ref_out(c, 0)[at] = counts(c, target) ? dloss * (p - one) : 0;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_token_cross_entropy_bwd = {.op = XLM_OP_TOKEN_CROSS_ENTROPY_BWD,
                                                    .run = run_each_bwd};
