// Geometry that kernels of all backends share: an operand seen as `count` rows of `len` elements, the dims of
// the attribute `over` forming the row. Neighbouring dims of one kind are merged.
#ifndef XLM_DEVICE_OVER_H
#define XLM_DEVICE_OVER_H

#include <string.h>

#include "runtime/device/kernel.h"

XLM_C_BEGIN

typedef struct over_dims { // outermost first; strides in elements
  int n;
  int64_t size[XLM_MAX_RANK], stride[XLM_MAX_RANK];
} over_dims;

typedef struct over_rows {
  int64_t count, len;
  bool contiguous; // row i is [i * len, (i + 1) * len)
  over_dims outer, inner;
} over_rows;

static inline void over_add(over_dims *d, int64_t size, int64_t stride) {
  if (size == 1) return;
  if (d->n && d->stride[d->n - 1] == stride * size) {
    d->size[d->n - 1] *= size, d->stride[d->n - 1] = stride;
    return;
  }
  d->size[d->n] = size, d->stride[d->n++] = stride;
}

// A ragged pair [experts, routed] counts as one dimension of rows.
static inline over_rows over_of(const xlm_call *c, const xlm_type *t) {
  over_rows r;
  memset(&r, 0, sizeof r);
  r.count = r.len = 1;
  for (int i = 0; i < t->rank; i++) {
    bool packed = i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged;
    bool over = xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, t->dim[i]);
    int64_t size = packed ? 1 : xlm_call_size(c, t, i), stride = xlm_call_inner(c, t, i);
    *(over ? &r.len : &r.count) *= size;
    over_add(over ? &r.inner : &r.outer, size, stride);
  }
  bool rows_dense = r.outer.n == 0 || (r.outer.n == 1 && r.outer.stride[0] == r.len);
  r.contiguous = rows_dense && (r.inner.n == 0 || (r.inner.n == 1 && r.inner.stride[0] == 1));
  return r;
}

// *i becomes i / size; returns the remainder. In 32 bits if both fit, which is several times faster on all devices.
static inline XLM_HOST_DEVICE int64_t over_split(int64_t *i, int64_t size) {
  int64_t rest;
  if (((uint64_t)*i | (uint64_t)size) >> 32) {
    rest = *i % size;
    *i /= size;
  } else {
    rest = (uint32_t)*i % (uint32_t)size;
    *i = (uint32_t)*i / (uint32_t)size;
  }
  return rest;
}

// Element offset of the i-th index.
static inline XLM_HOST_DEVICE int64_t over_offset(const over_dims *d, int64_t i) {
  int64_t at = 0;
  for (int k = d->n - 1; k > 0; k--) at += over_split(&i, d->size[k]) * d->stride[k];
  return d->n ? at + i * d->stride[0] : 0;
}

XLM_C_END

#endif
