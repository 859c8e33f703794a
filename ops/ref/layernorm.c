// layernorm and layernorm_bwd, in float64.
#include <math.h>

#include "ops/ref/rows_priv.h"

typedef struct moments {
  double mean, r; // of x; r = 1 / sqrt(variance + eps)
} moments;

static double mean_of(const double *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i];
  return sum / (double)n;
}

static moments row_moments(const double *x, int64_t n, double eps) {
  double mean = mean_of(x, n), variance = 0;
  for (int64_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
  return (moments){mean, 1 / sqrt(variance / (double)n + eps)};
}

void ref_row_layernorm(double *y, const double *x, const double *unused, int64_t n, double eps) {
  (void)unused;
  moments m = row_moments(x, n, eps);
  for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m.mean) * m.r;
}

// dx = r (dy - mean(dy) - h mean(h dy)), h = r (x - mean(x))
void ref_row_layernorm_bwd(double *dx, const double *x, const double *dy, int64_t n, double eps) {
  moments m = row_moments(x, n, eps);
  double dy_mean = mean_of(dy, n), hdy = 0;
  for (int64_t i = 0; i < n; i++) hdy += (x[i] - m.mean) * m.r * dy[i] / (double)n;
  for (int64_t i = 0; i < n; i++) dx[i] = m.r * (dy[i] - dy_mean - (x[i] - m.mean) * m.r * hdy);
}

static double eps_of(const xlm_call *c) {
  return xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5);
}
static xlm_status run(const xlm_call *c) {
  return ref_rows_run(c, ref_row_layernorm, eps_of(c));
}
static xlm_status run_bwd(const xlm_call *c) {
  return ref_rows_run(c, ref_row_layernorm_bwd, eps_of(c));
}

const xlm_kernel xlm_ref_layernorm = {.op = XLM_OP_LAYERNORM, .workspace = ref_rows_workspace, .run = run};
const xlm_kernel xlm_ref_layernorm_bwd = {
    .op = XLM_OP_LAYERNORM_BWD, .workspace = ref_rows_workspace, .run = run_bwd};
