// cumsum and cumsum_from in float64, element by element.
#include "ops/ref/ref_priv.h"
#include "runtime/plan/chunks.h"

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  bool reverse = xlm_attr_int(&c->instr->attrs, XLM_A_inverse, 0);
  int64_t n = c->dims[seq].size;
  ref_walk w = ref_walk_type(c, t);
  while (ref_walk_next(&w)) {
    if (ref_walk_index(&w, seq)) continue;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
      ref_walk at = w;
      ref_walk_set(&at, seq, reverse ? n - 1 - i : i);
      sum += ref_in(c, 0)[ref_at(c, t, &at)];
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = sum;
    }
  }
  return XLM_OK;
}

static xlm_status run_from(const xlm_call *c) {
  enum { BEFORE, RUN, X, START };
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), past = xlm_call_dim(c, XLM_A_past, 0);
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  while (ref_walk_next(&w)) {
    if (ref_walk_index(&w, seq)) continue;
    int64_t start = ((const int32_t *)c->in[START])[ref_at(c, c->in_type[START], &w)];
    double before = start ? ref_in(c, BEFORE)[ref_at_place(c, BEFORE, &w, past, start - 1)] : 0;
    double run = start ? ref_in(c, RUN)[ref_at_place(c, RUN, &w, past, start - 1)] : 0;
    for (int64_t i = 0; i < c->dims[seq].size; i++) {
      ref_walk at = w;
      ref_walk_set(&at, seq, i);
      if ((start + i) % XLM_CUMSUM_RUN == 0) before += run, run = 0;
      run += ref_in(c, X)[ref_at(c, c->in_type[X], &at)];
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = before;
      ref_out(c, 1)[ref_at(c, c->out_type[1], &at)] = run;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_cumsum_from = {.op = XLM_OP_CUMSUM_FROM, .run = run_from};
const xlm_kernel xlm_ref_cumsum = {.op = XLM_OP_CUMSUM, .run = run};
