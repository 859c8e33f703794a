// layernorm and its gradient. The variance is computed around the mean in a second pass over the row, which
// is in cache; so are both rows when the backward recomputes the statistics.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/norm_priv.h"

typedef struct statistics {
  float mean, r; // r = 1 / sqrt(variance + eps)
} statistics;

static statistics row_statistics(const float *x, int64_t n, float eps) {
  float mean = vec_sum(x, n) / (float)n;
  return (statistics){mean, 1.0f / sqrtf(norm_square(x, mean, n) / (float)n + eps)};
}

void XLM_ISA_NAME(row_layernorm)(float *y, const float *x, const float *unused, int64_t n, float eps) {
  (void)unused;
  statistics s = row_statistics(x, n, eps);
  norm_scale(y, x, s.r, -s.mean * s.r, n);
}

// dx = r (dy - mean(dy) - h mean(h dy)), h = r (x - mean(x))
void XLM_ISA_NAME(row_layernorm_bwd)(float *dx, const float *x, const float *dy, int64_t n, float eps) {
  statistics s = row_statistics(x, n, eps);
  float dy_mean = vec_sum(dy, n) / (float)n, hdy = s.r * norm_dot(x, s.mean, dy, n) / (float)n;
  float slope = s.r * s.r * hdy;
  norm_combine(dx, dy, x, s.r, -slope, slope * s.mean - s.r * dy_mean, n);
}

static xlm_status run(const xlm_call *c) {
  return norm_run(c, XLM_ISA_NAME(row_layernorm));
}
static xlm_status run_bwd(const xlm_call *c) {
  return norm_run(c, XLM_ISA_NAME(row_layernorm_bwd));
}

const xlm_kernel XLM_KERNEL(layernorm) = {.op = XLM_OP_LAYERNORM, .workspace = norm_workspace, .run = run};
const xlm_kernel XLM_KERNEL(layernorm_bwd) = {
    .op = XLM_OP_LAYERNORM_BWD, .workspace = norm_workspace, .run = run_bwd};
