// logsumexp, in float64.
#include <math.h>

#include "ops/ref/over_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  const double *x = ref_in(c, 0);
  ref_walk outer = ref_over_outer(c, t);
  while (ref_walk_next(&outer)) {
    double largest = -INFINITY, sum = 0;
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);)
      largest = fmax(largest, x[ref_over_at(c, t, &outer, &i)]);
    for (ref_walk i = ref_over_inner(c, t); ref_walk_next(&i);)
      sum += exp(x[ref_over_at(c, t, &outer, &i)] - largest);
    ref_out(c, 0)[ref_over_at(c, c->out_type[0], &outer, NULL)] = largest + log(sum);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_logsumexp = {.op = XLM_OP_LOGSUMEXP, .run = run};
