// top_k in float64: selects the largest not yet chosen k times, the lower index among equals.
#include <string.h>

#include "ops/ref/ref_priv.h"

static double value_at(const xlm_call *c, ref_walk *w, xlm_dim experts, int64_t i) {
  ref_walk_set(w, experts, i);
  return ref_in(c, 0)[ref_at(c, c->in_type[0], w)];
}

// The best index after `last` in the order (value descending, index ascending); last = -1: the first.
static int64_t next_best(const xlm_call *c, ref_walk *w, xlm_dim experts, int64_t last) {
  double bound = last < 0 ? 0 : value_at(c, w, experts, last), best_value = 0;
  int64_t best = -1;
  for (int64_t i = 0; i < c->dims[experts].size; i++) {
    double v = value_at(c, w, experts, i);
    bool after = last < 0 || v < bound || (v == bound && i > last);
    if (after && (best < 0 || v > best_value)) best = i, best_value = v;
  }
  return best;
}

static xlm_status run(const xlm_call *c) {
  xlm_dim experts = xlm_call_dim(c, XLM_A_experts, 0), active = xlm_call_dim(c, XLM_A_active, 0);
  const xlm_type *out = c->out_type[0];
  ref_walk t = ref_walk_over(c, out->dim, out->rank - 1); // active is the last
  while (ref_walk_next(&t)) {
    ref_walk w = ref_walk_type(c, c->in_type[0]), to = ref_walk_type(c, out);
    for (int i = 0; i < t.n; i++)
      ref_walk_set(&w, t.dim[i], t.index[i]), ref_walk_set(&to, t.dim[i], t.index[i]);
    int64_t last = -1;
    for (int64_t k = 0; k < c->dims[active].size; k++) {
      last = next_best(c, &w, experts, last);
      ref_walk_set(&to, active, k);
      ref_out(c, 0)[ref_at(c, out, &to)] = value_at(c, &w, experts, last);
      ((int32_t *)c->out[1])[ref_at(c, out, &to)] = (int32_t)last;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_top_k = {.op = XLM_OP_TOP_K, .run = run};

static xlm_status run_bwd(const xlm_call *c) {
  xlm_dim experts = xlm_call_dim(c, XLM_A_experts, 0);
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  ref_walk w = ref_walk_type(c, c->in_type[0]);
  while (ref_walk_next(&w)) {
    int64_t at = ref_at(c, c->in_type[0], &w);
    ref_walk to = ref_walk_type(c, c->out_type[0]);
    for (int i = 0; i < w.n; i++) ref_walk_set(&to, w.dim[i], w.index[i]);
    ref_walk_set(&to, experts, ((const int32_t *)c->in[1])[at]);
    ref_out(c, 0)[ref_at(c, c->out_type[0], &to)] += ref_in(c, 0)[at];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_top_k_bwd = {.op = XLM_OP_TOP_K_BWD, .run = run_bwd};
