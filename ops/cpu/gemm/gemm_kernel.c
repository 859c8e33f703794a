// Micro-kernels of the matrix product, in C with vector extensions, so that one source serves every
// instruction set.
//
// The accumulators of an MR x NR tile stay in registers over a whole k block; each word of k costs NV loads
// of B, MR broadcasts of A and MR * NV multiply-adds (8 x 48 on AVX-512: 11 loads for 24 FMAs, so the two FMA
// pipes are the limit). Every path below (full tile, few rows, few columns, streamed rows) adds word q+1
// after word q to an accumulator that starts at zero, with the same multiply-add, so all give the same bits.
#include "ops/cpu/gemm/gemm_priv.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(VL * 4)));
typedef uint32_t bits_u __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint16_t half_u __attribute__((vector_size(VL * 2), aligned(2), may_alias));

INLINE vec splat(uint32_t w) {
  return (vec)((bits){0} + w);
}
INLINE vec load(const void *p) {
  return *(const vec_u *)p;
}
INLINE void store(float *p, vec v) {
  *(vec_u *)p = v;
}
INLINE bits widen(const uint16_t *p) {
  return __builtin_convertvector(*(const half_u *)p, bits);
}

INLINE vec dot(bool pair, vec acc, vec a, vec b) {
#if defined(XLM_ISA_avx512)
  if (pair) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
  }
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)acc);
#elif defined(XLM_ISA_avx2)
  (void)pair;
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)acc);
#else
  (void)pair;
  return acc + a * b;
#endif
}

// R, N and pair are constants in every call, so loops are unrolled and acc stays in registers.
INLINE void body(bool pair, int R, int N, int64_t words, const uint32_t *a, const uint32_t *b,
                 float *const *to, const float *const *from) {
  vec acc[MR][NV] = {{{0}}};
  for (int r = 0; r < R; r++)
    for (int v = 0; v <= N; v++) __builtin_prefetch(to[r] + (v < N ? v * VL : N * VL - 1), 1);
  for (; words > 0; words--, a += MR, b += NR) {
    vec bv[NV];
    UNROLL for (int v = 0; v < N; v++) bv[v] = *(const vec *)(b + v * VL);
    UNROLL for (int r = 0; r < R; r++) {
      vec av = splat(a[r]);
      UNROLL for (int v = 0; v < N; v++) acc[r][v] = dot(pair, acc[r][v], av, bv[v]);
    }
  }
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < N; v++)
      store(to[r] + v * VL, from ? load(from[r] + v * VL) + acc[r][v] : acc[r][v]);
}

INLINE void by_columns(bool pair, int R, int vectors, int64_t words, const uint32_t *a, const uint32_t *b,
                       float *const *to, const float *const *from) {
  if (vectors == NV)
    body(pair, R, NV, words, a, b, to, from);
  else if (vectors == 1)
    body(pair, R, 1, words, a, b, to, from);
  else
    body(pair, R, 2, words, a, b, to, from);
}

INLINE void by_rows(bool pair, int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b,
                    float *const *to, const float *const *from) {
  if (rows == MR)
    by_columns(pair, MR, vectors, words, a, b, to, from);
  else if (rows == 1)
    by_columns(pair, 1, vectors, words, a, b, to, from);
  else if (rows <= MR / 2)
    by_columns(pair, MR / 2, vectors, words, a, b, to, from);
  else
    by_columns(pair, MR, vectors, words, a, b, to, from);
}

void xlm_gemm_kernel(bool pair, int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b,
                     float *const *to, const float *const *from) {
  if (pair)
    by_rows(true, rows, vectors, words, a, b, to, from);
  else
    by_rows(false, rows, vectors, words, a, b, to, from);
}

// VL words of one row of B (two rows for pairs).
INLINE vec words_at(xlm_gemm_word word, const char *b, const xlm_gemm_axis *k, int q, int64_t j) {
  if (word == XLM_WORD_F32) return load((const float *)b + k->off[q] + j);
  const uint16_t *h = (const uint16_t *)b;
  if (word == XLM_WORD_WIDEN) return (vec)(widen(h + k->off[q] + j) << 16);
  bits w = widen(h + k->off[2 * q] + j);
  return (vec)(2 * q + 1 < k->n ? w | widen(h + k->off[2 * q + 1] + j) << 16 : w);
}

INLINE uint32_t word_at(xlm_gemm_word word, const char *b, const xlm_gemm_axis *k, int q, int64_t j) {
  if (word == XLM_WORD_F32) return ((const uint32_t *)b)[k->off[q] + j];
  const uint16_t *h = (const uint16_t *)b;
  if (word == XLM_WORD_WIDEN) return (uint32_t)h[k->off[q] + j] << 16;
  uint32_t high = 2 * q + 1 < k->n ? h[k->off[2 * q + 1] + j] : 0;
  return h[k->off[2 * q] + j] | high << 16;
}

enum { DEPTH = 4 }; // rows of B processed per pass over the accumulators

INLINE void stream_rows(xlm_gemm_word word, int R, int depth, int q, const uint32_t *a, const char *b,
                        const xlm_gemm_axis *k, int n, float *acc, int ld) {
  int64_t size = word == XLM_WORD_F32 ? 4 : 2;
  int elements = word == XLM_WORD_PAIR ? 2 : 1, ahead = (q + depth) * elements;
  int fetch = ahead + depth * elements <= k->n ? depth * elements : 0;
  for (int j = 0; j < n; j += VL) {
    vec sum[MR], part;
    UNROLL for (int r = 0; r < R; r++) sum[r] = load(acc + r * ld + j);
    for (int u = 0; u < fetch; u++) __builtin_prefetch(b + (k->off[ahead + u] + j) * size);
    UNROLL for (int u = 0; u < depth; u++) {
      part = words_at(word, b, k, q + u, j);
      UNROLL for (int r = 0; r < R; r++) sum[r] =
          dot(word == XLM_WORD_PAIR, sum[r], splat(a[(q + u) * MR + r]), part);
    }
    UNROLL for (int r = 0; r < R; r++) store(acc + r * ld + j, sum[r]);
  }
}

// The last columns, fewer than a vector.
INLINE void stream_tail(xlm_gemm_word word, int rows, int words, const uint32_t *a, const char *b,
                        const xlm_gemm_axis *k, int j, int lanes, float *acc, int ld) {
  for (int q = 0; q < words; q++) {
    bits w = {0};
    for (int l = 0; l < lanes; l++) w[l] = word_at(word, b, k, q, j + l);
    for (int r = 0; r < rows; r++) {
      float *at = acc + r * ld + j;
      store(at, dot(word == XLM_WORD_PAIR, load(at), splat(a[q * MR + r]), (vec)w));
    }
  }
}

INLINE void stream(xlm_gemm_word word, int R, const uint32_t *a, const char *b, const xlm_gemm_axis *k, int n,
                   float *acc, int ld) {
  int words = word == XLM_WORD_PAIR ? (k->n + 1) / 2 : k->n, whole = n / VL * VL, q = 0;
  for (; q + DEPTH <= words; q += DEPTH) stream_rows(word, R, DEPTH, q, a, b, k, whole, acc, ld);
  for (; q < words; q++) stream_rows(word, R, 1, q, a, b, k, whole, acc, ld);
  if (whole < n) stream_tail(word, R, words, a, b, k, whole, n - whole, acc, ld);
}

INLINE void stream_by_rows(xlm_gemm_word word, int rows, const uint32_t *a, const char *b,
                           const xlm_gemm_axis *k, int n, float *acc, int ld) {
  if (rows == 1)
    stream(word, 1, a, b, k, n, acc, ld);
  else if (rows <= MR / 2)
    stream(word, MR / 2, a, b, k, n, acc, ld);
  else
    stream(word, MR, a, b, k, n, acc, ld);
}

void xlm_gemm_stream(xlm_gemm_word word, int rows, const uint32_t *a, const void *b, const xlm_gemm_axis *k,
                     int n, float *acc, int ld) {
  if (word == XLM_WORD_F32)
    stream_by_rows(XLM_WORD_F32, rows, a, b, k, n, acc, ld);
  else if (word == XLM_WORD_WIDEN)
    stream_by_rows(XLM_WORD_WIDEN, rows, a, b, k, n, acc, ld);
  else
    stream_by_rows(XLM_WORD_PAIR, rows, a, b, k, n, acc, ld);
}
