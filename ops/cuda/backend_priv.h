// What the files of the CUDA backend share on the host's side; no kernel file includes it.
#ifndef XLM_CUDA_BACKEND_PRIV_H
#define XLM_CUDA_BACKEND_PRIV_H

#include "runtime/device/kernel.h"

// Variants and workspace of an op (plan.c), without a run; NULL: no such kernel.
const xlm_kernel *xlm_cuda_planned(xlm_op_id op);

// With kernels: the arch of archs that this machine's card runs; NULL: there is no card (xlm_cuda_find_card says why).
const char *xlm_cuda_arch_here(void);

// What cuda.h declares for kernel files.
void *xlm_cuda_stream(const xlm_call *c);
const xlm_step_env *xlm_cuda_env(const xlm_call *c);
xlm_status xlm_cuda_failed(const xlm_call *c, const char *why);
xlm_status xlm_cuda_fetch(const xlm_call *c, void *to, const void *from, size_t bytes);
xlm_status xlm_cuda_product_own(const xlm_call *c, int at, const void *add);

// The functions that kernels.def names.
#define XLM_CUDA(name, NAME) xlm_status xlm_cuda_##name(const xlm_call *c);
#define XLM_CUDA_PREPARED(name, NAME, what)                                                                  \
  XLM_CUDA(name, NAME)                                                                                       \
  xlm_status xlm_cuda_prepare_##what(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err);
#define XLM_CUDA_JOINED(name, NAME)                                                                          \
  XLM_CUDA(name, NAME)                                                                                       \
  bool xlm_cuda_##name##_joins(const xlm_call *first, const xlm_call *next);                                 \
  xlm_status xlm_cuda_##name##_all(const xlm_call *const *calls, int n);
#include "ops/cuda/kernels.def"
#undef XLM_CUDA
void xlm_cuda_request_fused(const xlm_call *c, xlm_arena *a); // see request in runtime/device/kernel.h

#endif
