// The CPU backend's kernels for one instruction set, from ops.def.
#include "ops/cpu/kernel_priv.h"

const xlm_kernel *const *XLM_ISA_NAME(xlm_cpu_kernels)(void);

#define XLM_FORM_kernel(name, NAME) [XLM_OP_##NAME] = &XLM_KERNEL(name),
#define XLM_FORM_leaf(name, NAME)
#define XLM_FORM_view(name, NAME)
#define XLM_FORM_fn(name, NAME)
#define XLM_FORM_composite(name, NAME)

static const xlm_kernel *const kernels[XLM_OP_COUNT] = {
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name, NAME)
#include "ops/ops.def"
#undef XLM_OP
};

const xlm_kernel *const *XLM_ISA_NAME(xlm_cpu_kernels)(void) {
  return kernels;
}
