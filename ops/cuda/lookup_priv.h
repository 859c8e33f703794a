// The scratch of lookup_bwd: the sort of the tokens, and sums of tiles of sorted tokens. For lookup.cu and
// plan.c.
#ifndef XLM_CUDA_LOOKUP_H
#define XLM_CUDA_LOOKUP_H

#include "ops/cuda/sort_priv.h"

enum { XLM_CUDA_LOOKUP_TILE = 64 };

typedef struct xlm_cuda_lookup_scratch {
  xlm_cuda_sort sort;
  float *part; // [n / tile, row]
  size_t bytes;
} xlm_cuda_lookup_scratch;

static inline xlm_cuda_lookup_scratch xlm_cuda_lookup_scratch_of(void *workspace, int64_t n, int64_t vocab,
                                                                 int64_t row) {
  xlm_cuda_lookup_scratch s;
  s.bytes = 0;
  s.sort = xlm_cuda_sort_of(workspace, &s.bytes, n, vocab);
  s.part = (float *)xlm_cuda_part_of(workspace, &s.bytes,
                                     (size_t)(n / XLM_CUDA_LOOKUP_TILE * row) * sizeof *s.part);
  return s;
}

#endif
