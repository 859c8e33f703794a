// The CPU backend's kernels for one instruction set, from ops.def.
#include "ops/cpu/kernel_priv.h"

const xlm_kernel *const *XLM_ISA_NAME(xlm_cpu_kernels)(int *n);

#define XLM_FORM_kernel(name) &XLM_KERNEL(name),
#define XLM_FORM_leaf(name)
#define XLM_FORM_view(name)
#define XLM_FORM_fn(name)
#define XLM_FORM_composite(name)

static const xlm_kernel *const kernels[] = {
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name)
#include "ops/ops.def"
#undef XLM_OP
};

const xlm_kernel *const *XLM_ISA_NAME(xlm_cpu_kernels)(int *n) {
  *n = (int)(sizeof kernels / sizeof *kernels);
  return kernels;
}
