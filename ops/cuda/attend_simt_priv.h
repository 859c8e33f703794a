// Products of tiles of attention in f32, for operands of any type, order and number of features.
//
// A block has ATTEND_TILE rows that stay (queries, or backward keys) and goes along the tiles of the others, its columns.
// A thread has PER x PER pairs of them, and of each result PER rows by PER, or fewer or more, features. Operands pass
// through shared memory in steps of STEP. Heads with more features than SIMT_WIDEST take several blocks, each with all of
// the scores.
#ifndef XLM_CUDA_ATTEND_SIMT_PRIV_H
#define XLM_CUDA_ATTEND_SIMT_PRIV_H

#include <type_traits>

#include "ops/cuda/attend_math_priv.h"

enum { SIMT_SIDE = 16, SIMT_THREADS = SIMT_SIDE * SIMT_SIDE, PER = ATTEND_TILE / SIMT_SIDE, STEP = 32, SIMT_WIDEST = 128 };

struct simt_room { // one more than a multiple of 32 per row against bank conflicts
  float a[STEP][ATTEND_TILE + 1], b[STEP][SIMT_WIDEST + 1];
  float pairs[ATTEND_TILE][ATTEND_TILE + 1]; // [column][row]
};

template <int N> using simt_sums = float[PER][N]; // of the rows simt_row(i), columns or features simt_col(j)
typedef simt_sums<PER> simt_pairs;

static __device__ __forceinline__ int simt_row(int i) { return (int)threadIdx.x / SIMT_SIDE + SIMT_SIDE * i; }
static __device__ __forceinline__ int simt_col(int j) { return (int)threadIdx.x % SIMT_SIDE + SIMT_SIDE * j; }

static __device__ __forceinline__ float simt_read(const attend_view &v, int64_t at) {
  return v.bf16 ? to_float(((const bf16 *)v.data)[at]) : ((const float *)v.data)[at];
}

static __device__ __forceinline__ void simt_write(const attend_view &v, int64_t at, float x) {
  if (v.bf16)
    ((bf16 *)v.data)[at] = to_bf16(x);
  else
    ((float *)v.data)[at] = x;
}

struct simt_tile { // rows of an operand
  const attend_view &v;
  int64_t at; // of the first row, feature 0
  int rows;
};

static __device__ __forceinline__ simt_tile simt_tile_of(const attend_shape &s, const attend_view &v, int64_t batch,
                                                         int64_t head, const attend_rows &rows) {
  return {v, attend_base(&s, &v, batch, head) + rows.row * v.row, rows.n};
}

// to = `rows` rows by `features` of the tile from (row0, feature0) on, zero beyond its ends; turned: to[feature][row].
template <int rows, int features, bool turned, int N>
static __device__ __forceinline__ void simt_load(float (*to)[N], const simt_tile &t, int row0, int64_t feature0, int64_t end) {
  for (int i = (int)threadIdx.x; i < rows * features; i += SIMT_THREADS) {
    int row = i / features, f = i % features;
    bool there = row0 + row < t.rows && feature0 + f < end;
    float x = there ? simt_read(t.v, t.at + (row0 + row) * t.v.row + (feature0 + f) * t.v.feature) : 0.0f;
    to[turned ? f : row][turned ? row : f] = x;
  }
}

// sum += a[0 .. n)[rows] * b[0 .. n)[columns]
template <int N>
static __device__ __forceinline__ void simt_multiply(simt_sums<N> &sum, const float (*a)[ATTEND_TILE + 1],
                                                     const float (*b)[SIMT_WIDEST + 1], int n) {
  XLM_UNROLL(4) for (int k = 0; k < n; k++) {
    float x[PER], y[N];
    XLM_UNROLL(PER) for (int i = 0; i < PER; i++) x[i] = a[k][simt_row(i)];
    XLM_UNROLL(N) for (int j = 0; j < N; j++) y[j] = b[k][simt_col(j)];
    XLM_UNROLL(PER) for (int i = 0; i < PER; i++) XLM_UNROLL(N) for (int j = 0; j < N; j++) sum[i][j] += x[i] * y[j];
  }
}

// sum = a . b over all features
static __device__ __forceinline__ void simt_scores(simt_room &room, simt_pairs &sum, const simt_tile &a, const simt_tile &b,
                                                   int64_t features) {
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < PER; j++) sum[i][j] = 0;
  for (int64_t f = 0; f < features; f += STEP) {
    __syncthreads(); // what is in the room is read no more
    simt_load<ATTEND_TILE, STEP, true>(room.a, a, 0, f, features);
    simt_load<ATTEND_TILE, STEP, true>(room.b, b, 0, f, features);
    __syncthreads(); // both are there
    simt_multiply<PER>(sum, room.a, room.b, (int)attend_clamp(features - f, 0, STEP));
  }
}

// sum [rows][features from feature0 on] += pairs^T . b
template <int N>
static __device__ __forceinline__ void simt_add(simt_room &room, simt_sums<N> &sum, const simt_tile &b, int64_t feature0,
                                                int64_t features) {
  for (int row0 = 0; row0 < b.rows; row0 += STEP) {
    __syncthreads(); // the pairs are there, the last rows are read no more
    simt_load<STEP, N * SIMT_SIDE, false>(room.b, b, row0, feature0, features);
    __syncthreads(); // the rows are there
    simt_multiply<N>(sum, room.pairs + row0, room.b, min(b.rows - row0, (int)STEP));
  }
}

// The rows of a result = factor[i] * sum.
template <int N>
static __device__ __forceinline__ void simt_store(const simt_tile &t, const simt_sums<N> &sum, const float (&factor)[PER],
                                                  int64_t feature0, int64_t features) {
  for (int i = 0; i < PER; i++)
    for (int j = 0; j < N; j++) {
      int64_t f = feature0 + simt_col(j);
      if (simt_row(i) < t.rows && f < features)
        simt_write(t.v, t.at + simt_row(i) * t.v.row + f * t.v.feature, factor[i] * sum[i][j]);
    }
}

// Calls f(an integral_constant) with the features of a result that a thread has.
template <class F> static xlm_launch_status simt_width(int64_t features, F f) {
  if (features <= SIMT_SIDE) return f(std::integral_constant<int, 1>{});
  if (features <= 2 * SIMT_SIDE) return f(std::integral_constant<int, 2>{});
  if (features <= 4 * SIMT_SIDE) return f(std::integral_constant<int, 4>{});
  return f(std::integral_constant<int, SIMT_WIDEST / SIMT_SIDE>{});
}

#endif
