// Plans for the machine on which the tests run.
#ifndef XLM_TESTS_HERE_H
#define XLM_TESTS_HERE_H

#include "compiler/driver/compile.h"
#include "runtime/device/kernel.h"

// The backend of direct calls: the CPU's, unless a build defines otherwise; the CPU's also for ops without a
// kernel in that one.
#ifndef XLM_KERNELS_HERE
#define XLM_KERNELS_HERE "cpu"
#endif

// The backend of this name, on this machine.
static inline xlm_target target_here(const char *backend, int threads) {
  const xlm_backend *b = xlm_backend_find(backend);
  return xlm_backend_target(b, b->here(), threads);
}

static inline void plan_for_here(xlm_compile_options *o, const char *backend, int threads) {
  o->backend = &xlm_backend_find(backend)->info;
  o->target = target_here(backend, threads);
}

static inline const xlm_kernel *kernel_here(xlm_op_id op) {
  return xlm_backend_find(XLM_KERNELS_HERE)->find(NULL, op);
}

// Plans a direct call: workspace and variant of `instr`.
static inline bool plan_by_hand(xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                                const xlm_mesh *mesh) {
  const xlm_target t = target_here(XLM_KERNELS_HERE, 1);
  xlm_kernel_choice choice;
  if (xlm_kernel_plan(kernel_here(instr->op), instr, tensors, dims, mesh, &t, &choice) != XLM_PLANNED)
    return false;
  instr->workspace = choice.workspace, instr->variant = choice.variant;
  return true;
}

#endif
