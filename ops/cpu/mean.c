// mean over named dims: the sum, times the attribute `scale`.
#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/reduce_priv.h"

static xlm_status run(const xlm_call *c) {
  XLM_ISA_NAME(reduce_run)(c, &XLM_ISA_NAME(reduce_sum), xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(mean) = {
    .op = XLM_OP_MEAN, .workspace = XLM_ISA_NAME(reduce_workspace), .run = run};
