// Functions of rows (ops/rows.def) in float64: y = f(a, b) for one row of n elements. b is not read by
// functions of one operand; y is apart from both. Used by the operation itself and by `fused`.
#ifndef XLM_OPS_REF_ROWS_PRIV_H
#define XLM_OPS_REF_ROWS_PRIV_H

#include "ops/ref/ref_priv.h"

typedef void ref_row_fn(double *y, const double *a, const double *b, int64_t n, double attribute);

#define XLM_ROW_FN(name, NAME, arity, attribute) ref_row_fn ref_row_##name;
#include "ops/rows.def"
#undef XLM_ROW_FN

// An operation that is a function of rows, over any dims.
size_t ref_rows_workspace(const xlm_call *c, const xlm_target *t);
xlm_status ref_rows_run(const xlm_call *c, ref_row_fn *f, double attribute);

#endif
