// argmax on CPUs: the largest of a row in whole vectors, then the first place where it stands. Rows that are
// not contiguous are gathered into a buffer first.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/over_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) { // one row per worker
  return (size_t)over_of(c, c->in_type[0]).len * sizeof(float) * (size_t)t->threads;
}

// vec_max passes over what is not a number, and gives -inf where there is nothing else.
static int32_t first_largest(const float *x, int64_t n) {
  float most = vec_max(x, n);
  for (int64_t i = 0; i < n; i++)
    if (x[i] == most) return (int32_t)i;
  return 0;
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  over_rows r = over_of(c, c->in_type[0]);
  float *buffer = (float *)c->workspace + worker * r.len;
  int64_t begin, end;
  xlm_pool_range(r.count, worker, workers, &begin, &end);
  for (int64_t i = begin; i < end; i++)
    ((int32_t *)c->out[0])[i] = first_largest(over_get(c, &r, 0, i, buffer), r.len);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(argmax) = {.op = XLM_OP_ARGMAX, .workspace = workspace, .run = run};
