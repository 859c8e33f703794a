// The source of a program: one kernel for one program, shape and set of strides and types.
#ifndef XLM_CUDA_FUSED_SOURCE_H
#define XLM_CUDA_FUSED_SOURCE_H

#include "ops/cuda/fused_shape.h"
#include "runtime/base/text.h"

XLM_C_BEGIN

// C in the words of generated.h; its argument is `struct { void *at[n_in + n_out]; }`, of results that are
// summed: where their partial sums are put, else the result. For blocks of xlm_fused_threads.
const char *xlm_fused_source(xlm_arena *a, const xlm_fused_shape *s);

XLM_C_END

#endif
