// sum over named dims; reduce.c fixes the order of summation.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/reduce_priv.h"

static xlm_status run(const xlm_call *c) {
  XLM_ISA_NAME(reduce_run)(c, &XLM_ISA_NAME(reduce_sum), 1);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(sum) = {
    .op = XLM_OP_SUM, .workspace = XLM_ISA_NAME(reduce_workspace), .run = run};
