// The reference backend: every op in float64, as simple as possible. Tests compare the other backends with
// it.
#include "ops/ref/ref_priv.h"
#include "runtime/device/cpu.h"

static const xlm_kernel *const kernels[XLM_OP_COUNT] = {
#define XLM_FORM_kernel(name, NAME) [XLM_OP_##NAME] = &xlm_ref_##name,
#define XLM_FORM_leaf(name, NAME)
#define XLM_FORM_view(name, NAME)
#define XLM_FORM_fn(name, NAME)
#define XLM_FORM_composite(name, NAME)
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name, NAME)
#include "ops/ops.def"
#undef XLM_OP
};

static const char *const archs[] = {"f64", NULL};

static const char *here(void) {
  return archs[0];
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  (void)arch;
  return kernels[op];
}

static xlm_planned plan(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                        const xlm_mesh *mesh, const xlm_target *t, xlm_kernel_choice *out) {
  return xlm_kernel_plan(find(t->arch, instr->op), instr, tensors, dims, mesh, t, out);
}

extern const xlm_backend xlm_backend_ref;
const xlm_backend xlm_backend_ref = {
    .info = {"ref", archs, 64, plan}, .device = &xlm_device_cpu, .here = here, .find = find};
