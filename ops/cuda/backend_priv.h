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

// Runs that need no kernel of their own (message.c).
xlm_status xlm_cuda_send(const xlm_call *c);
xlm_status xlm_cuda_recv(const xlm_call *c);

#endif
