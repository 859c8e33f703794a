// rmsnorm and rmsnorm_bwd, in float64.
#include <math.h>

#include "ops/ref/over_priv.h"

typedef struct moments {
  double n, xx, xdy; // count, sum of x^2, sum of x dy
} moments;

static moments row_moments(const xlm_call *c, const ref_walk *outer, const double *x, const double *dy) {
  moments m = {0};
  for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);) {
    int64_t at = ref_over_at(c, c->in_type[0], outer, &i);
    m.n++, m.xx += x[at] * x[at], m.xdy += x[at] * dy[at];
  }
  return m;
}

static xlm_status run(const xlm_call *c) {
  double eps = xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5);
  const double *x = ref_in(c, 0);
  for (ref_walk outer = ref_over_outer(c, c->in_type[0]); ref_walk_next(&outer);) {
    moments m = row_moments(c, &outer, x, x);
    for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, c->in_type[0], &outer, &i);
      ref_out(c, 0)[at] = x[at] / sqrt(m.xx / m.n + eps);
    }
  }
  return XLM_OK;
}

static xlm_status run_bwd(const xlm_call *c) {
  double eps = xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5);
  const double *x = ref_in(c, 0), *dy = ref_in(c, 1);
  for (ref_walk outer = ref_over_outer(c, c->in_type[0]); ref_walk_next(&outer);) {
    moments m = row_moments(c, &outer, x, dy);
    double r = 1 / sqrt(m.xx / m.n + eps);
    for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, c->in_type[0], &outer, &i);
      ref_out(c, 0)[at] = r * dy[at] - r * r * r * x[at] * m.xdy / m.n;
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_rmsnorm = {.op = XLM_OP_RMSNORM, .run = run};
const xlm_kernel xlm_ref_rmsnorm_bwd = {.op = XLM_OP_RMSNORM_BWD, .run = run_bwd};
