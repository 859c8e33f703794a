// logsumexp along any dims.
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
      float y = largest[i] + logf(vec_sum(e + i * r.len, r.len));
      vec_write(c->out_type[0]->dtype, c->out[0], row + i, 1, &y);
    }
  }
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(logsumexp) = {.op = XLM_OP_LOGSUMEXP, .workspace = workspace, .run = run};
