// scan and scan_from in float64, one state after the other.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  bool reverse = xlm_attr_int(&c->instr->attrs, XLM_A_inverse, 0);
  int64_t n = c->dims[seq].size;
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  while (ref_walk_next(&w)) {
    if (ref_walk_index(&w, seq)) continue;
    double h = 0;
    for (int64_t i = 0; i < n; i++) {
      ref_walk at = w;
      ref_walk_set(&at, seq, reverse ? n - 1 - i : i);
      h = ref_in(c, 0)[ref_at(c, c->in_type[0], &at)] * h + ref_in(c, 1)[ref_at(c, c->in_type[1], &at)];
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = h;
    }
  }
  return XLM_OK;
}

// From the last place before `start`, which the ring `past` has.
static xlm_status run_from(const xlm_call *c) {
  enum { PAST, A, B, START };
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), past = xlm_call_dim(c, XLM_A_past, 0);
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  while (ref_walk_next(&w)) {
    if (ref_walk_index(&w, seq)) continue;
    int64_t start = ((const int32_t *)c->in[START])[ref_at(c, c->in_type[START], &w)];
    double h = start ? ref_in(c, PAST)[ref_at_place(c, PAST, &w, past, start - 1)] : 0;
    for (int64_t i = 0; i < c->dims[seq].size; i++) {
      ref_walk at = w;
      ref_walk_set(&at, seq, i);
      h = ref_in(c, A)[ref_at(c, c->in_type[A], &at)] * h + ref_in(c, B)[ref_at(c, c->in_type[B], &at)];
      ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] = h;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_scan_from = {.op = XLM_OP_SCAN_FROM, .run = run_from};
const xlm_kernel xlm_ref_scan = {.op = XLM_OP_SCAN, .run = run};
