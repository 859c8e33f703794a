// Vector arithmetic for CPU kernels, in plain C that gcc and clang vectorise for every instruction set.
//
// - Scalar functions without branches (vec_exp, vec_log, ...): loops that call them vectorise. Accurate to
//   1-3 ulp of f32; the polynomials are those of Cephes (S. Moshier) and, for erf, of N. Juffa.
// - vec_lanes(n): loop bound for such loops over whole blocks. The caller pads blocks to a multiple of
//   VEC_PAD elements, so there is no scalar remainder loop: an element's bits do not depend on its position
//   in a block.
// - vec_sum and similar reduce an array in a fixed order: 16 lanes, then halves; long arrays in blocks, added
//   pairwise.
#ifndef XLM_OPS_CPU_VEC_PRIV_H
#define XLM_OPS_CPU_VEC_PRIV_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ops/cpu/isa.h"
#include "runtime/base/exp.h"
#include "runtime/device/kernel.h"

enum { VEC_PAD = 64 };

static inline int64_t vec_lanes(int64_t n) {
  return n & ~(int64_t)(VEC_PAD - 1);
}
static inline int64_t vec_pad(int64_t n) {
  return (n + VEC_PAD - 1) & ~(int64_t)(VEC_PAD - 1);
}

static inline float vec_from_bits(uint32_t u) {
  return xlm_f32_of_bits(u);
}

static inline uint32_t vec_bits(float f) {
  return xlm_bits_of_f32(f);
}

static inline float vec_abs(float x) {
  return vec_from_bits(vec_bits(x) & 0x7FFFFFFFu);
}
static inline float vec_sign_of(float magnitude, float sign) {
  return vec_from_bits((vec_bits(magnitude) & 0x7FFFFFFFu) | (vec_bits(sign) & 0x80000000u));
}

static inline float vec_exp(float x) {
  return xlm_exp(x);
}

static inline float vec_log(float x) {
  float tiny = x < 1.17549435e-38f ? 8388608.0f : 1.0f; // scales subnormal numbers into range
  uint32_t u = vec_bits(x * tiny);
  float e = (float)((int)(u >> 23) - 126) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
  float m = vec_from_bits((u & 0x007FFFFFu) | 0x3F000000u); // in [0.5, 1)
  float low = m < 0.707106781186547524f ? 1.0f : 0.0f;
  e -= low;
  m = m - 1.0f + low * m;
  float z = m * m, p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = m * z * p + e * -2.12194440e-4f - 0.5f * z;
  y = m + y + e * 0.693359375f;
  y = x == INFINITY ? INFINITY : y;
  y = x == 0.0f ? -INFINITY : y;
  return x >= 0.0f ? y : NAN; // also for NaN
}

static inline float vec_sigmoid(float x) {
  return 1.0f / (1.0f + vec_exp(-x));
}

static inline float vec_tanh(float x) {
  float a = vec_abs(x), z = x * x, p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  float near = x + x * z * p, far = 1.0f - 2.0f / (vec_exp(2.0f * a) + 1.0f);
  return a < 0.625f ? near : vec_sign_of(far, x);
}

static inline float vec_erf(float x) {
  float t = vec_abs(x), s = x * x;
  float far = -1.72853470e-5f * t + 3.83197126e-4f;
  far = far * s + (-3.88396438e-3f * t + 2.42546219e-2f);
  far = far * t - 1.06777877e-1f;
  far = far * t - 6.34846687e-1f;
  far = far * t - 1.28717512e-1f;
  far = far * t - t;
  far = t > 4.0f ? 1.0f : 1.0f - vec_exp(far); // the polynomial is valid until erf is 1
  float near = -5.96761703e-4f;
  near = near * s + 4.99119423e-3f;
  near = near * s - 2.67681349e-2f;
  near = near * s + 1.12819925e-1f;
  near = near * s - 3.76125336e-1f;
  near = near * s + 1.28379166e-1f;
  near = near * x + x;
  return t > 0.927734375f ? vec_sign_of(far, x) : near;
}

// sin(x + quarters pi / 2). The multiple of pi / 2 nearest to x is taken off in double, so the result is as
// exact for large x; beyond 2^31 it is merely between -1 and 1.
static inline float vec_sin(double x, uint32_t quarters) {
  const double round = 6755399441055744.0; // 1.5 * 2^52: adding it rounds to an integer
  const double half_pi_high = 1.57079632673412561417, half_pi_low = 6.07710050650619225e-11;
  double shifted = x * 0.63661977236758134308 + round, n = shifted - round;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  float r = (float)(x - n * half_pi_high - n * half_pi_low);
  r = r > 0.7853983f ? 0.7853983f : r;
  r = r < -0.7853983f ? -0.7853983f : r;
  float z = r * r;
  float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
            0.5f * z + 1.0f;
  uint32_t quadrant = (uint32_t)bits + quarters, swap = 0 - (quadrant & 1);
  return vec_from_bits(((vec_bits(c) & swap) | (vec_bits(s) & ~swap)) ^ (quadrant & 2) << 30);
}

static inline float vec_pow(float x, float y) {
  float r = vec_exp(y * vec_log(vec_abs(x)));
  float whole = truncf(y), half = y * 0.5f;
  float negative = whole != y ? NAN : truncf(half) == half ? r : -r; // x < 0
  r = x < 0.0f ? negative : r;
  return y == 0.0f ? 1.0f : r;
}

// ---- reductions

// Vectors as wide as the instruction set's: gcc would keep wider ones in memory.
enum { VEC_LANES = XLM_ISA_NAME(xlm_tiles_lanes), VEC_PARTS = 16 / VEC_LANES };
typedef float vec_f __attribute__((vector_size(VEC_LANES * 4), aligned(4), may_alias));

static inline vec_f vec_load(const float *x) {
  return *(const vec_f *)x;
}
static inline void vec_store(float *x, vec_f v) {
  *(vec_f *)x = v;
}
static inline vec_f vec_load_part(const float *x, int64_t n) { // n < VEC_LANES; the rest is zero
  vec_f v = {0};
  memcpy(&v, x, (size_t)n * sizeof *x);
  return v;
}
static inline void vec_store_part(float *x, vec_f v, int64_t n) {
  memcpy(x, &v, (size_t)n * sizeof *x);
}

// Two sums of 16 lanes each: elements are added to them by turns, 16 at a time.
typedef struct vec_sums {
  vec_f part[2 * VEC_PARTS];
} vec_sums;

static inline float vec_fold(const vec_sums *s) { // each half onto the other, five times
  typedef float quarter __attribute__((vector_size(16)));
  vec_f one[VEC_PARTS];
  quarter q[4];
  for (int p = 0; p < VEC_PARTS; p++) one[p] = s->part[p] + s->part[VEC_PARTS + p];
  memcpy(q, one, sizeof q);
  q[0] = (q[0] + q[2]) + (q[1] + q[3]);
  return (q[0][0] + q[0][2]) + (q[0][1] + q[0][3]);
}

static inline const float *vec_padded(float *padded, const float *x, int64_t n) { // n < 16; the rest is zero
  memset(padded, 0, 16 * sizeof *padded);
  memcpy(padded, x, (size_t)n * sizeof *x);
  return padded;
}

enum { VEC_RUN = 1024 }; // elements summed directly before sums are added pairwise

static inline void vec_add_some(vec_sums *s, int from, int to, const float *x) {
  for (int p = from; p < to; p++) s->part[p] += vec_load(x + (p - from) * VEC_LANES);
}

static inline float vec_sum_run(const float *x, int64_t n) {
  vec_sums s = {0};
  float end[16];
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) vec_add_some(&s, 0, 2 * VEC_PARTS, x + i);
  if (i + 16 <= n) vec_add_some(&s, 0, VEC_PARTS, x + i), i += 16;
  if (i < n) vec_add_some(&s, VEC_PARTS, 2 * VEC_PARTS, vec_padded(end, x + i, n - i));
  return vec_fold(&s);
}

static inline void vec_add_products(vec_sums *s, int from, int to, const float *x, float m, const float *y) {
  for (int p = from; p < to; p++) {
    int64_t at = (p - from) * VEC_LANES;
    s->part[p] += (vec_load(x + at) - m) * vec_load(y + at);
  }
}

// Sum of (x - m) y.
static inline float vec_dot_around(const float *x, float m, const float *y, int64_t n) {
  vec_sums s = {0};
  float x_end[16], y_end[16]; // y is 0 past the end
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) vec_add_products(&s, 0, 2 * VEC_PARTS, x + i, m, y + i);
  if (i + 16 <= n) vec_add_products(&s, 0, VEC_PARTS, x + i, m, y + i), i += 16;
  if (i < n)
    vec_add_products(&s, VEC_PARTS, 2 * VEC_PARTS, vec_padded(x_end, x + i, n - i), m,
                     vec_padded(y_end, y + i, n - i));
  return vec_fold(&s);
}

static inline float vec_dot_run(const float *x, const float *y, int64_t n) {
  return vec_dot_around(x, 0, y, n); // x - 0 is x
}

// Adds numbers in a binary tree as they arrive: as accurate as recursive pairwise summation, without
// recursion.
typedef struct vec_tree {
  uint64_t count;
  float part[48];
} vec_tree;

static inline void vec_tree_add(vec_tree *t, float x) {
  int level = 0;
  for (uint64_t k = t->count++; k & 1; k >>= 1) x += t->part[level++];
  t->part[level] = x;
}

static inline float vec_tree_total(const vec_tree *t) {
  float sum = 0;
  int level = 0;
  for (uint64_t k = t->count; k; k >>= 1, level++)
    if (k & 1) sum += t->part[level];
  return sum;
}

static inline float vec_sum(const float *x, int64_t n) {
  if (n <= VEC_RUN) return vec_sum_run(x, n);
  vec_tree t = {0};
  for (int64_t i = 0; i < n; i += VEC_RUN)
    vec_tree_add(&t, vec_sum_run(x + i, n - i < VEC_RUN ? n - i : VEC_RUN));
  return vec_tree_total(&t);
}

static inline float vec_dot(const float *x, const float *y, int64_t n) {
  if (n <= VEC_RUN) return vec_dot_run(x, y, n);
  vec_tree t = {0};
  for (int64_t i = 0; i < n; i += VEC_RUN)
    vec_tree_add(&t, vec_dot_run(x + i, y + i, n - i < VEC_RUN ? n - i : VEC_RUN));
  return vec_tree_total(&t);
}

static inline float vec_max(const float *x, int64_t n) { // -inf for n = 0; ignores NaN
  float lane[16], best = -INFINITY;
  for (int j = 0; j < 16; j++) lane[j] = -INFINITY;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  for (; i < n; i++) best = x[i] > best ? x[i] : best;
  for (int j = 0; j < 16; j++) best = lane[j] > best ? lane[j] : best;
  return best;
}

// ---- element types

static inline void vec_read(xlm_dtype t, const void *src, int64_t at, int64_t n,
                            float *dst) { // n elements from index `at`
  if (t == XLM_F32) {
    memcpy(dst, (const float *)src + at, (size_t)n * sizeof *dst);
  } else if (t == XLM_BF16) {
    const uint16_t *h = (const uint16_t *)src + at;
    for (int64_t i = 0; i < n; i++) dst[i] = vec_from_bits((uint32_t)h[i] << 16);
  } else {
    const int32_t *k = (const int32_t *)src + at;
    for (int64_t i = 0; i < n; i++) dst[i] = (float)k[i];
  }
}

static inline uint16_t vec_to_bf16(float x) { // xlm_f32_to_bf16 without branches
  uint32_t u = vec_bits(x), rounded = (u + 0x7FFFu + ((u >> 16) & 1)) >> 16, nan = (u >> 16) | 0x40;
  return (uint16_t)((u & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

static inline float vec_whole(float x) { // within the range of i32; NaN is 0
  float y = x < -2147483648.0f ? -2147483648.0f : x;
  y = y > 2147483520.0f ? 2147483520.0f : y;
  return y == y ? y : 0.0f;
}

static inline void vec_write(xlm_dtype t, void *dst, int64_t at, int64_t n, const float *src) {
  if (t == XLM_F32) {
    memcpy((float *)dst + at, src, (size_t)n * sizeof *src);
  } else if (t == XLM_I32) {
    int32_t *k = (int32_t *)dst + at;
    for (int64_t i = 0; i < n; i++) k[i] = (int32_t)vec_whole(src[i]);
  } else {
    uint16_t *h = (uint16_t *)dst + at;
    for (int64_t i = 0; i < n; i++) h[i] = vec_to_bf16(src[i]);
  }
}

static inline float vec_read_one(xlm_dtype t, const void *src, int64_t at) {
  float x;
  vec_read(t, src, at, 1, &x);
  return x;
}

#endif
