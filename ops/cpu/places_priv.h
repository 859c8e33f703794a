// For kernels that view tensors as tokens and features, whatever the storage order: offsets of the indices of
// a list of dimensions in an operand, and strided pieces of a row as f32.
#ifndef XLM_OPS_CPU_PLACES_PRIV_H
#define XLM_OPS_CPU_PLACES_PRIV_H

#include <string.h>

#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/vec_priv.h"

typedef struct places { // row-major index over `n` dims -> element offset in an operand
  int n;
  int64_t count, size[XLM_MAX_RANK], stride[XLM_MAX_RANK];
} places;

// Over dims[0 .. n) in operand type t; dims that t lacks have stride 0. Not for ragged t.
static inline places places_over(const xlm_call *c, const xlm_type *t, const xlm_dim *dims, int n) {
  places p = {.count = 1};
  for (int i = 0; i < n; i++) {
    int64_t size = c->dims[dims[i]].size, stride = xlm_call_stride(c, t, dims[i]);
    p.count *= size;
    if (size == 1) continue;
    bool joins = p.n && p.stride[p.n - 1] == stride * size;
    int to = joins ? p.n - 1 : p.n++;
    p.size[to] = joins ? p.size[to] * size : size;
    p.stride[to] = stride;
  }
  return p;
}

static inline int64_t places_at(const places *p, int64_t i) {
  if (p->n == 0) return 0;
  int64_t at = 0;
  for (int k = p->n - 1; k > 0; k--) {
    at += i % p->size[k] * p->stride[k];
    i /= p->size[k];
  }
  return at + i * p->stride[0];
}

static inline bool places_dense(const places *p) {
  return p->n == 0 || (p->n == 1 && p->stride[0] == 1);
}

static inline void write_one(xlm_dtype t, void *dst, int64_t at, float x) {
  vec_write(t, dst, at, 1, &x);
}

// vec_read and vec_write with elements `stride` apart.
static inline void read_strided(xlm_dtype t, const void *src, int64_t at, int64_t stride, int64_t n,
                                float *dst) {
  if (stride == 1)
    vec_read(t, src, at, n, dst);
  else
    for (int64_t i = 0; i < n; i++) dst[i] = vec_read_one(t, src, at + i * stride);
}

static inline void write_strided(xlm_dtype t, void *dst, int64_t at, int64_t stride, int64_t n,
                                 const float *src) {
  if (stride == 1)
    vec_write(t, dst, at, n, src);
  else
    for (int64_t i = 0; i < n; i++) write_one(t, dst, at + i * stride, src[i]);
}

#endif
