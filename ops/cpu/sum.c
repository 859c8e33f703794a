// sum over named dims; reduce.c fixes the order of summation.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/reduce_priv.h"
#include "ops/cpu/vec_priv.h"

static void merge(float *acc, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

static xlm_status run(const xlm_call *c) {
  static const reduce_kind kind = {.run = vec_sum_run, .merge = merge, .start = 0};
  XLM_ISA_NAME(reduce_run)(c, &kind, 1);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(sum) = {
    .op = XLM_OP_SUM, .workspace = XLM_ISA_NAME(reduce_workspace), .run = run};
