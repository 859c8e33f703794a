// Rows: an operand seen as `count` rows of `len` elements, the dims of the attribute `over` forming the row.
//
// Neighbouring dims of one kind are merged. Where the row's dims are the innermost, rows are contiguous and
// kernels work in place; otherwise a row is gathered into a buffer and scattered back.
#ifndef XLM_OPS_CPU_OVER_PRIV_H
#define XLM_OPS_CPU_OVER_PRIV_H

#include "ops/cpu/vec_priv.h"

typedef struct over_dims {
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

static inline over_rows over_of(const xlm_call *c, const xlm_type *t) {
  over_rows r = {.count = 1, .len = 1};
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

static inline int64_t over_offset(const over_dims *d, int64_t i) { // element offset of the i-th index
  int64_t at = 0;
  for (int k = d->n - 1; k >= 0; k--) at += i % d->size[k] * d->stride[k], i /= d->size[k];
  return at;
}

static inline void over_read(const over_rows *r, xlm_dtype t, const void *src, int64_t row, float *dst) {
  if (r->contiguous) {
    vec_read(t, src, row * r->len, r->len, dst);
    return;
  }
  int64_t base = over_offset(&r->outer, row), run = r->inner.n ? r->inner.size[r->inner.n - 1] : 1;
  int64_t stride = r->inner.n ? r->inner.stride[r->inner.n - 1] : 1;
  for (int64_t i = 0; i < r->len; i += run) {
    int64_t at = base + over_offset(&r->inner, i);
    for (int64_t j = 0; j < run; j++) dst[i + j] = vec_read_one(t, src, at + j * stride);
  }
}

static inline void over_write(const over_rows *r, xlm_dtype t, void *dst, int64_t row, const float *src) {
  if (r->contiguous) {
    vec_write(t, dst, row * r->len, r->len, src);
    return;
  }
  int64_t base = over_offset(&r->outer, row), run = r->inner.n ? r->inner.size[r->inner.n - 1] : 1;
  int64_t stride = r->inner.n ? r->inner.stride[r->inner.n - 1] : 1;
  for (int64_t i = 0; i < r->len; i += run) {
    int64_t at = base + over_offset(&r->inner, i);
    for (int64_t j = 0; j < run; j++) vec_write(t, dst, at + j * stride, 1, src + i + j);
  }
}

// Row `row` of operand i as floats: where it lies, or in `buffer` (len floats).
static inline const float *over_get(const xlm_call *c, const over_rows *r, int i, int64_t row,
                                    float *buffer) {
  if (r->contiguous && c->in_type[i]->dtype == XLM_F32) return (const float *)c->in[i] + row * r->len;
  over_read(r, c->in_type[i]->dtype, c->in[i], row, buffer);
  return buffer;
}

// Where to compute row `row` of result 0: in its place, or in `buffer`; over_put completes it.
static inline float *over_place(const xlm_call *c, const over_rows *r, int64_t row, float *buffer) {
  return r->contiguous && c->out_type[0]->dtype == XLM_F32 ? (float *)c->out[0] + row * r->len : buffer;
}

static inline void over_put(const xlm_call *c, const over_rows *r, int64_t row, const float *y,
                            const float *buffer) {
  if (y == buffer) over_write(r, c->out_type[0]->dtype, c->out[0], row, y);
}

#endif
