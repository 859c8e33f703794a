// Numbers of files: from and to f32.
#ifndef XLM_INTERCHANGE_NUMBERS_H
#define XLM_INTERCHANGE_NUMBERS_H

#include "runtime/interchange/safetensors.h"

uint16_t xlm_f32_to_f16(float x); // to the nearest, ties to even
// To F32, F16 or BF16; false for other types.
bool xlm_st_from_floats(xlm_st_dtype type, const float *in, int64_t n, void *out);
// ggml's q8_0: blocks of 32 numbers, each a scale in f16 and 32 quotients of 8 bits. n: a multiple of 32.
enum { XLM_Q8_BLOCK = 32, XLM_Q8_BLOCK_BYTES = 34 };
void xlm_q8_from_floats(const float *in, int64_t n, void *out);

#endif
