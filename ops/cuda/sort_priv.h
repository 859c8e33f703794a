// Small keys sorted on the device, for gradients of tables and for the routing of tokens: a stable radix
// sort, least digit first, by counting. Integers only, so the order is one whatever the grid.
//
// Keys are 0 .. range; `range` stands for what belongs nowhere and comes last. The arrays lie in the call's
// workspace; plan.c asks here for their size.
#ifndef XLM_CUDA_SORT_H
#define XLM_CUDA_SORT_H

#include <stddef.h>
#include <stdint.h>

enum {
  XLM_SORT_BITS = 9,    // of a digit at most: 2 KiB of counters per warp
  XLM_SORT_TILE = 1024, // keys of a block, where they are few
  XLM_SORT_TILES = 256, // at most
};

typedef struct xlm_cuda_sort {
  int64_t n, range;
  int passes, bits, tile, tiles; // bits: of a digit; tile: keys
  int32_t *key[2], *index[2];    // [n]; keys are given in key[0]; one of each pair is the result
  int32_t *first;  // [range + 1]: position of the first key that is not below; of `range`: how many belong
  int32_t *counts; // [digits, tiles]
} xlm_cuda_sort;

// Part of a workspace, NULL while planning; *used bytes of it are in use already.
static inline void *xlm_cuda_part_of(void *workspace, size_t *used, size_t bytes) {
  size_t at = *used;
  *used += (bytes + 255) / 256 * 256;
  return workspace ? (char *)workspace + at : NULL;
}

static inline xlm_cuda_sort xlm_cuda_sort_of(void *workspace, size_t *used, int64_t n, int64_t range) {
  xlm_cuda_sort s;
  int wide = 1;
  while (range >> wide) wide++;
  s.n = n, s.range = range;
  s.passes = (wide + XLM_SORT_BITS - 1) / XLM_SORT_BITS;
  s.bits = (wide + s.passes - 1) / s.passes;
  s.tile = XLM_SORT_TILE;
  while ((n + s.tile - 1) / s.tile > XLM_SORT_TILES) s.tile *= 2;
  s.tiles = (int)((n + s.tile - 1) / s.tile);
  for (int i = 0; i < 2; i++) {
    s.key[i] = (int32_t *)xlm_cuda_part_of(workspace, used, (size_t)n * sizeof(int32_t));
    s.index[i] = (int32_t *)xlm_cuda_part_of(workspace, used, (size_t)n * sizeof(int32_t));
  }
  s.first = (int32_t *)xlm_cuda_part_of(workspace, used, (size_t)(range + 1) * sizeof(int32_t));
  s.counts = (int32_t *)xlm_cuda_part_of(workspace, used, ((size_t)s.tiles << s.bits) * sizeof(int32_t));
  return s;
}

static inline const int32_t *xlm_cuda_sorted_keys(const xlm_cuda_sort *s) {
  return s->key[s->passes % 2];
}
static inline const int32_t *xlm_cuda_sorted_index(const xlm_cuda_sort *s) {
  return s->index[s->passes % 2];
} // which came i-th

#endif
