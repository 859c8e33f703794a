// rmsnorm and its gradient. The backward recomputes the statistic, since both rows are in cache then.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/norm_priv.h"

static float reciprocal_rms(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(vec_dot(x, x, n) / (float)n + eps);
}

static void row(const xlm_call *c, const over_rows *r, int64_t i, float *buffer, float eps) {
  const float *x = over_get(c, r, 0, i, buffer);
  float *y = over_place(c, r, i, buffer);
  norm_scale(y, x, reciprocal_rms(x, r->len, eps), 0, r->len);
  over_put(c, r, i, y, buffer);
}

static void work(void *arg, int worker, int workers) {
  norm_rows(arg, worker, workers, row);
}
static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

static void row_bwd(const xlm_call *c, const over_rows *r, int64_t i, float *buffer, float eps) {
  const float *x = over_get(c, r, 0, i, buffer), *dy = over_get(c, r, 1, i, buffer + r->len);
  float *dx = over_place(c, r, i, buffer);
  float s = reciprocal_rms(x, r->len, eps), xdy = vec_dot(x, dy, r->len);
  norm_combine(dx, dy, x, s, -s * s * s * xdy / (float)r->len, 0, r->len);
  over_put(c, r, i, dx, buffer);
}

static void work_bwd(void *arg, int worker, int workers) {
  norm_rows(arg, worker, workers, row_bwd);
}
static xlm_status run_bwd(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work_bwd, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(rmsnorm) = {.op = XLM_OP_RMSNORM, .workspace = norm_workspace, .run = run};
const xlm_kernel XLM_KERNEL(rmsnorm_bwd) = {
    .op = XLM_OP_RMSNORM_BWD, .workspace = norm_workspace, .run = run_bwd};
