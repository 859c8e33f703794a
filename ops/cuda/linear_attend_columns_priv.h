// Columns of tiles, for linear attention with a decay for each channel of the keys: what is elementwise there
// is done by threads that have one channel at the positions of one part of the chunk. Products are those of
// linear_simt, whose elements of a thread lie in all pairs of parts.
#ifndef XLM_CUDA_LINEAR_ATTEND_COLUMNS_PRIV_H
#define XLM_CUDA_LINEAR_ATTEND_COLUMNS_PRIV_H

#include "ops/cuda/linear_attend_run_priv.h"
#include "ops/cuda/linear_attend_tile_priv.h"

enum { PART = LINEAR_SIDE, PARTS = LINEAR_TILE / PART };

typedef linear_simt::tile channel_tile;
typedef float channel_parts[PARTS][LINEAR_TILE]; // a number for each part and channel

struct column_place {
  int part, channel, rows, channels; // of the thread; how many positions and channels there are

  __device__ __forceinline__ int row(int t) const { return part * PART + t; }
};

static __device__ __forceinline__ column_place column_of(int rows, int channels) {
  return {(int)threadIdx.x / LINEAR_TILE, (int)threadIdx.x % LINEAR_TILE, rows, channels};
}

// A thread's column of an operand whose tile begins at element `at`; zero beyond its ends.
static __device__ __forceinline__ void read_column(float (&x)[PART], const column_place &c,
                                                   const linear_view &v, int64_t at) {
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    bool there = c.row(t) < c.rows && c.channel < c.channels;
    x[t] = there ? linear_read_one(v, at + c.row(t) * v.step + c.channel * v.vector) : 0.0f;
  }
}

static __device__ __forceinline__ void write_column(const float (&x)[PART], const column_place &c,
                                                    const linear_view &v, int64_t at) {
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    if (c.row(t) < c.rows && c.channel < c.channels)
      linear_write(v, at + c.row(t) * v.step + c.channel * v.vector, x[t]);
  }
}

// The decays of a column as powers of 2: the sum of all.
static __device__ __forceinline__ float read_decays(float (&log)[PART], const column_place &c,
                                                    const linear_view &v, int64_t at) {
  float sum = 0;
  read_column(log, c, v, at);
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) sum += log[t] *= 1.44269504f;
  return sum;
}

// x by the decays from the beginning of the part up to each position, and `before`; or by those from each
// position to the end of the part, and `after`.
static __device__ __forceinline__ void by_from(float (&x)[PART], const float (&log)[PART], float before) {
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) {
    before += log[t];
    x[t] *= exp2f(before);
  }
}
static __device__ __forceinline__ void by_to(float (&x)[PART], const float (&log)[PART], float after) {
  XLM_UNROLL(PART) for (int t = PART - 1; t >= 0; t--) {
    x[t] *= exp2f(after);
    after += log[t];
  }
}

static __device__ __forceinline__ void put_column(channel_tile &to, const column_place &c,
                                                  const float (&x)[PART]) {
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) to[c.row(t)][c.channel] = x[t];
}
static __device__ __forceinline__ void get_column(float (&x)[PART], const column_place &c,
                                                  const channel_tile &from) {
  XLM_UNROLL(PART) for (int t = 0; t < PART; t++) x[t] = from[c.row(t)][c.channel];
}

#endif
