// The reference backend: every op in float64, written to be obviously right. Tests hold the others against
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

static const xlm_kernel *find(xlm_op_id op) {
  return kernels[op];
}

static bool workspace(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                      int threads, uint64_t *bytes) {
  return xlm_backend_workspace(find(instr->op), instr, tensors, dims, threads, bytes);
}

const xlm_backend *xlm_backend_ref(void) {
  static const xlm_backend backend = {
      .info = {.name = "ref", .workspace = workspace}, .device = &xlm_device_cpu, .find = find};
  return &backend;
}
