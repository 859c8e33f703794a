// VDPBF16PS computed: first the high halves of two words, then the low ones; denormal numbers count as zero
// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2).
#ifndef XLM_TESTS_OPS_EMULATED_DOT_H
#define XLM_TESTS_OPS_EMULATED_DOT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float emulated_flush(float f) {
  return fpclassify(f) == FP_SUBNORMAL ? copysignf(0, f) : f;
}

static inline float emulated_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return emulated_flush(f);
}

static inline float emulated_dot_pair(float acc, uint32_t a, uint32_t b) {
  acc = emulated_flush(
      fmaf(emulated_float(a & 0xffff0000u), emulated_float(b & 0xffff0000u), emulated_flush(acc)));
  return emulated_flush(fmaf(emulated_float(a << 16), emulated_float(b << 16), acc));
}

#endif
