// Five rows and more against columns of B that run along k, where a vector holds eight numbers: the lanes are
// rows of A. A word of B is broadcast as it lies and multiplied with a whole vector of rows, so that nothing
// of B is turned, and of bf16 the two numbers of a word are taken apart in place. Sums have the order of the
// micro-kernel.
#include "ops/cpu/gemm/gemm_vec_priv.h"

enum {
  TILE = 11, // columns, whose sums are in registers
  STEP = 8,  // elements of k per turn of the loop
  NEAR = 512 // bytes: prefetch distance along a column
};

typedef uint32_t word_u __attribute__((aligned(2), may_alias));

// STEP elements of T columns; at: the first of each column is `ld` bytes after that of the one before.
INLINE void multiply(xlm_gemm_word word, int T, const uint32_t *a, const char *at, int64_t ld, vec acc[]) {
  const char *p[TILE / 3 + 1]; // three columns each: few registers hold addresses
  UNROLL for (int i = 0; i < T; i += 3) p[i / 3] = at + i * ld;
  if (word == XLM_WORD_F32) {
    UNROLL for (int u = 0; u < STEP; u++) {
      vec x = load(a + u * VL);
      UNROLL for (int i = 0; i < T; i++) acc[i] =
          dot(false, acc[i], x, splat(((const word_u *)(p[i / 3] + i % 3 * ld))[u]));
    }
    return;
  }
  UNROLL for (int u = 0; u < STEP; u += 2) {
    vec x = load(a + u * VL), y = load(a + (u + 1) * VL);
    UNROLL for (int i = 0; i < T; i++) {
      bits w = (bits)splat(((const word_u *)(p[i / 3] + i % 3 * ld))[u / 2]);
#if defined(XLM_ISA_avx2)
      __asm__("" : "+x"(w)); // or words are shifted one by one before they are broadcast
#endif
      acc[i] = dot(false, acc[i], x, (vec)(w << 16));
      acc[i] = dot(false, acc[i], y, (vec)(w & 0xffff0000u));
    }
  }
}

INLINE uint32_t word_at(xlm_gemm_word word, const char *column, int64_t q) {
  return word == XLM_WORD_F32 ? ((const uint32_t *)column)[q] : (uint32_t)((const uint16_t *)column)[q] << 16;
}

// T columns by all of the k block: to[i] has the sums of column i. T is a constant in every call.
INLINE void tile(xlm_gemm_word word, int T, const xlm_gemm_columns *b, const uint32_t *a, const char *at,
                 float (*to)[VL]) {
  const int64_t size = word == XLM_WORD_F32 ? 4 : 2, line = 64 / size, ld = b->ld;
  vec acc[TILE] = {{0}};
  int64_t q = 0;
  for (; q + STEP <= b->k; q += STEP) {
    if (q % line == 0) {
      int64_t ahead = q * size + NEAR;
      if (ahead >= b->left) ahead += T * ld - b->whole; // the beginning of the next columns
      for (int i = 0; i < T; i++) __builtin_prefetch(at + i * ld + ahead);
    }
    multiply(word, T, a + q * VL, at + q * size, ld, acc);
  }
  for (; q < b->k; q++)
    UNROLL for (int i = 0; i < T; i++) acc[i] =
        dot(false, acc[i], load(a + q * VL), splat(word_at(word, at + i * ld, q)));
  UNROLL for (int i = 0; i < T; i++) store(to[i], acc[i]);
}

// sum = (have ? sum : 0) + the sums of n columns, by rows.
static void add(float *sum, int64_t ld, float (*from)[VL], int n, bool have) {
  for (int j = 0; j < n; j += VL) {
    int columns = n - j < VL ? n - j : VL;
    for (int r = 0; r < VL; r++) {
      float *to = sum + r * ld + j;
      for (int i = 0; i < columns; i++) to[i] = have ? to[i] + from[j + i][r] : from[j + i][r];
    }
  }
}

INLINE void lanes(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                  int64_t ld, bool have) {
  _Alignas(64) float out[LANE_COLUMNS][VL];
  for (int p = 0; p < x->panels; p++) { // the panels after the first find the columns in the cache
    const uint32_t *a = x->a + p * x->step;
    int j = 0;
    for (; j + TILE <= n; j += TILE) tile(word, TILE, b, a, b->at + j * b->ld, out + j);
    for (; j + 4 <= n; j += 4) tile(word, 4, b, a, b->at + j * b->ld, out + j);
    for (; j < n; j++) tile(word, 1, b, a, b->at + j * b->ld, out + j);
    add(sum + p * VL * ld, ld, out, n, have);
  }
}

void xlm_gemm_lanes(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                    int64_t ld, bool have) {
  if (word == XLM_WORD_F32)
    lanes(XLM_WORD_F32, x, b, n, sum, ld, have);
  else
    lanes(XLM_WORD_WIDEN, x, b, n, sum, ld, have);
}
