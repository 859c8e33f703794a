// Kernels: what a backend is made of. One xlm_kernel per op, beside the op's rules (ops/cpu/NAME.c,
// ops/ref/NAME.c).
//
// A kernel sees a call: operands with types, attributes, workspace, and the few numbers of the running step.
// It must not allocate, print or keep state between calls, and its result must not depend on the number of
// workers. Storage is dense row-major in the order of the type's dims (ragged: xlm_dim_info in type.h).
#ifndef XLM_DEVICE_KERNEL_H
#define XLM_DEVICE_KERNEL_H

#include "runtime/base/bf16.h"
#include "runtime/base/pool.h"
#include "runtime/plan/plan.h"

XLM_C_BEGIN

typedef struct xlm_step_env { // the same on every rank
  uint64_t seed;
  int64_t step;      // optimizer steps done before this one
  int64_t first_row; // global index of the microbatch's first sample (for dropout)
} xlm_step_env;

typedef xlm_stream xlm_queue; // of a device: one per stream of the plan

typedef struct xlm_call {
  const xlm_instr *instr;
  const xlm_dim_info *dims;
  const xlm_type *const *in_type, *const *out_type;
  void *const *in; // data; NULL while planning
  void *const *out;
  void *workspace;           // instr->workspace bytes, 64-byte aligned
  void *prepared;            // what prepare returned
  int variant;               // of the kernel's, as the plan says
  struct xlm_device *device; // where the data lies; NULL: a CPU kernel called by hand, alone
  xlm_queue queue; // what run enqueues goes there; on the host's threads it is done when run returns
  const xlm_step_env *env;
  struct xlm_link *link; // to the other ranks' arenas; NULL when there is only one rank
  xlm_error *err;        // where a run that fails says why; may be NULL
} xlm_call;

typedef struct xlm_kernel {
  xlm_op_id op;
  // What planning asks: pure functions of types, attributes and target (data pointers are NULL).
  // Several ways to compute it: their names, the preferred first, ending with NULL, and whether one may be
  // taken for this call; the last always may. NULL: there is one way, without a name.
  const char *const *variants;
  bool (*applicable)(const xlm_call *c, const xlm_target *t, int variant);
  // Scratch bytes of the call's variant; NULL = none.
  size_t (*workspace)(const xlm_call *c, const xlm_target *t);
  // What running asks; run is NULL where a backend is only planned for.
  // Once, at load, without data: tables worth keeping, allocated in `a` (or on the device), become the call's
  // `prepared`; NULL = none. A failure is one of the environment, said in a sentence.
  xlm_status (*prepare)(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err);
  xlm_status (*run)(const xlm_call *c);
} xlm_kernel;

typedef struct xlm_backend { // a table of kernels and the device they run on
  xlm_backend_info info;
  const struct xlm_device_kind *device; // NULL: none in this build
  const char *title;                    // for people: "CUDA"; NULL: for tests, nobody chooses it by its arch
  const char *(*here)(void); // the best arch that this machine runs; NULL: this build or machine has none
  // The kernels of an arch that this machine runs; arch NULL: of its best. NULL: no such kernel.
  const xlm_kernel *(*find)(const char *arch, xlm_op_id op);
} xlm_backend;

// All backends, as in ops/backends.def; the list ends with NULL.
extern const xlm_backend *const xlm_backends[];
const xlm_backend *xlm_backend_find(const char *name); // NULL: there is none
// This machine as a target: the backend's best arch here.
xlm_target xlm_backend_target(const xlm_backend *b, const char *arch, int threads);
// May a plan for this target run here? XLM_USER says why not and what to do.
xlm_status xlm_backend_check(const xlm_target *t, const xlm_backend **out, xlm_error *err) XLM_MUST_CHECK;

// For backends' info.plan: builds the call of `instr` without data, takes the first variant that is
// applicable and asks for its workspace. kernel NULL: XLM_NO_KERNEL.
xlm_planned xlm_kernel_plan(const xlm_kernel *kernel, const xlm_instr *instr, const xlm_tensor *tensors,
                            const xlm_dim_info *dims, const xlm_target *t, xlm_kernel_choice *out);
// Position of a variant among the kernel's; "" or NULL where there are no names: 0; -1: it has no such one.
int xlm_kernel_variant(const xlm_kernel *kernel, const char *name);

// Conveniences for kernels.
static inline int64_t xlm_call_size(const xlm_call *c, const xlm_type *t, int i) {
  return c->dims[t->dim[i]].size;
}
static inline int64_t xlm_call_elements(const xlm_call *c, const xlm_type *t) {
  return xlm_type_elements(t, c->dims);
}
// Elements between neighbours along dim d in dense storage of t; 0 when t lacks d (broadcast).
int64_t xlm_call_stride(const xlm_call *c, const xlm_type *t, xlm_dim d);
// Product of the sizes of t's dims before position i / after position i.
int64_t xlm_call_outer(const xlm_call *c, const xlm_type *t, int i);
int64_t xlm_call_inner(const xlm_call *c, const xlm_type *t, int i);

XLM_C_END

#endif
