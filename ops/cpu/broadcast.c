// broadcast: an elementwise program without instructions.
#include "ops/cpu/fused_priv.h"
#include "ops/cpu/kernel_priv.h"

const xlm_kernel XLM_KERNEL(broadcast) = {.op = XLM_OP_BROADCAST,
                                          .workspace = XLM_ISA_NAME(fused_workspace),
                                          .prepare = XLM_ISA_NAME(fused_prepare),
                                          .run = XLM_ISA_NAME(fused_run)};
