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

static void row(const xlm_call *c, const over_rows *r, int64_t i, float *buffer, float eps) {
  const float *x = over_get(c, r, 0, i, buffer);
  float *y = over_place(c, r, i, buffer);
  statistics s = row_statistics(x, r->len, eps);
  norm_scale(y, x, s.r, -s.mean * s.r, r->len);
  over_put(c, r, i, y, buffer);
}

static void work(void *arg, int worker, int workers) {
  norm_rows(arg, worker, workers, row);
}
static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

// dx = r (dy - mean(dy) - h mean(h dy)), h = r (x - mean(x))
static void row_bwd(const xlm_call *c, const over_rows *r, int64_t i, float *buffer, float eps) {
  const float *x = over_get(c, r, 0, i, buffer), *dy = over_get(c, r, 1, i, buffer + r->len);
  float *dx = over_place(c, r, i, buffer), n = (float)r->len;
  statistics s = row_statistics(x, r->len, eps);
  float dy_mean = vec_sum(dy, r->len) / n, hdy = s.r * norm_dot(x, s.mean, dy, r->len) / n;
  float slope = s.r * s.r * hdy;
  norm_combine(dx, dy, x, s.r, -slope, slope * s.mean - s.r * dy_mean, r->len);
  over_put(c, r, i, dx, buffer);
}

static void work_bwd(void *arg, int worker, int workers) {
  norm_rows(arg, worker, workers, row_bwd);
}
static xlm_status run_bwd(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work_bwd, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(layernorm) = {.op = XLM_OP_LAYERNORM, .workspace = norm_workspace, .run = run};
const xlm_kernel XLM_KERNEL(layernorm_bwd) = {
    .op = XLM_OP_LAYERNORM_BWD, .workspace = norm_workspace, .run = run_bwd};
