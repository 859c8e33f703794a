// Micro-kernels of the matrix product, in C with vector extensions, so that one source serves every
// instruction set.
//
// The accumulators of an MR x NR tile stay in registers over a whole k block; each word of k costs NV loads
// of B, MR broadcasts of A and MR * NV multiply-adds (8 x 48 on AVX-512: 11 loads for 24 FMAs, so the two FMA
// pipes are the limit). Every path (full tile, few rows, few columns, and those of products of few rows) adds
// word q+1 after word q to an accumulator that starts at zero, with the same multiply-add, so all give the
// same bits.
#include "ops/cpu/gemm/gemm_vec_priv.h"

enum { WORDS = 4 }; // per turn of the loop, whose own instructions count beside few multiply-adds

INLINE void add_word(bool pair, int R, int N, const uint32_t *a, const uint32_t *b, vec acc[][NV]) {
  vec bv[NV];
  UNROLL for (int v = 0; v < N; v++) bv[v] = held(*(const vec *)(b + v * VL));
  UNROLL for (int r = 0; r < R; r++) add_row(pair, N, a + r, bv, acc[r]);
}

// R, N and pair are constants in every call, so loops are unrolled and acc stays in registers.
INLINE void body(bool pair, int R, int N, int64_t words, const uint32_t *a, const uint32_t *b,
                 float *const *to, const float *const *from) {
  vec acc[MR][NV] = {{{0}}};
  for (int r = 0; r < R; r++)
    for (int v = 0; v <= N; v++) __builtin_prefetch(to[r] + (v < N ? v * VL : N * VL - 1), 1);
  for (; words >= WORDS; words -= WORDS, a += WORDS * MR, b += WORDS * NR)
    UNROLL for (int q = 0; q < WORDS; q++) add_word(pair, R, N, a + q * MR, b + q * NR, acc);
  for (; words > 0; words--, a += MR, b += NR) add_word(pair, R, N, a, b, acc);
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
