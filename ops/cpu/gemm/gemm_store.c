// Stores a micro-tile: directly if its columns are adjacent in f32 memory, else through a small buffer that
// is converted and scattered row by row. Both compute from + sum + bias with one rounding per step.
#include "ops/cpu/gemm/gemm_priv.h"

#include <string.h>

static inline float widen(uint16_t h) {
  uint32_t w = (uint32_t)h << 16;
  float f;
  memcpy(&f, &w, 4);
  return f;
}

static void widen_all(float *dst, const uint16_t *src, int n) {
  for (int i = 0; i < n; i++) dst[i] = widen(src[i]);
}

// Rounds to nearest even; preserves NaN.
static inline uint16_t narrow(float f) {
  uint32_t w;
  memcpy(&w, &f, 4);
  uint32_t rounded = (w + 0x7fff + ((w >> 16) & 1)) >> 16, nan = w >> 16 | 0x40;
  return (uint16_t)((w & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

static void load_f32(float *dst, const float *src, const xlm_gemm_axis *col, int n) {
  if (col->run[0] >= n)
    memcpy(dst, src + col->off[0], (size_t)n * sizeof *dst);
  else
    for (int j = 0; j < n; j++) dst[j] = src[col->off[j]];
}

static void load_bf16(float *dst, const uint16_t *src, const xlm_gemm_axis *col, int n) {
  if (col->run[0] >= n)
    widen_all(dst, src + col->off[0], n);
  else
    for (int j = 0; j < n; j++) dst[j] = widen(src[col->off[j]]);
}

void xlm_gemm_row_load(float *dst, const xlm_gemm_plane *p, int row, int n) {
  int64_t at = p->row->off[row];
  if (p->type == XLM_F32)
    load_f32(dst, (const float *)p->base + at, p->col, n);
  else
    load_bf16(dst, (const uint16_t *)p->base + at, p->col, n);
}

const float *xlm_gemm_bias_load(float *dst, const xlm_gemm_job *job, const xlm_gemm_axis *col) {
  if (!job->bias) return NULL;
  for (int j = 0, n; j < col->n; j += n) { // runs of columns, up to where the bias begins again
    int64_t at = col->off[j] % job->g->p.bias;
    n = (int)xlm_gemm_min(col->run[j], job->g->p.bias - at);
    if (job->g->p.c == XLM_F32)
      memcpy(dst + j, (const float *)job->bias + at, (size_t)n * sizeof *dst);
    else
      widen_all(dst + j, (const uint16_t *)job->bias + at, n);
  }
  return dst;
}

static void store_f32(float *dst, const xlm_gemm_axis *col, const float *src, int n) {
  if (col->run[0] >= n)
    memcpy(dst + col->off[0], src, (size_t)n * sizeof *dst);
  else
    for (int j = 0; j < n; j++) dst[col->off[j]] = src[j];
}

static void store_bf16(uint16_t *dst, const xlm_gemm_axis *col, const float *src, int n) {
  if (col->run[0] >= n)
    for (int j = 0; j < n; j++) dst[col->off[0] + j] = narrow(src[j]);
  else
    for (int j = 0; j < n; j++) dst[col->off[j]] = narrow(src[j]);
}

void xlm_gemm_row_store(const xlm_gemm_plane *p, int row, const float *src, int n) {
  int64_t at = p->row->off[row];
  if (p->type == XLM_F32)
    store_f32((float *)p->base + at, p->col, src, n);
  else
    store_bf16((uint16_t *)p->base + at, p->col, src, n);
}

static void add_row(float *to, const float *row, int n) {
  for (int j = 0; j < n; j++) to[j] = to[j] + row[j];
}

// The sums of some rows: to = from + sum + bias.
static void put_rows(float (*sum)[NR], int rows, int i, const xlm_gemm_plane *to, const xlm_gemm_plane *from,
                     const float *bias) {
  float old[NR];
  const int n = to->col->n;
  for (int r = 0; r < rows; r++) {
    if (from->base) {
      xlm_gemm_row_load(old, from, i + r, n);
      add_row(sum[r], old, n);
    }
    if (bias) add_row(sum[r], bias, n);
    xlm_gemm_row_store(to, i + r, sum[r], n);
  }
}

static void tile_buffered(bool pair, int rows, int64_t words, const uint32_t *a, const uint32_t *b, int i,
                          const xlm_gemm_plane *to, const xlm_gemm_plane *from, const float *bias) {
  _Alignas(64) float sum[MR][NR];
  float *at[MR];
  for (int r = 0; r < MR; r++) at[r] = sum[r];
  xlm_gemm_kernel(pair, rows, (to->col->n + VL - 1) / VL, words, a, b, at, NULL);
  put_rows(sum, rows, i, to, from, bias);
}

static void tile_amx(int64_t words, const uint32_t *a, const uint32_t *b, int i, const xlm_gemm_plane *to,
                     const xlm_gemm_plane *from, const float *bias) {
  _Alignas(64) float sum[AMX_ROWS][NR];
  const int rows = to->row->n - i < AMX_ROWS ? to->row->n - i : AMX_ROWS;
  xlm_gemm_amx(rows, (to->col->n + VL - 1) / VL, words, a, b, sum[0]);
  put_rows(sum, rows, i, to, from, bias);
}

static inline float *row_at(const xlm_gemm_plane *p, int i) {
  return (float *)p->base + p->row->off[i] + p->col->off[0];
}

static inline bool is_direct(const xlm_gemm_plane *p, int columns) {
  return p->type == XLM_F32 && p->col->run[0] >= columns;
}

void xlm_gemm_tile(const xlm_gemm *g, int64_t words, const uint32_t *a, const uint32_t *b, int i,
                   const xlm_gemm_plane *to, const xlm_gemm_plane *from, const float *bias) {
  if (g->amx) {
    tile_amx(words, a, b, i, to, from, bias);
    return;
  }
  const bool pair = g->pairs;
  int rows = to->row->n - i < MR ? to->row->n - i : MR, n = to->col->n;
  bool whole = n % VL == 0 && (rows == MR || rows == MR / 2 || rows == 1);
  if (!whole || !is_direct(to, n) || (from->base && !is_direct(from, n))) {
    tile_buffered(pair, rows, words, a, b, i, to, from, bias);
    return;
  }
  float *out[MR];
  const float *in[MR];
  for (int r = 0; r < rows; r++) out[r] = row_at(to, i + r);
  for (int r = 0; from->base && r < rows; r++) in[r] = row_at(from, i + r);
  xlm_gemm_kernel(pair, rows, n / VL, words, a, b, out, from->base ? in : NULL);
  for (int r = 0; bias && r < rows; r++) add_row(out[r], bias, n);
}
