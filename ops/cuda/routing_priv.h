// The scratch of dispatch, combine and their gradients: the choices of experts, sorted. For routing.cu and
// plan.c.
#ifndef XLM_CUDA_ROUTING_H
#define XLM_CUDA_ROUTING_H

#include "ops/cuda/sort_priv.h"

typedef struct xlm_cuda_routing_scratch {
  xlm_cuda_sort sort;
  int32_t *place; // [choices]: the packed row of a choice
  size_t bytes;
} xlm_cuda_routing_scratch;

static inline xlm_cuda_routing_scratch xlm_cuda_routing_scratch_of(void *workspace, int64_t choices,
                                                                   int64_t experts) {
  xlm_cuda_routing_scratch s;
  s.bytes = 0;
  s.sort = xlm_cuda_sort_of(workspace, &s.bytes, choices, experts);
  s.place = (int32_t *)xlm_cuda_part_of(workspace, &s.bytes, (size_t)choices * sizeof(int32_t));
  return s;
}

#endif
