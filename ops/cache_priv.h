// Inference that the operations of caches share; see cache_put.c.
#ifndef XLM_OPS_CACHE_PRIV_H
#define XLM_OPS_CACHE_PRIV_H

#include "ops/shape_priv.h"

// Operand `cache` is as operand `x`, with the dimension `past` (an attribute, set here) in the place of
// `seq`, which is the attribute `seq` or the dimension of that name.
bool cache_infer(xlm_infer *x, int cache, int like);
// Operand i is of whole numbers, one for some of x's dimensions before `seq`.
bool cache_infer_places(xlm_infer *x, int i, int like, const char *what);

#endif
