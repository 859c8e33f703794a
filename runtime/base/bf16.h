// bfloat16: the upper half of an f32.
#ifndef XLM_BASE_BF16_H
#define XLM_BASE_BF16_H

#include <stdint.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

// bf16 <-> f32, round to nearest even.
static inline float xlm_bf16_to_f32(uint16_t h) {
  union {
    uint32_t u;
    float f;
  } v = {.u = (uint32_t)h << 16};
  return v.f;
}
static inline uint16_t xlm_f32_to_bf16(float x) {
  union {
    float f;
    uint32_t u;
  } v = {.f = x};
  if ((v.u & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((v.u >> 16) | 0x40);
  return (uint16_t)((v.u + 0x7FFFu + ((v.u >> 16) & 1)) >> 16);
}

XLM_C_END

#endif
