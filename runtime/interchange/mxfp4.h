// MXFP4: weights of 4 bits in blocks of 32 that share a power of two (OCP Microscaling Formats, 1.0), as
// GPT-OSS is published.
//
// The files have a tensor NAME as NAME_blocks, U8 [.., rows, groups, 16], two numbers in a byte, the first in
// its low half, and NAME_scales, U8 [.., rows, groups], exponents plus 127. It is read as transformers does,
// with its last two dimensions turned: [.., groups * 32, rows].
#ifndef XLM_INTERCHANGE_MXFP4_H
#define XLM_INTERCHANGE_MXFP4_H

#include "runtime/interchange/safetensors.h"

typedef struct xlm_mxfp4 {
  const xlm_st_tensor *blocks, *scales; // NULL: the files have none
  xlm_st_tensor tensor;                 // as it is read, without data
  unsigned char *matrix;                // one of it: its blocks, then its scales
  size_t room;
  int64_t held; // which
} xlm_mxfp4;

// Looks up the two tensors, also by the name without its first component, and checks their form (XLM_USER).
xlm_status xlm_mxfp4_find(const xlm_safetensors *from, const char *name, xlm_mxfp4 *m,
                          xlm_error *err) XLM_MUST_CHECK;
// Elements [first, first + n) of m->tensor. Keeps the matrix of the last one: m is all zeros before the first
// xlm_mxfp4_find, which may follow another, and is freed by xlm_mxfp4_free.
xlm_status xlm_mxfp4_read(xlm_mxfp4 *m, const xlm_safetensors *from, int64_t first, int64_t n, float *out,
                          xlm_error *err) XLM_MUST_CHECK;
void xlm_mxfp4_free(xlm_mxfp4 *m);

#endif
