// Products of tiles of attention on tensor cores: bf16 operands whose rows are whole accesses of 16 bytes, sums in f32.
//
// A block has ATTEND_TILE rows that stay, MMA_ROWS of them per warp, and goes along tiles of N others, its columns. Tiles
// lie in shared memory as rows of D features, zero beyond the operand's ends. Pairs stay in registers: a result of one
// product has the layout that the next needs for its left factor.
#ifndef XLM_CUDA_ATTEND_TENSOR_PRIV_H
#define XLM_CUDA_ATTEND_TENSOR_PRIV_H

#include <type_traits>

#include "ops/cuda/attend_math_priv.h"

enum { MMA_ROWS = 16, MMA_THREADS = ATTEND_TILE / MMA_ROWS * XLM_WARP };

// 16 bytes more per row: the eight rows of a matrix that a warp reads at a time lie in different banks.
template <int D> struct alignas(16) tensor_row {
  bf16 at[D + 8];
};

// f32, [MMA_ROWS][N] of a warp: a thread has rows tensor_row_of(e / 2), columns tensor_col(n, e % 2) as at[n][e].
template <int N> struct tensor_sums {
  float at[N / 8][4];
};

static __device__ __forceinline__ int tensor_lane() { return (int)threadIdx.x % XLM_WARP; }
static __device__ __forceinline__ int tensor_first_row() { return (int)threadIdx.x / XLM_WARP * MMA_ROWS; } // of the warp
static __device__ __forceinline__ int tensor_row_of(int half) { return tensor_first_row() + tensor_lane() / 4 + half * 8; }
static __device__ __forceinline__ int tensor_col(int n, int odd) { return n * 8 + tensor_lane() % 4 * 2 + odd; }

// f(n, e) for all of a thread's elements of N columns.
template <int N, class F> static __device__ __forceinline__ void tensor_each(F f) {
  XLM_UNROLL(N / 8) for (int n = 0; n < N / 8; n++) XLM_UNROLL(4) for (int e = 0; e < 4; e++) f(n, e);
}

struct tensor_rows { // of an operand in global memory
  bf16 *at;          // the first row
  int64_t stride;
  int n;
};

static __device__ __forceinline__ tensor_rows tensor_rows_of(const attend_shape &s, const attend_view &v, int64_t batch,
                                                             int64_t head, const attend_rows &rows) {
  return {(bf16 *)v.data + attend_base(&s, &v, batch, head) + rows.row * v.row, v.row, rows.n};
}

// Begins to copy N rows from row0 on; they are there after copy_wait and a barrier.
template <int N, int D>
static __device__ __forceinline__ void tensor_load(tensor_row<D> *to, const tensor_rows &from, int row0, int64_t features) {
  for (int i = (int)threadIdx.x; i < N * (D / 8); i += MMA_THREADS) {
    int row = i / (D / 8), f = i % (D / 8) * 8;
    bool there = row0 + row < from.n && f < features;
    copy_async16(&to[row].at[f], there ? from.at + (row0 + row) * from.stride + f : from.at, there ? 16 : 0);
  }
}

// sum = a . b^T over all features; a: the block's rows.
template <int N, int D>
static __device__ __forceinline__ void tensor_scores(tensor_sums<N> &sum, const tensor_row<D> *a, const tensor_row<D> *b,
                                                     int64_t features) {
  int lane = tensor_lane();
  sum = {};
  XLM_UNROLL(D / 16) for (int f = 0; f < D; f += 16) {
    if (f >= features) break;
    uint32_t x[4], y[4];
    ldmatrix_x4(x, &a[tensor_first_row() + lane % 16].at[f + lane / 16 * 8]);
    XLM_UNROLL(N / 16) for (int n = 0; n < N; n += 16) {
      ldmatrix_x4(y, &b[n + lane % 8 + lane / 16 * 8].at[f + lane / 8 % 2 * 8]);
      mma_bf16(sum.at[n / 8], x, y);
      mma_bf16(sum.at[n / 8 + 1], x, y + 2);
    }
  }
}

static __device__ __forceinline__ uint32_t tensor_two(float low, float high) {
  bf16 x[2] = {to_bf16(low), to_bf16(high)};
  uint32_t both;
  memcpy(&both, x, sizeof both);
  return both;
}

// sum [rows][W features from feature0 on] += pairs . b
template <int W, int N, int D>
static __device__ __forceinline__ void tensor_add(tensor_sums<W> &sum, const tensor_sums<N> &pairs, const tensor_row<D> *b,
                                                  int64_t feature0, int64_t features) {
  int lane = tensor_lane();
  XLM_UNROLL(N / 16) for (int n = 0; n < N; n += 16) {
    const float(*p)[4] = &pairs.at[n / 8];
    uint32_t x[4] = {tensor_two(p[0][0], p[0][1]), tensor_two(p[0][2], p[0][3]), tensor_two(p[1][0], p[1][1]),
                     tensor_two(p[1][2], p[1][3])};
    XLM_UNROLL(W / 16) for (int f = 0; f < W; f += 16) {
      if (feature0 + f >= features) break;
      uint32_t y[4];
      ldmatrix_x4_trans(y, &b[n + lane % 16].at[feature0 + f + lane / 16 * 8]);
      mma_bf16(sum.at[f / 8], x, y);
      mma_bf16(sum.at[f / 8 + 1], x, y + 2);
    }
  }
}

// The rows of a result = factor[half] * sum.
template <int W>
static __device__ __forceinline__ void tensor_store(const tensor_rows &to, const tensor_sums<W> &sum, const float (&factor)[2],
                                                    int64_t feature0, int64_t features) {
  XLM_UNROLL(W / 8) for (int n = 0; n < W / 8; n++) for (int half = 0; half < 2; half++) {
    int row = tensor_row_of(half);
    int64_t f = feature0 + tensor_col(n, 0);
    if (row >= to.n || f >= features) continue;
    vec<bf16, 2> x = {{to_bf16(factor[half] * sum.at[n][2 * half]), to_bf16(factor[half] * sum.at[n][2 * half + 1])}};
    store(to.at + row * to.stride + f, x);
  }
}

// Calls f(an integral_constant) with the features of a row in shared memory.
template <class F> static xlm_launch_status tensor_width(int64_t features, F f) {
  if (features <= 64) return f(std::integral_constant<int, 64>{});
  if (features <= 128) return f(std::integral_constant<int, 128>{});
  return f(std::integral_constant<int, 256>{});
}

#endif
