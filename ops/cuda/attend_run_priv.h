// The variants `tensor_core` and `cudnn` of attention, for attend.cu and attend_bwd.cu.
#ifndef XLM_CUDA_ATTEND_RUN_PRIV_H
#define XLM_CUDA_ATTEND_RUN_PRIV_H

#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/attend_priv.h"
#include "ops/cuda/cuda.h"

// There is at least one query (backward: or key). The sums of attend_bwd are there.
xlm_status xlm_cuda_attend_tensor(const xlm_call *c, const attend_args &a);
xlm_status xlm_cuda_attend_bwd_tensor(const xlm_call *c, const attend_bwd_args &a);

// Over caches (attribute `past`): the variant simt.
xlm_status xlm_cuda_attend_caches(const xlm_call *c, const attend_args &a);

xlm_status xlm_cuda_attend_cudnn(const xlm_call *c);
xlm_status xlm_cuda_attend_bwd_cudnn(const xlm_call *c);

#endif
