// rmsnorm and rmsnorm_bwd, in float64.
#include <math.h>

#include "ops/ref/rows_priv.h"

static double mean_product(const double *x, const double *y, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
  return sum / (double)n;
}

void ref_row_rmsnorm(double *y, const double *x, const double *unused, int64_t n, double eps) {
  (void)unused;
  double rms = sqrt(mean_product(x, x, n) + eps);
  for (int64_t i = 0; i < n; i++) y[i] = x[i] / rms;
}

void ref_row_rmsnorm_bwd(double *dx, const double *x, const double *dy, int64_t n, double eps) {
  double r = 1 / sqrt(mean_product(x, x, n) + eps), xdy = mean_product(x, dy, n);
  for (int64_t i = 0; i < n; i++) dx[i] = r * dy[i] - r * r * r * x[i] * xdy;
}

static double eps_of(const xlm_call *c) {
  return xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5);
}
static xlm_status run(const xlm_call *c) {
  return ref_rows_run(c, ref_row_rmsnorm, eps_of(c));
}
static xlm_status run_bwd(const xlm_call *c) {
  return ref_rows_run(c, ref_row_rmsnorm_bwd, eps_of(c));
}

const xlm_kernel xlm_ref_rmsnorm = {.op = XLM_OP_RMSNORM, .workspace = ref_rows_workspace, .run = run};
const xlm_kernel xlm_ref_rmsnorm_bwd = {
    .op = XLM_OP_RMSNORM_BWD, .workspace = ref_rows_workspace, .run = run_bwd};
