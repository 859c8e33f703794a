// The reference backend: every op in float64, written to be obviously right. Tests hold the others against
// it.
#include <string.h>

#include "ops/ref/ref_priv.h"
#include "runtime/device/cpu.h"

static const xlm_kernel *const kernels[] = {
#define XLM_FORM_kernel(name) &xlm_ref_##name,
#define XLM_FORM_leaf(name)
#define XLM_FORM_view(name)
#define XLM_FORM_fn(name)
#define XLM_FORM_composite(name)
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name)
#include "ops/ops.def"
#undef XLM_OP
};

static const xlm_kernel *find(const char *op) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (!strcmp(kernels[i]->op, op)) return kernels[i];
  return NULL;
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
