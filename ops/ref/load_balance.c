// load_balance in float64: the formula of ops/load_balance.c, term by term.
#include <math.h>

#include "ops/ref/ref_priv.h"

static xlm_dim experts_of(const xlm_call *c) {
  xlm_dim d[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_experts, d);
  return d[0];
}

static double count(const xlm_call *c, int64_t expert) {
  double n = 0;
  int64_t choices = xlm_call_elements(c, c->in_type[1]);
  for (int64_t k = 0; k < choices; k++) n += ((const int32_t *)c->in[1])[k] == expert;
  return n;
}

static double logit(const xlm_call *c, const ref_walk *token, int64_t expert) {
  ref_walk w = *token;
  ref_walk_set(&w, experts_of(c), expert);
  return ref_in(c, 0)[ref_at(c, c->in_type[0], &w)];
}

typedef struct normal { // softmax of one token: exp(logit - max) / sum
  double max, sum;
} normal;

static normal normal_of(const xlm_call *c, const ref_walk *token) {
  normal n = {.max = -INFINITY};
  int64_t experts = c->dims[experts_of(c)].size;
  for (int64_t i = 0; i < experts; i++) n.max = fmax(n.max, logit(c, token, i));
  for (int64_t i = 0; i < experts; i++) n.sum += exp(logit(c, token, i) - n.max);
  return n;
}

// sum_i c_i p_i of one token.
static double weighted(const xlm_call *c, const ref_walk *token, normal n) {
  double sum = 0;
  for (int64_t i = 0; i < c->dims[experts_of(c)].size; i++)
    sum += count(c, i) * exp(logit(c, token, i) - n.max) / n.sum;
  return sum;
}

// Visits the tokens: all dims of the logits, the experts held at 0.
static bool next_token(const xlm_call *c, ref_walk *w) {
  bool more = ref_walk_next(w);
  while (more && ref_walk_index(w, experts_of(c))) more = ref_walk_next(w);
  return more;
}

static void run(const xlm_call *c) {
  double sum = 0;
  ref_walk t = ref_walk_type(c, c->in_type[0]);
  while (next_token(c, &t)) sum += weighted(c, &t, normal_of(c, &t));
  ref_out(c, 0)[0] = xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1) * sum;
}

const xlm_kernel xlm_ref_load_balance = {.op = "load_balance", .run = run};

static void run_bwd(const xlm_call *c) {
  double factor = xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1) * ref_in(c, 2)[0];
  ref_walk t = ref_walk_type(c, c->in_type[0]);
  while (next_token(c, &t)) {
    normal n = normal_of(c, &t);
    double mean = weighted(c, &t, n);
    for (int64_t i = 0; i < c->dims[experts_of(c)].size; i++) {
      ref_walk at = t;
      ref_walk_set(&at, experts_of(c), i);
      double p = exp(logit(c, &t, i) - n.max) / n.sum;
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = factor * p * (count(c, i) - mean);
    }
  }
}

const xlm_kernel xlm_ref_load_balance_bwd = {.op = "load_balance_bwd", .run = run_bwd};
