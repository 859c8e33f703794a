// Numbers of files: from and to f32.
#include "runtime/interchange/numbers.h"

#include <math.h>
#include <string.h>

#include "runtime/base/bf16.h"

static float from_f16(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  float m = exponent ? (float)(mantissa | 1024) : (float)mantissa, sign = h & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? __builtin_nanf("") : sign * __builtin_inff();
  return sign * __builtin_ldexpf(m, (exponent ? exponent : 1) - 25);
}

static float one_float(xlm_st_dtype type, const unsigned char *p) {
  uint16_t h;
  double d;
  float f;
  memcpy(&h, p, 2);
  if (type == XLM_ST_BF16) return xlm_bf16_to_f32(h);
  if (type == XLM_ST_F16) return from_f16(h);
  if (type == XLM_ST_F64) return memcpy(&d, p, 8), (float)d;
  return memcpy(&f, p, 4), f;
}

bool xlm_st_floats(xlm_st_dtype type, const void *data, int64_t n, float *out) {
  size_t bytes = xlm_st_dtype_bytes(type);
  if (type > XLM_ST_F64) return false;
  if (type == XLM_ST_F32)
    memcpy(out, data, (size_t)n * 4);
  else
    for (int64_t i = 0; i < n; i++) out[i] = one_float(type, (const unsigned char *)data + (size_t)i * bytes);
  return true;
}

uint16_t xlm_f32_to_f16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
  u &= 0x7FFFFFFF;
  if (u > 0x7F800000) return sign | 0x7E00;  // not a number
  if (u >= 0x477FF000) return sign | 0x7C00; // rounds to 65536 or more
  if (u >= 0x38800000) return (uint16_t)(sign | ((u - 0x38000000 + 0xFFF + (u >> 13 & 1)) >> 13));
  float magnitude; // below 2^-14: a multiple of 2^-24
  memcpy(&magnitude, &u, 4);
  return (uint16_t)(sign | (uint16_t)nearbyintf(magnitude * 0x1p24f));
}

bool xlm_st_from_floats(xlm_st_dtype type, const float *in, int64_t n, void *out) {
  uint16_t *half = out;
  if (type == XLM_ST_F32) memcpy(out, in, (size_t)n * sizeof *in);
  for (int64_t i = 0; type == XLM_ST_BF16 && i < n; i++) half[i] = xlm_f32_to_bf16(in[i]);
  for (int64_t i = 0; type == XLM_ST_F16 && i < n; i++) half[i] = xlm_f32_to_f16(in[i]);
  return type <= XLM_ST_BF16;
}

// ggml's block_q8_0: the scale, then the quotients.
static void put_block(const float *in, unsigned char *out) {
  float most = 0;
  for (int i = 0; i < XLM_Q8_BLOCK; i++) most = fmaxf(most, fabsf(in[i]));
  float scale = most / 127, inverse = scale != 0 ? 1 / scale : 0;
  uint16_t half = xlm_f32_to_f16(scale);
  memcpy(out, &half, 2);
  for (int i = 0; i < XLM_Q8_BLOCK; i++) {
    int8_t q = (int8_t)roundf(in[i] * inverse);
    memcpy(out + 2 + i, &q, 1);
  }
}

void xlm_q8_from_floats(const float *in, int64_t n, void *out) {
  for (int64_t i = 0; i < n / XLM_Q8_BLOCK; i++)
    put_block(in + i * XLM_Q8_BLOCK, (unsigned char *)out + i * XLM_Q8_BLOCK_BYTES);
}
