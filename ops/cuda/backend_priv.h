// What the files of the CUDA backend share on the host's side; no kernel file includes it.
#ifndef XLM_CUDA_BACKEND_PRIV_H
#define XLM_CUDA_BACKEND_PRIV_H

#include "runtime/device/kernel.h"

// Variants and workspace of an op (plan.c), without a run; NULL: no such kernel.
const xlm_kernel *xlm_cuda_planned(xlm_op_id op);

// With kernels: the arch of archs that this machine's card runs; NULL: there is no card.
const char *xlm_cuda_arch_here(void);

#endif
