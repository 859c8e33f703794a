// Inference that the operations of caches share; see cache_put.c.
#ifndef XLM_OPS_CACHE_PRIV_H
#define XLM_OPS_CACHE_PRIV_H

#include "ops/shape_priv.h"

// Operand `cache` is as operand `x`, with the dimension `past` (an attribute, set here) in the place of
// `seq`, which is the attribute `seq` or the dimension of that name.
bool cache_infer(xlm_infer *x, int cache, int like);
// Is operand `cache` as the rows, of this type, with another dimension in the place of `seq`?
// *past: that one.
bool cache_check(xlm_infer *x, int cache, const xlm_type *rows, xlm_dim seq, xlm_dim *past);
// Operand i is of whole numbers, one for some of x's dimensions before `seq`.
bool cache_infer_places(xlm_infer *x, int i, int like, const char *what);

#endif
