// Functions of rows (ops/rows.def): y = f(a, b) for one row of n floats. b is not read by functions of one
// operand; y may be a or b. Each is defined beside the kernel of its operation and called from there and from
// `fused`, so that the bits are the same in both.
#ifndef XLM_OPS_CPU_ROWS_PRIV_H
#define XLM_OPS_CPU_ROWS_PRIV_H

#include <stdint.h>

#include "ops/cpu/isa.h"

typedef void row_fn(float *y, const float *a, const float *b, int64_t n, float attribute);

#define XLM_ROW_FN(name, NAME, arity, attribute) row_fn XLM_ISA_NAME(row_##name);
#include "ops/rows.def"
#undef XLM_ROW_FN

#endif
