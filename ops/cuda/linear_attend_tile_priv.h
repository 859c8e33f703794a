// Tiles of linear attention: LINEAR_TILE positions or features in both directions, in shared memory,
// multiplied by all threads of a block, each of which has LINEAR_EACH elements of a product.
//
// linear_simt is in f32, by single threads; linear_tensor rounds tiles to bf16 and multiplies on tensor
// cores, with f32 sums. Kernels are written for either. Tiles are zero beyond the ends of what they hold.
#ifndef XLM_CUDA_LINEAR_ATTEND_TILE_PRIV_H
#define XLM_CUDA_LINEAR_ATTEND_TILE_PRIV_H

#include "ops/cuda/cuda.h"
#include "ops/cuda/linear_attend_priv.h"

enum {
  LINEAR_THREADS = 256,
  LINEAR_EACH = LINEAR_TILE * LINEAR_TILE / LINEAR_THREADS,
  LINEAR_PACK = 8,
  LINEAR_SIDE = 16 // threads along a tile's rows, and along its columns
};

typedef float linear_sums[LINEAR_EACH]; // of a thread; P::row(e) and P::column(e) say of what

struct linear_simt {
  typedef float tile[LINEAR_TILE][LINEAR_TILE + 1]; // one more against bank conflicts

  static __device__ __forceinline__ int row(int e) {
    return (int)threadIdx.x / LINEAR_SIDE + LINEAR_SIDE * (e / 4);
  }
  static __device__ __forceinline__ int column(int e) {
    return (int)threadIdx.x % LINEAR_SIDE + LINEAR_SIDE * (e % 4);
  }

  // sum += a b over the first n; A_TURNED: a is [n][rows], else [rows][n]; B_TURNED: b is [columns][n], else
  // [n][columns].
  template <bool A_TURNED, bool B_TURNED>
  static __device__ __forceinline__ void multiply(linear_sums &sum, const tile &a, const tile &b, int n) {
    XLM_UNROLL(4) for (int k = 0; k < n; k++) {
      float x[4], y[4];
      XLM_UNROLL(4) for (int i = 0; i < 4; i++) x[i] = A_TURNED ? a[k][row(4 * i)] : a[row(4 * i)][k];
      XLM_UNROLL(4) for (int j = 0; j < 4; j++) y[j] = B_TURNED ? b[column(j)][k] : b[k][column(j)];
      XLM_UNROLL(4)
      for (int i = 0; i < 4; i++) XLM_UNROLL(4) for (int j = 0; j < 4; j++) sum[4 * i + j] += x[i] * y[j];
    }
  }
};

struct linear_tensor {
  struct alignas(16) tile_row { // 16 bytes more: the eight rows of a matrix that a warp reads at a time lie
                                // in different banks
    bf16 at[LINEAR_TILE + 8];
    __device__ __forceinline__ bf16 &operator[](int i) { return at[i]; }
    __device__ __forceinline__ const bf16 &operator[](int i) const { return at[i]; }
  };
  typedef tile_row tile[LINEAR_TILE];

  // A warp has 16 rows and half of the columns.
  static __device__ __forceinline__ int lane() { return (int)threadIdx.x % XLM_WARP; }
  static __device__ __forceinline__ int row0() { return (int)threadIdx.x / XLM_WARP / 2 * 16; }
  static __device__ __forceinline__ int column0() { return (int)threadIdx.x / XLM_WARP % 2 * 32; }
  static __device__ __forceinline__ int row(int e) { return row0() + lane() / 4 + e / 2 % 2 * 8; }
  static __device__ __forceinline__ int column(int e) {
    return column0() + e / 4 * 8 + lane() % 4 * 2 + e % 2;
  }

  template <bool A_TURNED, bool B_TURNED>
  static __device__ __forceinline__ void multiply(linear_sums &sum, const tile &a, const tile &b, int n) {
    int low = lane() % 8, odd = lane() / 8 % 2 * 8, high = lane() / 16 * 8;
    float(*to)[4] = (float(*)[4])sum;
    XLM_UNROLL(4) for (int k = 0; k < LINEAR_TILE; k += 16) {
      if (k >= n) break;
      uint32_t x[4], y[4];
      if (A_TURNED)
        ldmatrix_x4_trans(x, &a[k + high + low][row0() + odd]);
      else
        ldmatrix_x4(x, &a[row0() + odd + low][k + high]);
      XLM_UNROLL(2) for (int j = 0; j < 2; j++) {
        int column = column0() + 16 * j;
        if (B_TURNED)
          ldmatrix_x4(y, &b[column + high + low][k + odd]);
        else
          ldmatrix_x4_trans(y, &b[k + odd + low][column + high]);
        mma_bf16(to[2 * j], x, y);
        mma_bf16(to[2 * j + 1], x, y + 2);
      }
    }
  }
};

// f(e) for all of a thread's elements.
template <class F> static __device__ __forceinline__ void linear_each(F f) {
  XLM_UNROLL(LINEAR_EACH) for (int e = 0; e < LINEAR_EACH; e++) f(e);
}

static __device__ __forceinline__ int linear_clamp(int64_t n) {
  return n < LINEAR_TILE ? (int)n : (int)LINEAR_TILE;
}

// ---- operands

struct linear_piece { // rows [0, rows) by columns [0, columns) of an operand, from `at` on
  const void *data;
  bool bf16, packs;
  int rows, columns;
  int64_t at, step, vector;
};

static __device__ __forceinline__ int64_t linear_place(const linear_view &v, int64_t entry, int64_t head,
                                                       int64_t chunk) {
  return over_offset(&v.entry, entry) + over_offset(&v.head, head) + chunk * LINEAR_TILE * v.step;
}

// Chunk rows from element `at` of an operand on.
static __device__ __forceinline__ linear_piece linear_piece_of(const linear_view &v, int64_t at, int rows,
                                                               int columns) {
  return {v.data, v.bf16, v.packs, rows, columns, at, v.step, v.vector};
}

// Features of keys by features of values.
static __device__ __forceinline__ linear_piece linear_piece_of_state(const linear_shape &s,
                                                                     const float *state, int64_t key,
                                                                     int64_t value) {
  int keys = linear_clamp(s.keys - key), values = linear_clamp(s.values - value);
  return {state, false, s.values % 8 == 0, keys, values, key * s.values + value, s.values, 1};
}

static __device__ __forceinline__ void linear_write(const linear_view &v, int64_t at, float x) {
  if (v.bf16)
    ((bf16 *)v.data)[at] = to_bf16(x);
  else
    ((float *)v.data)[at] = x;
}

template <int N>
static __device__ __forceinline__ void linear_read(const void *data, bool is_bf16, int64_t at,
                                                   float (&x)[N]) {
  if (is_bf16) {
    vec<bf16, N> from = load<N>((const bf16 *)data + at);
    XLM_UNROLL(N) for (int i = 0; i < N; i++) x[i] = to_float(from.at[i]);
  } else {
    vec<float, N> from = load<N>((const float *)data + at);
    XLM_UNROLL(N) for (int i = 0; i < N; i++) x[i] = from.at[i];
  }
}

static __device__ __forceinline__ float linear_read_one(const linear_view &v, int64_t at) {
  float x[1];
  linear_read<1>(v.data, v.bf16, at, x);
  return x[0];
}

template <int N> static __device__ __forceinline__ void linear_set(float *to, const float (&x)[N]) {
  XLM_UNROLL(N) for (int i = 0; i < N; i++) to[i] = x[i]; // rows are not aligned
}
template <int N> static __device__ __forceinline__ void linear_set(bf16 *to, const float (&x)[N]) {
  vec<bf16, N> all;
  XLM_UNROLL(N) for (int i = 0; i < N; i++) all.at[i] = to_bf16(x[i]);
  store(to, all);
}

template <int EACH, class Tile>
static __device__ __forceinline__ void linear_load_by(Tile &to, const linear_piece &p, const float *factor) {
  const int IN_ROW = LINEAR_TILE / EACH;
  for (int i = (int)threadIdx.x; i < LINEAR_TILE * IN_ROW; i += LINEAR_THREADS) {
    int row = i / IN_ROW, column = i % IN_ROW * EACH;
    bool there = row < p.rows && column < p.columns;
    int64_t at = p.at + row * p.step + column * p.vector;
    float by = factor ? factor[row] : 1.0f, x[EACH] = {};
    if (there) linear_read<EACH>(p.data, p.bf16, at, x);
    XLM_UNROLL(EACH) for (int j = 0; j < EACH; j++) x[j] *= by;
    linear_set(&to[row][column], x);
  }
}

// to = the piece, each row times its factor, if there are any. A call: inlined, it takes more registers than
// there are.
template <class Tile>
static __device__ __attribute__((noinline)) void linear_load(Tile &to, linear_piece p, const float *factor) {
  if (p.packs)
    linear_load_by<LINEAR_PACK>(to, p, factor);
  else
    linear_load_by<1>(to, p, factor);
}

// ---- decays

struct linear_decay {                        // of one chunk and head, in base 2
  double log[LINEAR_TILE], sum[LINEAR_TILE]; // of each position; up to each position, its own included
  float from_start[LINEAR_TILE];             // 2^sum: of the state before the chunk, at each position
  float to_end[LINEAR_TILE];                 // 2^(last - sum): of each position, in the state after the chunk
};

static __device__ __forceinline__ float linear_whole(const linear_decay &d) {
  return d.from_start[LINEAR_TILE - 1];
}

// Sums are in double: their differences are exponents, and keep their digits where the sums are large. Less
// than LEAST is no different, and infinity minus infinity is no number.
static __device__ __forceinline__ void linear_decays(linear_decay &d, const linear_view &v, int64_t at,
                                                     int rows) {
  const float LEAST = -1e4f;
  const double log2e = 1.4426950408889634;
  int t = (int)threadIdx.x;
  bool mine = t < LINEAR_TILE;
  __syncthreads(); // the last chunk's decays are read no more
  float log = mine && v.data && t < rows ? linear_read_one(v, at + t * v.step) : 0.0f;
  if (mine) d.log[t] = (log < LEAST ? LEAST : log) * log2e;
  __syncthreads(); // all logarithms are there
  if (mine) {
    double sum = 0;
    for (int i = 0; i <= t; i++) sum += d.log[i];
    d.sum[t] = sum, d.from_start[t] = exp2f((float)sum);
  }
  __syncthreads(); // all sums are there
  if (mine) d.to_end[t] = exp2f((float)(d.sum[LINEAR_TILE - 1] - d.sum[t]));
  __syncthreads(); // all decays are there
}

// Of what is written at position `from`, at position `at`.
static __device__ __forceinline__ float linear_weight(const linear_decay &d, int from, int at) {
  return from <= at ? exp2f((float)(d.sum[at] - d.sum[from])) : 0.0f;
}

// Calls f(P{}) with the call's variant.
template <class F> static inline xlm_status linear_by(const xlm_call *c, F f) {
  return c->variant == LINEAR_TENSOR_CORE ? f(linear_tensor{}) : f(linear_simt{});
}

#endif
