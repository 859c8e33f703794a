// softmax and its gradient, along any dims.
#include "ops/cpu/exp_rows_priv.h"
#include "ops/cpu/kernel_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  return exp_rows_workspace(c, t);
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  over_rows r = over_of(c, c->in_type[0]);
  float largest[EXP_GROUP], *e = (float *)c->workspace + worker * exp_rows_buffer(&r);
  int64_t begin, end, group = exp_rows_group(&r);
  xlm_pool_range(r.count, worker, workers, &begin, &end);
  for (int64_t row = begin; row < end; row += group) {
    int64_t n = end - row < group ? end - row : group;
    exp_rows(c, &r, row, n, e, largest);
    for (int64_t i = 0; i < n; i++) {
      float *y = e + i * r.len, scale = 1.0f / vec_sum(y, r.len);
      for (int64_t j = 0; j < r.len; j++) y[j] *= scale;
      over_write(&r, c->out_type[0]->dtype, c->out[0], row + i, y);
    }
  }
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

static size_t workspace_bwd(const xlm_call *c, const xlm_target *t) { // y and dy of a row per worker
  return (size_t)over_of(c, c->in_type[0]).len * 2 * sizeof(float) * (size_t)t->threads;
}

static void work_bwd(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  over_rows r = over_of(c, c->in_type[0]);
  float *buffer = (float *)c->workspace + worker * 2 * r.len;
  int64_t begin, end;
  xlm_pool_range(r.count, worker, workers, &begin, &end);
  for (int64_t row = begin; row < end; row++) {
    const float *y = over_get(c, &r, 0, row, buffer), *dy = over_get(c, &r, 1, row, buffer + r.len);
    float *dx = over_place(c, &r, row, buffer), dot = vec_dot(y, dy, r.len);
    for (int64_t j = 0; j < r.len; j++) dx[j] = y[j] * (dy[j] - dot);
    over_put(c, &r, row, dx, buffer);
  }
}

static xlm_status run_bwd(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work_bwd, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(softmax) = {.op = XLM_OP_SOFTMAX, .workspace = workspace, .run = run};
const xlm_kernel XLM_KERNEL(softmax_bwd) = {
    .op = XLM_OP_SOFTMAX_BWD, .workspace = workspace_bwd, .run = run_bwd};
