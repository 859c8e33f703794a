// The target of a plan: the machine it is made for. Plain data, chosen at planning time, stored in the plan
// and compared at load with the machine at hand. What planning needs from a backend is a pure function of the
// target and the shapes, so any machine can plan for any target.
#ifndef XLM_PLAN_TARGET_H
#define XLM_PLAN_TARGET_H

#include <stdint.h>

#include "runtime/base/cxx.h"
#include "runtime/plan/type.h"

XLM_C_BEGIN

typedef struct xlm_target {
  const char *backend; // as listed in ops/backends.def: "cpu", "ref", "cuda"
  const char *arch;    // one of the backend's architectures: "avx2", "sm_90"
  int32_t threads;     // maximum number of worker threads per rank; workspace is sized for it
  uint32_t align;      // bytes, a power of two: alignment of every area, slot, tensor and workspace
  uint64_t memory;     // limit on a rank's arena in bytes; 0 = none
  bool own_attention;  // never by a library that its machine may lack (cuda: cuDNN)
} xlm_target;

struct xlm_instr;
struct xlm_tensor;
struct xlm_mesh;

typedef struct xlm_kernel_choice {
  const char *variant; // of the kernel; "" = it has a single variant
  uint64_t workspace;  // bytes of scratch
} xlm_kernel_choice;

typedef enum xlm_planned { XLM_PLANNED, XLM_NO_KERNEL, XLM_NO_MEMORY } xlm_planned;

typedef enum xlm_panel_use { // of an operand
  XLM_PANELS_NEVER,          // it must be dense
  XLM_PANELS_ALSO,           // it may be in panels
  XLM_PANELS_FASTEST,        // it should be
} xlm_panel_use;

// The part of a backend that the compiler uses. It needs neither the device nor the kernels in this build.
typedef struct xlm_backend_info {
  const char *name;
  const char *const *archs; // ends with NULL; each can run code planned for those before it
  uint32_t align;           // alignment that its kernels require, in bytes
  // Chooses the kernel for `instr` among the ranks of `mesh` (NULL: one) on target t; a pure function.
  // XLM_NO_KERNEL: the backend has none for the op. XLM_NO_MEMORY: out of memory.
  xlm_planned (*plan)(const struct xlm_instr *instr, const struct xlm_tensor *tensors,
                      const xlm_dim_info *dims, const struct xlm_mesh *mesh, const xlm_target *t,
                      xlm_kernel_choice *out);
  // May an operand of `instr` be in these panels? If their width is 0, in any: XLM_PANELS_FASTEST, which
  // fills *panels, or XLM_PANELS_ALSO, to be asked again. NULL: never.
  xlm_panel_use (*panels)(const struct xlm_instr *instr, int operand, const struct xlm_tensor *tensors,
                          const xlm_dim_info *dims, const struct xlm_mesh *mesh, const xlm_target *t,
                          xlm_panels *panels);
} xlm_backend_info;

// Index of `arch` among those of the backend; -1: unknown.
int xlm_target_arch(const xlm_backend_info *b, const char *arch);

XLM_C_END

#endif
