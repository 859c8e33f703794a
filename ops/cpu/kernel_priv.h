// Included by every CPU kernel file. Each file of ops/cpu is compiled once per instruction set and exports
// one table entry per op, XLM_KERNEL(name); ops/cpu/table.c collects them from ops.def.
#ifndef XLM_OPS_CPU_KERNEL_PRIV_H
#define XLM_OPS_CPU_KERNEL_PRIV_H

#include "ops/cpu/isa.h"
#include "runtime/device/cpu.h"

#define XLM_KERNEL(name) XLM_ISA_NAME(xlm_cpu_##name)

#define XLM_FORM_kernel(name) extern const xlm_kernel XLM_KERNEL(name);
#define XLM_FORM_leaf(name)
#define XLM_FORM_view(name)
#define XLM_FORM_fn(name)
#define XLM_FORM_composite(name)
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name)
#include "ops/ops.def"
#undef XLM_OP
#undef XLM_FORM_kernel
#undef XLM_FORM_leaf
#undef XLM_FORM_view
#undef XLM_FORM_fn
#undef XLM_FORM_composite

#endif
