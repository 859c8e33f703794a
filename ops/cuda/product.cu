// contract, contract_acc and contract_bias by a kernel of our own: any order of dimensions, any mix of f32 and bf16, ragged
// rows.
//
// A block computes a tile of BM x BN of one batch entry, 4 x 4 elements per thread, in steps of BK along k:
// both operands' pieces pass through shared memory, as floats, loaded along whichever group is contiguous.
// The sum over k runs in order, so bits depend on nothing else. Where each row, column and k lies is computed
// once per block (rows, columns) or step (k).
#include "ops/cuda/blas.h"
#include "ops/cuda/cuda.h"

enum { BM = 64, BN = 64, BK = 16, THREADS = 256, PER = 4 };

struct places { // offsets in elements, of the tile's rows in A and C, columns in B and C
  int64_t a[BM], c_row[BM], b[BN], c_col[BN];
};
struct k_places {
  int64_t a[BK], b[BK];
};
struct tiles { // [k][row], one more than a multiple of 32 per row against bank conflicts while storing
  float a[BK][BM + 1], b[BK][BN + 1];
};

enum side { SIDE_A, SIDE_B, SIDE_C };

static __device__ int64_t place(const xlm_matmul_index &x, side s, int64_t i) {
  const int64_t *stride = s == SIDE_A ? x.a : s == SIDE_B ? x.b : x.c;
  int64_t at = 0;
  for (int d = x.n - 1; d >= 0; d--) {
    at += i % x.size[d] * stride[d];
    i /= x.size[d];
  }
  return at;
}

struct entry { // one batch entry: sizes, and where its operands begin
  int64_t m, n, k, a, b, c;
};

static __device__ entry entry_of(const xlm_matmul &p, int64_t e, int64_t m, int64_t n, int64_t k,
                                 const int32_t *offsets) {
  entry r = {m, n, k, place(p.batch, SIDE_A, e), place(p.batch, SIDE_B, e), place(p.batch, SIDE_C, e)};
  if (p.ragged == XLM_RAGGED_NONE) return r;
  const xlm_matmul_index &x = p.ragged == XLM_RAGGED_M ? p.m : p.ragged == XLM_RAGGED_N ? p.n : p.k;
  int64_t begin = offsets[e], size = offsets[e + 1] - begin;
  *(p.ragged == XLM_RAGGED_M ? &r.m : p.ragged == XLM_RAGGED_N ? &r.n : &r.k) = size;
  r.a += begin * x.a[0], r.b += begin * x.b[0], r.c += begin * x.c[0];
  return r;
}

struct shape {               // of a launch
  int64_t entries, m, n, k;  // m, n, k: the largest of an entry
  int64_t tiles_m, tiles_n;  // of an entry
  bool a_along_k, b_along_k; // neighbours in memory
};

// One piece [BK][WIDTH] of an operand: at[row] and at_k[k] say where; beyond the ends it is zero.
template <class T, int WIDTH>
static __device__ void load(float (*to)[WIDTH + 1], const T *from, const int64_t *at, const int64_t *at_k,
                            int64_t rows, int64_t ks, bool along_k) {
  for (int i = (int)threadIdx.x; i < WIDTH * BK; i += THREADS) {
    int row = along_k ? i / BK : i % WIDTH, k = along_k ? i % BK : i / WIDTH;
    to[k][row] = row < rows && k < ks ? to_float(from[at[row] + at_k[k]]) : 0.0f;
  }
}

template <class A, class B, class C>
__global__ void __launch_bounds__(THREADS)
    product_tiles(const A *a, const B *b, const C *add, const C *bias, C *c, const int32_t *offsets,
                  xlm_matmul p, shape s) {
  XLM_SHARED(places, at);
  XLM_SHARED(k_places, at_k);
  XLM_SHARED(tiles, tile);
  int64_t tiles_of_entry = s.tiles_m * s.tiles_n;
  int row0 = (int)threadIdx.x / (BN / PER) * PER, col0 = (int)threadIdx.x % (BN / PER) * PER;
  for (int64_t t = blockIdx.x; t < s.entries * tiles_of_entry; t += gridDim.x) {
    entry e = entry_of(p, t / tiles_of_entry, s.m, s.n, s.k, offsets);
    int64_t i0 = t % tiles_of_entry / s.tiles_n * BM, j0 = t % s.tiles_n * BN;
    if (i0 >= e.m || j0 >= e.n) continue; // of all threads of the block
    int64_t rows = e.m - i0, cols = e.n - j0;
    __syncthreads(); // the last tile's places are read no more
    for (int i = (int)threadIdx.x; i < BM; i += THREADS) {
      at.a[i] = i < rows ? e.a + place(p.m, SIDE_A, i0 + i) : 0;
      at.c_row[i] = i < rows ? e.c + place(p.m, SIDE_C, i0 + i) : 0;
    }
    for (int j = (int)threadIdx.x; j < BN; j += THREADS) {
      at.b[j] = j < cols ? e.b + place(p.n, SIDE_B, j0 + j) : 0;
      at.c_col[j] = j < cols ? place(p.n, SIDE_C, j0 + j) : 0;
    }
    float sum[PER][PER] = {};
    for (int64_t k0 = 0; k0 < e.k; k0 += BK) {
      __syncthreads(); // the last step's tiles are read no more
      if (threadIdx.x < BK) {
        at_k.a[threadIdx.x] = place(p.k, SIDE_A, k0 + threadIdx.x);
        at_k.b[threadIdx.x] = place(p.k, SIDE_B, k0 + threadIdx.x);
      }
      __syncthreads();
      load<A, BM>(tile.a, a, at.a, at_k.a, rows, e.k - k0, s.a_along_k);
      load<B, BN>(tile.b, b, at.b, at_k.b, cols, e.k - k0, s.b_along_k);
      __syncthreads();
      XLM_UNROLL(16) for (int k = 0; k < BK; k++) {
        float x[PER], y[PER];
        XLM_UNROLL(16) for (int i = 0; i < PER; i++) x[i] = tile.a[k][row0 + i], y[i] = tile.b[k][col0 + i];
        XLM_UNROLL(16)
        for (int i = 0; i < PER; i++) XLM_UNROLL(16) for (int j = 0; j < PER; j++) sum[i][j] =
            fmaf(x[i], y[j], sum[i][j]);
      }
    }
    if (e.k <= 0) __syncthreads(); // the places
    XLM_UNROLL(16) for (int i = 0; i < PER; i++) XLM_UNROLL(16) for (int j = 0; j < PER; j++) {
      if (row0 + i >= rows || col0 + j >= cols) continue;
      int64_t to = at.c_row[row0 + i] + at.c_col[col0 + j];
      float x = add ? to_float(add[to]) + sum[i][j] : sum[i][j];
      c[to] = from_float<C>(bias ? x + to_float(bias[to % p.bias]) : x);
    }
  }
}

static bool along_k(const xlm_matmul_index &k, const int64_t *stride) {
  return k.n && stride[k.n - 1] == 1;
}

xlm_status xlm_cuda_product_own(const xlm_call *c, int at, const void *add) {
  xlm_matmul p = xlm_cuda_product_of(c);
  bool swapped = xlm_matmul_normalise(&p);
  const void *a = c->in[swapped ? at + 1 : at], *b = c->in[swapped ? at : at + 1];
  const void *bias = p.bias ? c->in[2] : NULL;
  const int32_t *offsets = p.ragged ? (const int32_t *)c->in[c->instr->n_in - 1] : NULL;
  shape s;
  s.entries = xlm_matmul_count(&p.batch);
  s.m = xlm_matmul_count(&p.m), s.n = xlm_matmul_count(&p.n), s.k = xlm_matmul_count(&p.k);
  if (!s.entries || !s.m || !s.n) return XLM_OK;
  s.tiles_m = (s.m + BM - 1) / BM, s.tiles_n = (s.n + BN - 1) / BN;
  s.a_along_k = along_k(p.k, p.k.a), s.b_along_k = along_k(p.k, p.k.b);
  unsigned blocks = xlm_cuda_blocks(s.entries * s.tiles_m * s.tiles_n, 1);
  return xlm_cuda_float(p.a, [&](auto ta) {
    using A = decltype(ta);
    return xlm_cuda_float(p.b, [&](auto tb) {
      using B = decltype(tb);
      return xlm_cuda_float(p.c, [&](auto tc) {
        using C = decltype(tc);
        return xlm_cuda_launched(c, XLM_LAUNCH((product_tiles<A, B, C>), blocks, THREADS, 0,
                                               xlm_cuda_stream(c), (const A *)a, (const B *)b, (const C *)add,
                                               (const C *)bias, (C *)c->out[0], offsets, p, s));
      });
    });
  });
}
