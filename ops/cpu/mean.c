// mean over named dims: the sum, times the attribute `scale`.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/reduce_priv.h"
#include "ops/cpu/vec_priv.h"

static void merge(float *acc, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

static xlm_status run(const xlm_call *c) {
  static const reduce_kind kind = {.run = vec_sum_run, .merge = merge, .start = 0};
  XLM_ISA_NAME(reduce_run)(c, &kind, xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(mean) = {
    .op = XLM_OP_MEAN, .workspace = XLM_ISA_NAME(reduce_workspace), .run = run};
