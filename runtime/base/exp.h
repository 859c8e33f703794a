// e^x of f32 without branches: loops that call it vectorise. Only additions and products, in a fixed order:
// the same bits on every machine for which the compiler fuses none of them. Accurate to 1-2 ulp; the
// polynomial is that of Cephes (S. Moshier). NaN gives NaN; below -104 it gives 0, above 89 infinity.
#ifndef XLM_BASE_EXP_H
#define XLM_BASE_EXP_H

#include <stdint.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

static inline float xlm_f32_of_bits(uint32_t u) {
  union {
    uint32_t u;
    float f;
  } v = {.u = u};
  return v.f;
}

static inline uint32_t xlm_bits_of_f32(float f) {
  union {
    float f;
    uint32_t u;
  } v = {.f = f};
  return v.u;
}

static inline float xlm_power_of_two(int n) {
  return xlm_f32_of_bits((uint32_t)(n + 127) << 23);
} // -126 <= n <= 127

static inline float xlm_exp(float x) {
  const float round = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
  float y = x < -104.0f ? -104.0f : x;
  y = y > 89.0f ? 89.0f : y;
  float shifted = y * 1.44269504088896341f + round, n = shifted - round;
  float r = y - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // n is taken from the bits of `shifted`, since a NaN has no integer; in two factors, since the result may
  // be subnormal or infinite
  int k = (int)(xlm_bits_of_f32(shifted) - xlm_bits_of_f32(round)), half = k >> 1;
  return p * xlm_power_of_two(half) * xlm_power_of_two(k - half);
}

XLM_C_END

#endif
