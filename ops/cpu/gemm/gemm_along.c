// Few rows against columns of B that run along k, as the rows of a weight stored transposed (a head tied to
// the embedding). B is read once, in order, and nothing of it is stored: VL words of VL columns at a time are
// turned in registers into vectors along n, which are multiplied at once. Few columns are read side by side:
// the processor follows only so many rows of memory.
//
// Two bf16 numbers are one word while they are turned; where they are not multiplied as a pair, they are
// taken apart afterwards. Sums have the order of the micro-kernel.
#include "ops/cpu/gemm/gemm_vec_priv.h"
#include "ops/cpu/turn_priv.h"

enum {
  LINE = 16,        // words of a cache line
  NEAR = 512,       // bytes: prefetch distance along a column
  BESIDE = 32 << 10 // bytes of columns side by side, up to which the next ones are prefetched instead
};

typedef uint32_t bits_u __attribute__((vector_size(VL * 4), aligned(2), may_alias));

// t[i] = word i of the VL columns at p, p + ld, .. Every column is loaded once, a vector of it: where columns
// are a multiple of a page apart, the cache keeps only few of them.
INLINE void turn(bits t[VL], const char *p, int64_t ld) {
  UNROLL for (int i = 0; i < VL; i++) t[i] = (bits) * (const bits_u *)(p + i * ld);
  turn_square(t);
}

INLINE uint32_t word_at(xlm_gemm_word word, const char *column, int64_t k, int64_t q) {
  if (word == XLM_WORD_F32) return ((const uint32_t *)column)[q];
  const uint16_t *h = (const uint16_t *)column;
  if (word == XLM_WORD_WIDEN) return (uint32_t)h[q] << 16;
  return h[2 * q] | (uint32_t)(2 * q + 1 < k ? h[2 * q + 1] : 0) << 16;
}

// The words from q on of `lanes` columns, one by one.
INLINE void rest(xlm_gemm_word word, int R, const xlm_gemm_columns *b, int lanes, int64_t q,
                 const uint32_t *a, const char *at, vec acc[][2], int g) {
  int64_t words = word == XLM_WORD_PAIR ? (b->k + 1) / 2 : b->k;
  for (; q < words; q++) {
    bits w = {0};
    for (int l = 0; l < lanes; l++) w[l] = word_at(word, at + l * b->ld, b->k, q);
    UNROLL for (int r = 0; r < R; r++) acc[r][g] =
        dot(word == XLM_WORD_PAIR, acc[r][g], splat(a[q * R + r]), (vec)w);
  }
}

// Word q of A with G vectors of columns.
INLINE void multiply_word(bool pair, int R, int G, const uint32_t *a, int64_t q, const bits w[],
                          vec acc[][2]) {
  UNROLL for (int r = 0; r < R; r++) {
    vec x = splat(a[q * R + r]);
    UNROLL for (int g = 0; g < G; g++) acc[r][g] = dot(pair, acc[r][g], x, (vec)w[g]);
  }
}

INLINE void multiply(xlm_gemm_word word, int R, int G, const uint32_t *a, int64_t q, const bits t[],
                     vec acc[][2]) {
  if (word == XLM_WORD_WIDEN) {
    bits low[2], high[2];
    UNROLL for (int g = 0; g < G; g++) low[g] = t[g] << 16;
    UNROLL for (int g = 0; g < G; g++) high[g] = t[g] & 0xffff0000u;
    multiply_word(false, R, G, a, 2 * q, low, acc);
    multiply_word(false, R, G, a, 2 * q + 1, high, acc);
  } else {
    multiply_word(word == XLM_WORD_PAIR, R, G, a, q, t, acc);
  }
}

// Words [begin, VL) of the VL from q on, which are of 4 bytes.
INLINE void turned(xlm_gemm_word word, int R, int G, const xlm_gemm_columns *b, const uint32_t *a,
                   const char *at, int64_t q, int begin, vec acc[][2]) {
  bits t[2][VL];
  UNROLL for (int g = 0; g < G; g++) turn(t[g], at + g * VL * b->ld + q * 4, b->ld);
  UNROLL for (int i = begin; i < VL; i++) {
    bits w[2];
    UNROLL for (int g = 0; g < G; g++) w[g] = t[g][i];
    multiply(word, R, G, a, q + i, w, acc);
  }
}

INLINE void fetch(int G, const xlm_gemm_columns *b, const char *at, int64_t here) {
  const int64_t next = G * VL * b->ld; // the columns after these
  if (next <= BESIDE) {
    for (int l = 0; l < G * VL; l++) __builtin_prefetch(at + l * b->ld + next + here, 0, 2);
    return;
  }
  int64_t ahead = here + NEAR;
  if (ahead >= b->left) ahead += next - b->whole; // the beginning of the next columns
  for (int l = 0; l < G * VL; l++) __builtin_prefetch(at + l * b->ld + ahead);
}

// G vectors of columns, R rows: both are constants in every call.
INLINE void body(xlm_gemm_word word, int R, int G, const xlm_gemm_columns *b, const uint32_t *a,
                 const char *at, float *sum, int64_t ld, bool have) {
  enum { HALF = VL / 2 };
  vec acc[MR][2] = {{{0}}};
  int64_t words = word == XLM_WORD_F32 ? b->k : b->k / 2, q = 0; // of 4 bytes
  for (; q + VL <= words; q += VL) {
    if (q % LINE == 0) fetch(G, b, at, q * 4);
    turned(word, R, G, b, a, at, q, 0, acc);
  }
  if (word == XLM_WORD_WIDEN && q && q + HALF <= words) { // a k block has whole vectors of single words
    turned(word, R, G, b, a, at, q - HALF, HALF, acc);
    q += HALF;
  }
  for (int g = 0; g < G; g++)
    rest(word, R, b, VL, word == XLM_WORD_WIDEN ? 2 * q : q, a, at + g * VL * b->ld, acc, g);
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int g = 0; g < G; g++) {
    float *to = sum + r * ld + g * VL;
    store(to, have ? load(to) + acc[r][g] : acc[r][g]);
  }
}

INLINE void last(xlm_gemm_word word, int R, const xlm_gemm_columns *b, int lanes, const uint32_t *a,
                 const char *at, float *sum, int64_t ld, bool have) {
  vec acc[MR][2] = {{{0}}};
  rest(word, R, b, lanes, 0, a, at, acc, 0);
  for (int r = 0; r < R; r++) store(sum + r * ld, have ? load(sum + r * ld) + acc[r][0] : acc[r][0]);
}

// The panels after the first find the columns in the cache.
INLINE void columns(xlm_gemm_word word, int R, int G, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n,
                    float *sum, int64_t ld, bool have) {
  for (int j = 0, width; j < n; j += width) {
    const char *at = b->at + j * b->ld;
    width = j + G * VL <= n ? G * VL : VL;
    for (int p = 0; p < x->panels; p++) {
      const uint32_t *a = x->a + p * x->step;
      float *to = sum + p * R * ld + j;
      if (j + G * VL <= n)
        body(word, R, G, b, a, at, to, ld, have);
      else if (j + VL <= n)
        body(word, R, 1, b, a, at, to, ld, have);
      else
        last(word, R, b, n - j, a, at, to, ld, have);
    }
  }
}

INLINE void by_rows(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                    int64_t ld, bool have) {
  enum { TWO = VL < 16 ? 2 : 1 }; // vectors of columns: short ones alone would wait for their own sums
  const int more = word == XLM_WORD_WIDEN ? TWO : 1;
  if (x->width == 1)
    columns(word, 1, TWO, x, b, n, sum, ld, have);
  else if (x->width == 2)
    columns(word, 2, TWO, x, b, n, sum, ld, have);
  else if (x->width == MR)
    columns(word, MR, more, x, b, n, sum, ld, have);
  else
    columns(word, 4, more, x, b, n, sum, ld, have);
}

void xlm_gemm_along(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                    int64_t ld, bool have) {
  if (word == XLM_WORD_F32)
    by_rows(XLM_WORD_F32, x, b, n, sum, ld, have);
  else if (word == XLM_WORD_WIDEN)
    by_rows(XLM_WORD_WIDEN, x, b, n, sum, ld, have);
  else
    by_rows(XLM_WORD_PAIR, x, b, n, sum, ld, have);
}
