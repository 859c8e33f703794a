// Vector arithmetic for attention: multiply-add, maximum, 2^x and tanh in f32.
#ifndef XLM_ATTEND_ATTEND_MATH_PRIV_H
#define XLM_ATTEND_ATTEND_MATH_PRIV_H

#include "ops/cpu/attend/attend_priv.h"

#if defined(XLM_ISA_avx512) || defined(XLM_ISA_avx2)
#include <immintrin.h>
#endif

// lanes_max(a, b) returns b if either is NaN: pass the bound first to propagate NaN.
#if defined(XLM_ISA_avx512)
ATTEND_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
  return (lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
ATTEND_INLINE lanes lanes_max(lanes a, lanes b) {
  return (lanes)_mm512_max_ps((__m512)a, (__m512)b);
}
ATTEND_INLINE lanes lanes_min(lanes a, lanes b) {
  return (lanes)_mm512_min_ps((__m512)a, (__m512)b);
}
#elif defined(XLM_ISA_avx2)
ATTEND_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
  return (lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
ATTEND_INLINE lanes lanes_max(lanes a, lanes b) {
  return (lanes)_mm256_max_ps((__m256)a, (__m256)b);
}
ATTEND_INLINE lanes lanes_min(lanes a, lanes b) {
  return (lanes)_mm256_min_ps((__m256)a, (__m256)b);
}
#else
ATTEND_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
  return a * b + c;
}
ATTEND_INLINE lanes lanes_max(lanes a, lanes b) {
  return lanes_pick((ilanes)(a > b), a, b);
}
ATTEND_INLINE lanes lanes_min(lanes a, lanes b) {
  return lanes_pick((ilanes)(a < b), a, b);
}
#endif

// Of two vectors the even lanes, the odd ones; and back: the first half, and the second, of both in turn.
#if defined(XLM_ISA_avx512)
#define LANES_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define LANES_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LANES_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define LANES_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(XLM_ISA_avx2)
#define LANES_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define LANES_ODD 1, 3, 5, 7, 9, 11, 13, 15
#define LANES_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define LANES_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LANES_EVEN 0, 2, 4, 6
#define LANES_ODD 1, 3, 5, 7
#define LANES_LOW 0, 4, 1, 5
#define LANES_HIGH 2, 6, 3, 7
#endif
ATTEND_INLINE lanes lanes_even(lanes a, lanes b) {
  return __builtin_shufflevector(a, b, LANES_EVEN);
}
ATTEND_INLINE lanes lanes_odd(lanes a, lanes b) {
  return __builtin_shufflevector(a, b, LANES_ODD);
}
ATTEND_INLINE lanes lanes_low(lanes a, lanes b) {
  return __builtin_shufflevector(a, b, LANES_LOW);
}
ATTEND_INLINE lanes lanes_high(lanes a, lanes b) {
  return __builtin_shufflevector(a, b, LANES_HIGH);
}

ATTEND_INLINE float lanes_sum(lanes v) {
  float s = 0;
  for (int i = 0; i < VL; i++) s += v[i];
  return s;
}

ATTEND_INLINE float lanes_largest(lanes v) {
#if defined(XLM_ISA_avx512)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float m = v[0];
  for (int i = 1; i < VL; i++) m = v[i] > m ? v[i] : m;
  return m;
#endif
}

// 2^x for x <= 127, relative error below 2e-7; 2^-126 for anything smaller. x = n + f with |f| <= 1/2, and
// 2^f by the polynomial of exp2f in S. Moshier's Cephes library.
ATTEND_INLINE lanes lanes_exp2(lanes x) {
  x = lanes_max(lanes_splat(-126.0f), x);
  const lanes magic = lanes_splat(12582912.0f); // 1.5 * 2^23: adding it rounds to an integer in the low bits
  lanes t = x + magic, f = x - (t - magic);
  lanes p = lanes_splat(1.535336188319500e-4f);
  p = lanes_fma(p, f, lanes_splat(1.339887440266574e-3f));
  p = lanes_fma(p, f, lanes_splat(9.618437357674640e-3f));
  p = lanes_fma(p, f, lanes_splat(5.550332471162809e-2f));
  p = lanes_fma(p, f, lanes_splat(2.402264791363012e-1f));
  p = lanes_fma(p, f, lanes_splat(6.931472028550421e-1f));
  p = lanes_fma(p, f, lanes_splat(1.0f));
  return (lanes)((ulanes)p + ((ulanes)t << 23)); // wraps for NaN
}

// tanh by the rational function of Eigen (ptanh_float), a few units in the last place.
ATTEND_INLINE lanes lanes_tanh(lanes x) {
  x = lanes_min(lanes_splat(9.0f), lanes_max(lanes_splat(-9.0f), x));
  lanes y = x * x, p = lanes_splat(-2.76076847742355e-16f), q = lanes_splat(1.19825839466702e-06f);
  p = lanes_fma(p, y, lanes_splat(2.00018790482477e-13f));
  p = lanes_fma(p, y, lanes_splat(-8.60467152213735e-11f));
  p = lanes_fma(p, y, lanes_splat(5.12229709037114e-08f));
  p = lanes_fma(p, y, lanes_splat(1.48572235717979e-05f));
  p = lanes_fma(p, y, lanes_splat(6.37261928875436e-04f));
  p = lanes_fma(p, y, lanes_splat(4.89352455891786e-03f));
  q = lanes_fma(q, y, lanes_splat(1.18534705686654e-04f));
  q = lanes_fma(q, y, lanes_splat(2.26843463243900e-03f));
  q = lanes_fma(q, y, lanes_splat(4.89352518554385e-03f));
  return x * p / q;
}

// Lanes at + 0 .. at + VL - 1 that lie in [begin, end).
ATTEND_INLINE ilanes lanes_inside(int at, int begin, int end) {
  ilanes lane;
  for (int i = 0; i < VL; i++) lane[i] = i;
  lane += at;
  return (ilanes)(lane >= begin) & (ilanes)(lane < end);
}

#endif
