// Kernels, the code of a backend. One xlm_kernel per op, in ops/cpu/NAME.c and ops/ref/NAME.c.
//
// A kernel receives a call: operands with types, attributes, workspace, and a few numbers of the current
// step. It must not allocate, print or keep state between calls, and its result must not depend on the number
// of workers. Storage is dense row-major in the order of the type's dims (for ragged dims see xlm_dim_info in
// type.h), but for operands that `panels` allows.
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

typedef struct xlm_row_range { // rows that count: of sequences first .. first + n of `of`, the first `most`
                               // places
  int64_t first, n, of, most, places;
} xlm_row_range;

typedef struct xlm_call {
  const xlm_instr *instr;
  const xlm_dim_info *dims;
  const xlm_type *const *in_type, *const *out_type;
  void *const *in; // data; NULL while planning
  void *const *out;
  void *workspace;           // instr->workspace bytes, 64-byte aligned
  void *prepared;            // the result of prepare
  int variant;               // index of the variant that the plan names
  struct xlm_device *device; // where the data is; NULL: the host, with a CPU kernel called directly and
                             // without workers
  xlm_queue queue;           // where run enqueues its work; on a CPU, the work is done when run returns
  const xlm_step_env *env;
  // Of the first two dimensions of the results together, which may change from run to run. Nothing
  // that counts depends on the others: a kernel may compute them or write what it has computed for one that
  // counts. NULL: all count.
  const xlm_row_range *rows;
  const xlm_mesh *mesh;  // of the plan; NULL: one rank
  struct xlm_link *link; // to the arenas of the other ranks; NULL when there is only one rank
  xlm_error *err;        // where a failing run stores the reason; may be NULL
} xlm_call;

typedef struct xlm_kernel {
  xlm_op_id op;
  // Used by planning: pure functions of types, attributes, mesh and target (data pointers are NULL).
  // Names of the variants in order of preference, ending with NULL, and whether one may be used for this
  // call; the last always may. NULL: there is one variant, without a name.
  const char *const *variants;
  bool (*applicable)(const xlm_call *c, const xlm_target *t, int variant);
  // Scratch bytes that the call's variant needs; NULL = none.
  size_t (*workspace)(const xlm_call *c, const xlm_target *t);
  // As of xlm_backend_info; NULL: never.
  xlm_panel_use (*panels)(const xlm_call *c, const xlm_target *t, int operand, xlm_panels *panels);
  // Used by the runtime; run is NULL where a backend can only be planned for.
  // Called for all calls of a plan before the first `prepare`, which it does not replace: lets what takes
  // long be done for several calls at once. `a`: for as long as it runs. NULL = nothing does.
  void (*request)(const xlm_call *c, xlm_arena *a);
  // Called once, at load, without data: builds tables, allocated in `a` or on the device, which become the
  // call's `prepared`; NULL = none. Failures are XLM_ENV with a sentence in err.
  xlm_status (*prepare)(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err);
  xlm_status (*run)(const xlm_call *c);
  // The operand that run reads once, each worker its part of it (xlm_pool_range of the bytes) from front to
  // back, where the time of the call is that of this reading; -1: none. NULL: never.
  int (*streamed)(const xlm_call *c);
  // Neighbouring calls of which none touches what another writes may be run at once, if joins(first, next)
  // for each but the first. The results have the same bits as those of run. NULL: never.
  bool (*joins)(const xlm_call *first, const xlm_call *next);
  xlm_status (*run_all)(const xlm_call *const *calls, int n);
} xlm_kernel;

typedef struct xlm_backend { // a table of kernels and the device they run on
  xlm_backend_info info;
  const struct xlm_device_kind *device; // NULL: none in this build
  const char *title;                    // for messages: "CUDA"; NULL: a backend for tests, not selected by
                                        // its arch
  const char *(*here)(void); // the best arch that this machine can run; NULL: the build or the machine has
                             // none
  // Can this machine's library compute attention for the arch? If not, a target's own_attention says so.
  // NULL: there is no such library.
  bool (*has_attention)(const char *arch);
  // The kernel for an op, of an arch that this machine runs (NULL: its best arch). NULL: there is none.
  const xlm_kernel *(*find)(const char *arch, xlm_op_id op);
} xlm_backend;

// All backends, as in ops/backends.def; the list ends with NULL.
extern const xlm_backend *const xlm_backends[];
const xlm_backend *xlm_backend_find(const char *name); // NULL: unknown
// This machine as a target, with the given arch (NULL: the backend's best here).
xlm_target xlm_backend_target(const xlm_backend *b, const char *arch, int threads);
// Can a plan for this target run here? If not, XLM_USER with the reason and what to do about it.
xlm_status xlm_backend_check(const xlm_target *t, const xlm_backend **out, xlm_error *err) XLM_MUST_CHECK;

// For info.plan of backends: builds the call of `instr` without data, picks the first applicable variant and
// computes its workspace. mesh NULL: one rank. kernel NULL: XLM_NO_KERNEL.
xlm_planned xlm_kernel_plan(const xlm_kernel *kernel, const xlm_instr *instr, const xlm_tensor *tensors,
                            const xlm_dim_info *dims, const xlm_mesh *mesh, const xlm_target *t,
                            xlm_kernel_choice *out);
// For info.panels of backends: kernel->panels of the call of `instr`. XLM_PANELS_NEVER also without memory.
xlm_panel_use xlm_kernel_panels(const xlm_kernel *kernel, const xlm_instr *instr, int operand,
                                const xlm_tensor *tensors, const xlm_dim_info *dims, const xlm_mesh *mesh,
                                const xlm_target *t, xlm_panels *panels);
// Index of a variant of the kernel; 0 for "" or NULL where variants have no names; -1: unknown.
int xlm_kernel_variant(const xlm_kernel *kernel, const char *name);

// Helpers for kernels.
static inline int64_t xlm_call_size(const xlm_call *c, const xlm_type *t, int i) {
  return c->dims[t->dim[i]].size;
}
static inline int64_t xlm_call_elements(const xlm_call *c, const xlm_type *t) {
  return xlm_type_elements(t, c->dims);
}
// Dim i of the call's attribute `key`; 0 when it is unset.
xlm_dim xlm_call_dim(const xlm_call *c, xlm_attr_key key, int i);
// Members of the call's group: the ranks that differ only along the attribute `axes`; 1 without it.
int64_t xlm_call_members(const xlm_call *c);
// Elements between neighbours along dim d in dense storage of t; 0 when t lacks d (broadcast).
int64_t xlm_call_stride(const xlm_call *c, const xlm_type *t, xlm_dim d);
// Product of the sizes of t's dims before position i / after position i.
int64_t xlm_call_outer(const xlm_call *c, const xlm_type *t, int i);
int64_t xlm_call_inner(const xlm_call *c, const xlm_type *t, int i);

XLM_C_END

#endif
