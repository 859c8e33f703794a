// Running a sort (sort_priv.h) as part of a call.
#ifndef XLM_CUDA_SORT_RUN_H
#define XLM_CUDA_SORT_RUN_H

#include "ops/cuda/cuda.h"
#include "ops/cuda/sort_priv.h"

// The keys are in s.key[0], which is lost. place: NULL, or [n], gets where each element went.
xlm_status xlm_cuda_sort_run(const xlm_call *c, const xlm_cuda_sort &s, int32_t *place);

#endif
