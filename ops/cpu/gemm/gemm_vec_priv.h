// Vectors of the micro-kernels of the matrix product: words as bits, multiply-add.
#ifndef XLM_GEMM_GEMM_VEC_PRIV_H
#define XLM_GEMM_GEMM_VEC_PRIV_H

#include "ops/cpu/gemm/gemm_priv.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(VL * 4)));

INLINE vec splat(uint32_t w) {
  return (vec)((bits){0} + w);
}
INLINE vec load(const void *p) {
  return *(const vec_u *)p;
}
INLINE void store(float *p, vec v) {
  *(vec_u *)p = v;
}

// acc + a b; pair: of two bf16 numbers each.
INLINE vec dot(bool pair, vec acc, vec a, vec b) {
#if defined(XLM_EMULATED) // tests/ops
  for (int i = 0; i < VL; i++)
    acc[i] = pair ? emulated_dot_pair(acc[i], ((bits)a)[i], ((bits)b)[i]) : fmaf(a[i], b[i], acc[i]);
  return acc;
#elif defined(XLM_ISA_avx512)
  if (pair) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
  }
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)acc);
#elif defined(XLM_ISA_avx2)
  (void)pair; // in acc's own register: the compiler would move sums about, and to memory and back
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
  return acc;
#else
  (void)pair;
  return acc + a * b;
#endif
}

// acc + the word at a, in all lanes, by N vectors of B. On AVX2 the sums of a tile, the vectors of B and a
// word of A take all registers there are: the compiler would move sums about to read words of A ahead.
INLINE void add_row(bool pair, int N, const uint32_t *a, const vec b[], vec acc[]) {
#if defined(XLM_ISA_avx2)
  if (N == 3) {
    vec x;
    __asm__("vbroadcastss %7, %3\n\t"
            "vfmadd231ps %4, %3, %0\n\t"
            "vfmadd231ps %5, %3, %1\n\t"
            "vfmadd231ps %6, %3, %2"
            : "+x"(acc[0]), "+x"(acc[1]), "+x"(acc[2]), "=&x"(x)
            : "x"(b[0]), "x"(b[1]), "x"(b[2]), "m"(*a));
    return;
  }
#endif
  const vec x = splat(*a);
  UNROLL for (int v = 0; v < N; v++) acc[v] = dot(pair, acc[v], x, b[v]);
}

// ---- rows of B whose columns are adjacent, for products of few rows
//
// A vector of bf16 is two of f32: the even columns, shifted up, and the odd ones, which stand where they
// should. Sums are kept in that order until a k block ends (in_order).

typedef uint16_t half_u __attribute__((vector_size(VL * 2), aligned(2), may_alias));
typedef uint32_t bits_u __attribute__((vector_size(VL * 4), aligned(2), may_alias));

// VL numbers of 16 bits, as the low halves of words.
INLINE bits widen(const void *p) {
#if defined(XLM_ISA_avx2) // of the conversion the compiler makes four instructions
  return (bits)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#else
  return __builtin_convertvector(*(const half_u *)p, bits);
#endif
}

// With few registers the compiler would read memory again for every row.
INLINE vec held(vec v) {
#if defined(XLM_ISA_avx2)
  __asm__("" : "+x"(v));
#endif
  return v;
}

// A block of rows of B, whose columns are adjacent: `size` bytes each, and `ld` bytes from one row to the
// next.
typedef struct rows_of_b {
  xlm_gemm_word word;
  int size, elements; // of a word, along k
  int64_t ld;
} rows_of_b;

INLINE rows_of_b rows_of(xlm_gemm_word word, int64_t ld) {
  return (rows_of_b){word, word == XLM_WORD_F32 ? 4 : 2, word == XLM_WORD_PAIR ? 2 : 1, ld};
}

// VL columns of the word at p. second: has it the second row of a pair?
INLINE vec words_at(const rows_of_b *b, const char *p, bool second) {
  if (b->word == XLM_WORD_F32) return load(p);
  bits w = widen(p);
  if (b->word == XLM_WORD_WIDEN) return (vec)(w << 16);
  return (vec)(second ? w | widen(p + b->ld) << 16 : w);
}

// J vectors of columns; of bf16 pairs of vectors have the even columns, then the odd.
INLINE void vectors_at(vec part[], const rows_of_b *b, int J, const char *p, bool second) {
  const int pairs = b->word == XLM_WORD_WIDEN ? J / 2 * 2 : 0;
  UNROLL for (int v = 0; v < pairs; v += 2) {
    bits w = (bits)held((vec) * (const bits_u *)(p + v * VL * b->size));
    part[v] = held((vec)(w << 16)), part[v + 1] = held((vec)(w & 0xffff0000u));
  }
  UNROLL for (int v = pairs; v < J; v++) part[v] = held(words_at(b, p + v * VL * b->size, second));
}

// Sums of n columns, even before odd in every two vectors, in the columns' order.
INLINE void in_order(float *sum, int n) {
  for (int j = 0; j < n; j += 2 * VL) {
    vec even = load(sum + j), odd = load(sum + j + VL);
    store(sum + j, __builtin_shufflevector(even, odd, XLM_GEMM_LOW));
    store(sum + j + VL, __builtin_shufflevector(even, odd, XLM_GEMM_HIGH));
  }
}

#endif
