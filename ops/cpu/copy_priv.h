// Copies between two layouts, used by permute, slice, pad, concat and shift.
#ifndef XLM_OPS_CPU_COPY_PRIV_H
#define XLM_OPS_CPU_COPY_PRIV_H

#include "ops/cpu/kernel_priv.h"

// dst[i . dst strides] = src[i . src strides] for all index tuples i below `size`, outermost first. Strides
// in elements.
typedef struct xlm_copy {
  int n;
  size_t elem; // bytes: 2 or 4
  int64_t size[XLM_MAX_RANK], src[XLM_MAX_RANK], dst[XLM_MAX_RANK];
} xlm_copy;

// Matches the dims of `out`, in order, with those of `in`; out's dim `to` corresponds to in's dim `from` (0,
// 0: all equal). If these differ in size, the smaller one is copied.
#define xlm_copy_between XLM_ISA_NAME(xlm_copy_between_)
xlm_copy xlm_copy_between(const xlm_call *c, const xlm_type *in, const xlm_type *out, xlm_dim from,
                          xlm_dim to);

// Runs on `pool` (NULL: this thread). Regions must not overlap.
#define xlm_copy_run XLM_ISA_NAME(xlm_copy_run_)
void xlm_copy_run(const xlm_copy *copy, const void *src, void *dst, xlm_pool *pool);

// Zeroes bytes [at, at + n) of each of `rows` rows of `row_bytes`.
#define xlm_copy_zero XLM_ISA_NAME(xlm_copy_zero_)
void xlm_copy_zero(void *dst, int64_t rows, int64_t row_bytes, int64_t at, int64_t n, xlm_pool *pool);

#endif
