// Micro-kernels of the matrix product, in C with vector extensions, so that one source serves every
// instruction set.
//
// The accumulators of an MR x NR tile stay in registers over a whole k block; each word of k costs NV loads
// of B, MR broadcasts of A and MR * NV multiply-adds (8 x 48 on AVX-512: 11 loads for 24 FMAs, so the two FMA
// pipes are the limit). Every path below (full tile, few rows, few columns, streamed rows) adds word q+1
// after word q to an accumulator that starts at zero, with the same multiply-add, so all give the same bits.
#include "ops/cpu/gemm/gemm_vec_priv.h"

typedef uint16_t half_u __attribute__((vector_size(VL * 2), aligned(2), may_alias));

INLINE bits widen(const uint16_t *p) {
  return __builtin_convertvector(*(const half_u *)p, bits);
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

// VL words of one row of B, from column j on; for pairs of two rows, or of one if there is no second.
INLINE vec words_at(xlm_gemm_word word, const char *row, const char *second, int64_t j) {
  if (word == XLM_WORD_F32) return load((const float *)row + j);
  bits w = widen((const uint16_t *)row + j);
  if (word == XLM_WORD_WIDEN) return (vec)(w << 16);
  return (vec)(second ? w | widen((const uint16_t *)second + j) << 16 : w);
}

INLINE uint32_t word_at(xlm_gemm_word word, const char *b, const xlm_gemm_axis *k, int q, int64_t j) {
  if (word == XLM_WORD_F32) return ((const uint32_t *)b)[k->off[q] + j];
  const uint16_t *h = (const uint16_t *)b;
  if (word == XLM_WORD_WIDEN) return (uint32_t)h[k->off[q] + j] << 16;
  uint32_t high = 2 * q + 1 < k->n ? h[k->off[2 * q + 1] + j] : 0;
  return h[k->off[2 * q] + j] | high << 16;
}

enum { DEPTH = 8 }; // rows of B processed per pass over the accumulators

// Rows of B that are streamed together, and those to be prefetched. Copied from the axis once per pass:
// stores to sums might change it, for all the compiler can say.
typedef struct streamed {
  const char *row[2 * DEPTH];
  const char *next[2 * DEPTH];
  int fetch; // of `next`
} streamed;

INLINE streamed rows_at(xlm_gemm_word word, int depth, int q, const char *b, const xlm_gemm_axis *k) {
  int64_t size = word == XLM_WORD_F32 ? 4 : 2;
  int elements = word == XLM_WORD_PAIR ? 2 : 1, first = q * elements, n = depth * elements;
  streamed s = {.fetch = first + 2 * n <= k->n ? n : 0};
  for (int u = 0; u < n; u++) s.row[u] = first + u < k->n ? b + k->off[first + u] * size : NULL;
  for (int u = 0; u < s.fetch; u++) s.next[u] = b + k->off[first + n + u] * size;
  return s;
}

// J vectors of columns from j on: few registers hold many sums, so words of A are read once for all J. R is
// the width of a panel of A.
INLINE void stream_vectors(xlm_gemm_word word, int R, int J, int depth, const streamed *s, const uint32_t *a,
                           int64_t j, float *acc, int64_t ld) {
  int elements = word == XLM_WORD_PAIR ? 2 : 1;
  vec sum[MR][2];
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < J; v++) sum[r][v] =
      load(acc + r * ld + j + v * VL);
  UNROLL for (int u = 0; u < depth; u++) {
    const char *row = s->row[u * elements], *second = s->row[u * elements + elements - 1];
    vec part[2];
    UNROLL for (int v = 0; v < J; v++) part[v] = words_at(word, row, second, j + v * VL);
    UNROLL for (int r = 0; r < R; r++) {
      vec x = splat(a[u * R + r]);
      UNROLL for (int v = 0; v < J; v++) sum[r][v] = dot(word == XLM_WORD_PAIR, sum[r][v], x, part[v]);
    }
  }
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < J; v++)
      store(acc + r * ld + j + v * VL, sum[r][v]);
}

// a: words from q on.
INLINE void stream_rows(xlm_gemm_word word, int R, int depth, int q, const uint32_t *a, const char *b,
                        const xlm_gemm_axis *k, int n, float *acc, int64_t ld) {
  int64_t size = word == XLM_WORD_F32 ? 4 : 2, line = 64 / size, j = 0;
  const streamed s = rows_at(word, depth, q, b, k);
  for (; j + 2 * VL <= n; j += 2 * VL) {
    if (j % line == 0)
      for (int u = 0; u < s.fetch; u++)
        for (int64_t v = 0; v < 2 * VL; v += line) __builtin_prefetch(s.next[u] + (j + v) * size);
    stream_vectors(word, R, 2, depth, &s, a, j, acc, ld);
  }
  for (; j < n; j += VL) stream_vectors(word, R, 1, depth, &s, a, j, acc, ld);
}

// The last columns, fewer than a vector.
INLINE void stream_tail(xlm_gemm_word word, int R, int words, const uint32_t *a, const char *b,
                        const xlm_gemm_axis *k, int j, int lanes, float *acc, int64_t ld) {
  for (int q = 0; q < words; q++) {
    bits w = {0};
    for (int l = 0; l < lanes; l++) w[l] = word_at(word, b, k, q, j + l);
    for (int r = 0; r < R; r++) {
      float *at = acc + r * ld + j;
      store(at, dot(word == XLM_WORD_PAIR, load(at), splat(a[q * R + r]), (vec)w));
    }
  }
}

INLINE void stream(xlm_gemm_word word, int R, const xlm_gemm_few *x, const char *b, const xlm_gemm_axis *k,
                   int n, float *acc, int64_t ld) {
  int words = word == XLM_WORD_PAIR ? (k->n + 1) / 2 : k->n, whole = n / VL * VL, q = 0;
  for (; q + DEPTH <= words; q += DEPTH) // the panels after the first find these rows in the cache
    for (int p = 0; p < x->panels; p++)
      stream_rows(word, R, DEPTH, q, x->a + p * x->step + q * R, b, k, whole, acc + p * R * ld, ld);
  for (int p = 0; p < x->panels; p++) {
    const uint32_t *a = x->a + p * x->step;
    float *to = acc + p * R * ld;
    for (int u = q; u < words; u++) stream_rows(word, R, 1, u, a + u * R, b, k, whole, to, ld);
    if (whole < n) stream_tail(word, R, words, a, b, k, whole, n - whole, to, ld);
  }
}

INLINE void stream_by_rows(xlm_gemm_word word, const xlm_gemm_few *x, const char *b, const xlm_gemm_axis *k,
                           int n, float *acc, int64_t ld) {
  if (x->width == 1)
    stream(word, 1, x, b, k, n, acc, ld);
  else if (x->width == 2)
    stream(word, 2, x, b, k, n, acc, ld);
  else if (x->width == MR)
    stream(word, MR, x, b, k, n, acc, ld);
  else
    stream(word, 4, x, b, k, n, acc, ld);
}

void xlm_gemm_stream(xlm_gemm_word word, const xlm_gemm_few *x, const void *b, const xlm_gemm_axis *k, int n,
                     float *acc, int64_t ld) {
  if (word == XLM_WORD_F32)
    stream_by_rows(XLM_WORD_F32, x, b, k, n, acc, ld);
  else if (word == XLM_WORD_WIDEN)
    stream_by_rows(XLM_WORD_WIDEN, x, b, k, n, acc, ld);
  else
    stream_by_rows(XLM_WORD_PAIR, x, b, k, n, acc, ld);
}
