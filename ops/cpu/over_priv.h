// Rows of an operand (runtime/device/over.h) as floats. If the row's dims are innermost, rows are contiguous
// and kernels work in place; otherwise a row is gathered into a buffer and scattered back.
#ifndef XLM_OPS_CPU_OVER_PRIV_H
#define XLM_OPS_CPU_OVER_PRIV_H

#include "ops/cpu/vec_priv.h"
#include "runtime/device/over.h"

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

// Row `row` of operand i as floats: in memory, or copied to `buffer` (len floats).
static inline const float *over_get(const xlm_call *c, const over_rows *r, int i, int64_t row,
                                    float *buffer) {
  if (r->contiguous && c->in_type[i]->dtype == XLM_F32) return (const float *)c->in[i] + row * r->len;
  over_read(r, c->in_type[i]->dtype, c->in[i], row, buffer);
  return buffer;
}

// Where to compute row `row` of result 0: in memory, or in `buffer`; over_put completes it.
static inline float *over_place(const xlm_call *c, const over_rows *r, int64_t row, float *buffer) {
  return r->contiguous && c->out_type[0]->dtype == XLM_F32 ? (float *)c->out[0] + row * r->len : buffer;
}

static inline void over_put(const xlm_call *c, const over_rows *r, int64_t row, const float *y,
                            const float *buffer) {
  if (y == buffer) over_write(r, c->out_type[0]->dtype, c->out[0], row, y);
}

#endif
