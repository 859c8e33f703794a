// amax over named dims, and its gradient, which goes to the first maximum of each row.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/reduce_priv.h"
#include "ops/cpu/over_priv.h"

static void merge(float *acc, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) acc[i] = x[i] > acc[i] ? x[i] : acc[i];
}

static xlm_status run(const xlm_call *c) {
  static const reduce_kind kind = {.run = vec_max, .merge = merge, .start = -INFINITY};
  XLM_ISA_NAME(reduce_run)(c, &kind, 1);
  return XLM_OK;
}

static size_t workspace_bwd(const xlm_call *c, const xlm_target *t) { // one row of x per worker
  return (size_t)over_of(c, c->in_type[0]).len * sizeof(float) * (size_t)t->threads;
}

static void row_bwd(const xlm_call *c, const over_rows *r, int64_t row, float *buffer) {
  over_read(r, c->in_type[0]->dtype, c->in[0], row, buffer);
  float largest = vec_max(buffer, r->len), dy = vec_read_one(c->in_type[1]->dtype, c->in[1], row);
  for (int64_t i = 0; i < r->len; i++) {
    bool here = buffer[i] == largest;
    buffer[i] = here ? dy : 0;
    dy = here ? 0 : dy; // only once
  }
  over_write(r, c->out_type[0]->dtype, c->out[0], row, buffer);
}

static void work_bwd(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  over_rows r = over_of(c, c->in_type[0]);
  int64_t begin, end;
  xlm_pool_range(r.count, worker, workers, &begin, &end);
  for (int64_t i = begin; i < end; i++) row_bwd(c, &r, i, (float *)c->workspace + worker * r.len);
}

static xlm_status run_bwd(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work_bwd, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(amax) = {
    .op = XLM_OP_AMAX, .workspace = XLM_ISA_NAME(reduce_workspace), .run = run};
const xlm_kernel XLM_KERNEL(amax_bwd) = {.op = XLM_OP_AMAX_BWD, .workspace = workspace_bwd, .run = run_bwd};
