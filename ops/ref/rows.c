// Runs a function of rows over the dims of `over`: each row is gathered, computed, and scattered.
#include "ops/ref/rows_priv.h"

#include "ops/ref/over_priv.h"

static int64_t row_length(const xlm_call *c) {
  int64_t n = 1;
  ref_walk w = ref_over_inner(c, c->in_type[0]);
  for (int i = 0; i < w.n; i++) n *= w.size[i];
  return n;
}

size_t ref_rows_workspace(const xlm_call *c, const xlm_target *t) { // a, b and y
  (void)t;
  return 3 * (size_t)row_length(c) * sizeof(double);
}

static void gather(const xlm_call *c, int operand, const ref_walk *outer, double *row) {
  for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);)
    *row++ = ref_in(c, operand)[ref_over_at(c, c->in_type[operand], outer, &i)];
}

xlm_status ref_rows_run(const xlm_call *c, ref_row_fn *f, double attribute) {
  int64_t n = row_length(c);
  double *a = c->workspace, *b = a + n, *y = b + n;
  for (ref_walk outer = ref_over_outer(c, c->in_type[0]); ref_walk_next(&outer);) {
    gather(c, 0, &outer, a);
    if (c->instr->n_in > 1) gather(c, 1, &outer, b);
    f(y, a, b, n, attribute);
    const double *from = y;
    for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);)
      ref_out(c, 0)[ref_over_at(c, c->out_type[0], &outer, &i)] = *from++;
  }
  return XLM_OK;
}
