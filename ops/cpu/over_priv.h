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

// ---- several rows at a time ----
//
// Rows over an outer dimension, such as the columns of a matrix, have one element in each line of the cache.
// Up to OVER_TILE of them that lie side by side are copied together, so that every line is read once.

enum { OVER_TILE = 16, OVER_TILE_FLOATS = 1 << 16 };

// Floats from one row of a tile to the next: not a power of two, which would be the same place of the cache.
static inline int64_t over_pitch(const over_rows *r) {
  return r->len + 16;
}

static inline int64_t over_tile(const over_rows *r) { // rows of a tile, at least 1
  int64_t most = OVER_TILE_FLOATS / over_pitch(r);
  return r->contiguous || most < 1 ? 1 : most < OVER_TILE ? most : OVER_TILE;
}

// How many rows, from `row` on and before `end`, are in the tile that begins with it.
static inline int64_t over_beside(const over_rows *r, int64_t row, int64_t end) {
  const over_dims *d = &r->outer;
  if (!d->n || d->stride[d->n - 1] != 1) return 1;
  int64_t n = over_tile(r), left = d->size[d->n - 1] - row % d->size[d->n - 1];
  if (n > left) n = left;
  return n < end - row ? n : end - row;
}

// Rows [row, row + n), n at most over_beside, row k at k * over_pitch.
static inline void over_read_tile(const over_rows *r, xlm_dtype t, const void *src, int64_t row, int64_t n,
                                  float *dst) {
  int64_t base = over_offset(&r->outer, row), pitch = over_pitch(r);
  for (int64_t i = 0; i < r->len; i++) {
    int64_t at = base + over_offset(&r->inner, i);
    for (int64_t k = 0; k < n; k++) dst[k * pitch + i] = vec_read_one(t, src, at + k);
  }
}

static inline void over_write_tile(const over_rows *r, xlm_dtype t, void *dst, int64_t row, int64_t n,
                                   const float *src) {
  int64_t base = over_offset(&r->outer, row), pitch = over_pitch(r);
  float side[OVER_TILE];
  for (int64_t i = 0; i < r->len; i++) {
    for (int64_t k = 0; k < n; k++) side[k] = src[k * pitch + i];
    vec_write(t, dst, base + over_offset(&r->inner, i), n, side);
  }
}

// ---- one row ----

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
