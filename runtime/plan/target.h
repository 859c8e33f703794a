// The target of a plan: the machine it is made for. Plain data, chosen at planning, part of the plan and
// compared at load with what the machine can run. All that planning must know of a backend is a pure function
// of it and of the shapes, so that any machine plans for any other.
#ifndef XLM_PLAN_TARGET_H
#define XLM_PLAN_TARGET_H

#include <stdint.h>

#include "runtime/base/cxx.h"
#include "runtime/plan/type.h"

XLM_C_BEGIN

typedef struct xlm_target {
  const char *backend; // of ops/backends.def: "cpu", "ref", "cuda"
  const char *arch;    // of the backend's list: "avx2", "sm_90"
  int32_t threads;     // workers of one rank that there is room for; a run has as many or fewer
  uint32_t align;  // bytes: every area, slot, tensor and workspace begins at a multiple of this power of two
  uint64_t memory; // bytes that a rank's arena was to stay within; 0 = no limit
} xlm_target;

struct xlm_instr;
struct xlm_tensor;

typedef struct xlm_kernel_choice {
  const char *variant; // of the kernel; "" = it has only one
  uint64_t workspace;  // bytes of scratch
} xlm_kernel_choice;

typedef enum xlm_planned { XLM_PLANNED, XLM_NO_KERNEL, XLM_NO_MEMORY } xlm_planned;

// The part of a backend that the compiler sees. It needs no device and no kernels in this build.
typedef struct xlm_backend_info {
  const char *name;
  const char *const *archs; // ends with NULL; each can run what is planned for those before it
  uint32_t align;           // what its kernels want of the arena
  // The kernel for `instr` on target t: a pure function. XLM_NO_KERNEL: the backend has none for the op;
  // XLM_NO_MEMORY: none to ask it.
  xlm_planned (*plan)(const struct xlm_instr *instr, const struct xlm_tensor *tensors,
                      const xlm_dim_info *dims, const xlm_target *t, xlm_kernel_choice *out);
} xlm_backend_info;

// Position of `arch` among those of the backend; -1: it has no such one.
int xlm_target_arch(const xlm_backend_info *b, const char *arch);

XLM_C_END

#endif
