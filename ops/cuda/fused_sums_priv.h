// The second step of `fused` programs whose results are summed: partial sums are added up.
#ifndef XLM_CUDA_FUSED_SUMS_PRIV_H
#define XLM_CUDA_FUSED_SUMS_PRIV_H

#include "runtime/device/kernel.h"

XLM_C_BEGIN

typedef struct xlm_fused_sums {
  int64_t parts, len;
  int n;
  const float *from; // [n][parts][len]
  float *to[XLM_CODE_MAX_OUT];
} xlm_fused_sums;

xlm_status xlm_cuda_fused_sums(const xlm_call *c, const xlm_fused_sums *s);

XLM_C_END

#endif
