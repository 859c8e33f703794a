// Recurrences along one dimension, h = a h + b, in one pass over memory (Blelloch's composition of pairs (a,
// b)).
//
// A block has 32 columns, one per lane, and goes through the sequence in tiles: each warp has a few steps of
// a tile, and composes them to one pair. From the pairs of the warps before it and the state before the tile
// follows the state before its steps, which it then computes. The order of operations depends on the sequence
// alone.
#ifndef XLM_OPS_CUDA_SCAN_PRIV_H
#define XLM_OPS_CUDA_SCAN_PRIV_H

#include "ops/cuda/cuda.h"

enum {
  SCAN_BLOCK = 256,
  SCAN_WARPS = SCAN_BLOCK / XLM_WARP,
  SCAN_STEPS = 8,
  SCAN_TILE = SCAN_WARPS * SCAN_STEPS
};

typedef struct scan_strides { // of an operand or the result, in elements; 0 along dimensions it lacks
  int64_t step;
  over_dims line, column;
} scan_strides;

typedef struct scan_shape { // the columns are those inside the sequence, for each line outside it; if there
                            // are none, the lines
  bool reverse;
  int64_t steps, lines, width, blocks; // blocks of columns in a line
  scan_strides a, b, h;
} scan_shape;

struct scan_pairs {
  float a[SCAN_WARPS][XLM_WARP], h[SCAN_WARPS][XLM_WARP];
};

static inline scan_strides scan_strides_of(const xlm_call *c, const xlm_type *t) {
  const xlm_type *out = c->out_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  int at = xlm_type_find(out, seq);
  bool swapped = xlm_call_inner(c, out, at) == 1;
  scan_strides s;
  memset(&s, 0, sizeof s);
  s.step = xlm_call_stride(c, t, seq);
  for (int i = 0; i < out->rank; i++)
    if (i != at)
      over_add((i < at) != swapped ? &s.line : &s.column, xlm_call_size(c, out, i),
               xlm_call_stride(c, t, out->dim[i]));
  return s;
}

static inline scan_shape scan_shape_of(const xlm_call *c) {
  const xlm_type *out = c->out_type[0];
  scan_shape s;
  memset(&s, 0, sizeof s);
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  int at = xlm_type_find(out, seq);
  s.reverse = xlm_attr_int(&c->instr->attrs, XLM_A_inverse, 0);
  s.steps = c->dims[seq].size, s.lines = xlm_call_outer(c, out, at), s.width = xlm_call_inner(c, out, at);
  if (s.width == 1) s.width = s.lines, s.lines = 1;
  s.blocks = (s.width + XLM_WARP - 1) / XLM_WARP;
  s.h = scan_strides_of(c, out);
  return s;
}

static __device__ __forceinline__ int64_t scan_at(const scan_strides *s, int64_t line, int64_t column) {
  return over_offset(&s->line, line) + over_offset(&s->column, column);
}

// SUM: the factors are 1, and there is no operand a.
template <bool SUM, class A, class B, class H>
__global__ void __launch_bounds__(SCAN_BLOCK)
    scan_columns(const A *a, const B *b, H *h, const __grid_constant__ scan_shape s) {
  XLM_SHARED(scan_pairs, pairs);
  int warp = threadIdx.x / XLM_WARP, lane = threadIdx.x % XLM_WARP;
  for (int64_t u = blockIdx.x; u < s.lines * s.blocks; u += gridDim.x) {
    int64_t line = u / s.blocks, column = u % s.blocks * XLM_WARP + lane;
    bool mine = column < s.width;
    int64_t a_at = SUM || !mine ? 0 : scan_at(&s.a, line, column),
            b_at = mine ? scan_at(&s.b, line, column) : 0;
    int64_t h_at = mine ? scan_at(&s.h, line, column) : 0;
    float before = 0; // the state before the tile
    for (int64_t tile = 0; tile < s.steps; tile += SCAN_TILE) {
      float factor[SCAN_STEPS], term[SCAN_STEPS], product = 1, state = 0;
      int64_t first = tile + warp * SCAN_STEPS;
      for (int i = 0; i < SCAN_STEPS; i++) {
        bool there = mine && first + i < s.steps;
        int64_t place = s.reverse ? s.steps - 1 - (first + i) : first + i;
        factor[i] = there && !SUM ? to_float(a[a_at + place * s.a.step]) : 1;
        term[i] = there ? to_float(b[b_at + place * s.b.step]) : 0;
        state = factor[i] * state + term[i];
        product *= factor[i];
      }
      pairs.a[warp][lane] = product, pairs.h[warp][lane] = state;
      __syncthreads(); // all warps' pairs are there
      float at_mine = before;
      for (int w = 0; w < SCAN_WARPS; w++) {
        if (w == warp) at_mine = before;
        before = pairs.a[w][lane] * before + pairs.h[w][lane];
      }
      __syncthreads(); // the pairs are read no more
      for (int i = 0; i < SCAN_STEPS; i++) {
        if (!mine || first + i >= s.steps) break;
        at_mine = factor[i] * at_mine + term[i];
        h[h_at + (s.reverse ? s.steps - 1 - (first + i) : first + i) * s.h.step] = from_float<H>(at_mine);
      }
    }
  }
}

#endif
