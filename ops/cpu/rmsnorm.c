// rmsnorm and its gradient. The backward recomputes the statistic, since both rows are in cache then.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/norm_priv.h"

static float reciprocal_rms(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(vec_dot(x, x, n) / (float)n + eps);
}

void XLM_ISA_NAME(row_rmsnorm)(float *y, const float *x, const float *unused, int64_t n, float eps) {
  (void)unused;
  norm_scale(y, x, reciprocal_rms(x, n, eps), 0, n);
}

void XLM_ISA_NAME(row_rmsnorm_bwd)(float *dx, const float *x, const float *dy, int64_t n, float eps) {
  float s = reciprocal_rms(x, n, eps), xdy = vec_dot(x, dy, n);
  norm_combine(dx, dy, x, s, -s * s * s * xdy / (float)n, 0, n);
}

static xlm_status run(const xlm_call *c) {
  return norm_run(c, XLM_ISA_NAME(row_rmsnorm));
}
static xlm_status run_bwd(const xlm_call *c) {
  return norm_run(c, XLM_ISA_NAME(row_rmsnorm_bwd));
}

const xlm_kernel XLM_KERNEL(rmsnorm) = {.op = XLM_OP_RMSNORM, .workspace = norm_workspace, .run = run};
const xlm_kernel XLM_KERNEL(rmsnorm_bwd) = {
    .op = XLM_OP_RMSNORM_BWD, .workspace = norm_workspace, .run = run_bwd};
