// The source of an elementwise program: one kernel for one program, shape and set of strides and types.
#ifndef XLM_CUDA_FUSED_SOURCE_H
#define XLM_CUDA_FUSED_SOURCE_H

#include "runtime/base/text.h"
#include "runtime/device/kernel.h"

XLM_C_BEGIN

enum { XLM_FUSED_OPERANDS = XLM_CODE_MAX_IN + XLM_CODE_MAX_OUT };

typedef struct xlm_fused_geometry { // the dims of the results, merged where all operands allow it, outermost
                                    // first
  int n_dims;                       // at least 1
  int64_t size[XLM_MAX_RANK], total;
  int n_in, n_out;
  int64_t stride[XLM_FUSED_OPERANDS][XLM_MAX_RANK]; // of operands, then results, in elements; 0: broadcast
  xlm_dtype dtype[XLM_FUSED_OPERANDS];
  int vector; // elements of a thread, neighbours along the last dim: 8, 4, 2 or 1
} xlm_fused_geometry;

xlm_fused_geometry xlm_fused_geometry_of(const xlm_call *c);
// C in the words of generated.h; its argument is `struct { void *at[n_in + n_out]; }`.
const char *xlm_fused_source(xlm_arena *a, const xlm_call *c, const xlm_fused_geometry *g);

XLM_C_END

#endif
