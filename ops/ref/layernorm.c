// layernorm and layernorm_bwd, in float64.
#include <math.h>

#include "ops/ref/over_priv.h"

typedef struct moments {
  double mean, r; // of x; r = 1 / sqrt(variance + eps)
  double dy, hdy; // means of dy and of h dy, h the normalised x
} moments;

static double row_mean(const xlm_call *c, const ref_walk *outer, const double *x) {
  double n = 0, sum = 0;
  for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i); n++)
    sum += x[ref_over_at(c, c->in_type[0], outer, &i)];
  return sum / n;
}

static moments row_moments(const xlm_call *c, const ref_walk *outer, const double *x, const double *dy) {
  moments m = {.mean = row_mean(c, outer, x), .dy = row_mean(c, outer, dy)};
  double n = 0, variance = 0;
  for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i); n++) {
    int64_t at = ref_over_at(c, c->in_type[0], outer, &i);
    variance += (x[at] - m.mean) * (x[at] - m.mean), m.hdy += (x[at] - m.mean) * dy[at];
  }
  m.r = 1 / sqrt(variance / n + xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5));
  m.hdy *= m.r / n;
  return m;
}

static xlm_status run(const xlm_call *c) {
  const double *x = ref_in(c, 0);
  for (ref_walk outer = ref_over_outer(c, c->in_type[0]); ref_walk_next(&outer);) {
    moments m = row_moments(c, &outer, x, x);
    for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, c->in_type[0], &outer, &i);
      ref_out(c, 0)[at] = (x[at] - m.mean) * m.r;
    }
  }
  return XLM_OK;
}

static xlm_status run_bwd(const xlm_call *c) {
  const double *x = ref_in(c, 0), *dy = ref_in(c, 1);
  for (ref_walk outer = ref_over_outer(c, c->in_type[0]); ref_walk_next(&outer);) {
    moments m = row_moments(c, &outer, x, dy);
    for (ref_walk i = ref_over_inner(c, c->in_type[0]); ref_walk_next(&i);) {
      int64_t at = ref_over_at(c, c->in_type[0], &outer, &i);
      ref_out(c, 0)[at] = m.r * (dy[at] - m.dy - (x[at] - m.mean) * m.r * m.hdy);
    }
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_layernorm = {.op = XLM_OP_LAYERNORM, .run = run};
const xlm_kernel xlm_ref_layernorm_bwd = {.op = XLM_OP_LAYERNORM_BWD, .run = run_bwd};
