// The parts of the kernel `fused` that `broadcast` uses: without the attribute `code` they copy operand 0.
#ifndef XLM_OPS_CPU_FUSED_PRIV_H
#define XLM_OPS_CPU_FUSED_PRIV_H

#include "ops/cpu/isa.h"
#include "runtime/device/kernel.h"

size_t XLM_ISA_NAME(fused_workspace)(const xlm_call *c, const xlm_target *t);
xlm_status XLM_ISA_NAME(fused_prepare)(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err);
xlm_status XLM_ISA_NAME(fused_run)(const xlm_call *c);

#endif
