// sum, in float64.
#include "ops/ref/over_priv.h"

static void limit_rows(const xlm_call *c,
                       ref_walk *w) { // operand 1: the offsets of each expert's rows, and the end
  for (int i = 0; i < w->n && c->instr->n_in > 1; i++)
    if (c->dims[w->dim[i]].ragged)
      w->size[i] = ((const int32_t *)c->in[1])[xlm_call_elements(c, c->in_type[1]) - 1];
}

static xlm_status run(const xlm_call *c) {
  ref_walk outer = ref_over_outer(c, c->in_type[0]);
  while (ref_walk_next(&outer)) {
    double sum = 0;
    ref_walk inner = ref_over_inner(c, c->in_type[0]);
    limit_rows(c, &inner);
    while (ref_walk_next(&inner)) sum += ref_in(c, 0)[ref_over_at(c, c->in_type[0], &outer, &inner)];
    ref_out(c, 0)[ref_over_at(c, c->out_type[0], &outer, NULL)] = sum;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_sum = {.op = XLM_OP_SUM, .run = run};
