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

#endif
