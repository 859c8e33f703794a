// Geometry that kernels of caches share (ops/cache_put.c): x is [outer][rows][inner], the cache
// [outer][ring][inner], both dense.
#ifndef XLM_DEVICE_CACHE_H
#define XLM_DEVICE_CACHE_H

#include "runtime/device/over.h"

XLM_C_BEGIN

typedef struct xlm_cache_shape {
  int64_t outer, rows, ring, inner; // inner: elements of a row
  over_dims start, count;           // by outer index: the element of that operand
} xlm_cache_shape;

static inline over_dims xlm_cache_places(const xlm_call *c, const xlm_type *x, int end,
                                         const xlm_type *places) {
  over_dims d;
  memset(&d, 0, sizeof d);
  for (int i = 0; i < end; i++) over_add(&d, xlm_call_size(c, x, i), xlm_call_stride(c, places, x->dim[i]));
  return d;
}

// Of rows of type x; operands `start` and (-1: none) `count`.
static inline xlm_cache_shape xlm_cache_shape_of(const xlm_call *c, const xlm_type *x, int start, int count) {
  int at = xlm_type_find(x, xlm_call_dim(c, XLM_A_seq, 0));
  xlm_cache_shape s;
  memset(&s, 0, sizeof s);
  s.outer = xlm_call_outer(c, x, at), s.inner = xlm_call_inner(c, x, at);
  s.rows = xlm_call_size(c, x, at), s.ring = c->dims[xlm_call_dim(c, XLM_A_past, 0)].size;
  s.start = xlm_cache_places(c, x, at, c->in_type[start]);
  if (count >= 0) s.count = xlm_cache_places(c, x, at, c->in_type[count]);
  return s;
}

XLM_C_END

#endif
