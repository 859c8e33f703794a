// The scratch of norm_sq: what each of its blocks has added up. For norm_sq.cu and plan.c.
#ifndef XLM_CUDA_NORM_SQ_H
#define XLM_CUDA_NORM_SQ_H

#include <stdint.h>

#include "ops/norm_sq.h"

enum { XLM_CUDA_NORM_BLOCKS = 1024 }; // at most

typedef struct xlm_cuda_norm_part {
  uint64_t digit[XLM_NORM_LIMBS]; // of the sum in base 2^32, not carried
  uint64_t beyond;                // 0; 1: an infinity was among them; 2: something that is no number
} xlm_cuda_norm_part;

#endif
