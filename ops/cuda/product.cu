// contract, contract_acc and contract_bias by kernels of our own: on tensor cores by product_tensor.cu, and here, the variant `simt`, in f32
// arithmetic by single threads: any order of dimensions, any mix of f32 and bf16, ragged rows.
//
// A block computes a tile of BM x BN of one batch entry, 4 x 4 elements per thread, in steps of BK along k:
// both operands' pieces pass through shared memory, as floats, loaded along whichever group is contiguous.
// The sum over k runs in order, so bits depend on nothing else. Where each row, column and k lies is computed
// once per block (rows, columns) or step (k).
#include "ops/cuda/blas.h"
#include "ops/cuda/cuda.h"
#include "ops/cuda/product_priv.h"

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

struct shape {               // of a launch
  int64_t tiles_m, tiles_n;  // of an entry, at most
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
__global__ void __launch_bounds__(THREADS) product_tiles(const __grid_constant__ product_args g, shape s) {
  XLM_SHARED(places, at);
  XLM_SHARED(k_places, at_k);
  XLM_SHARED(tiles, tile);
  const xlm_matmul &p = g.p;
  const A *a = (const A *)g.a;
  const B *b = (const B *)g.b;
  const C *add = (const C *)g.add, *bias = (const C *)g.bias;
  int64_t tiles_of_entry = s.tiles_m * s.tiles_n;
  int row0 = (int)threadIdx.x / (BN / PER) * PER, col0 = (int)threadIdx.x % (BN / PER) * PER;
  for (int64_t t = blockIdx.x; t < g.entries * tiles_of_entry; t += gridDim.x) {
    product_entry e = product_entry_of(&g, t / tiles_of_entry);
    int64_t i0 = t % tiles_of_entry / s.tiles_n * BM, j0 = t % s.tiles_n * BN;
    if (i0 >= e.m || j0 >= e.n) continue; // of all threads of the block
    int64_t rows = e.m - i0, cols = e.n - j0;
    __syncthreads(); // the last tile's places are read no more
    for (int i = (int)threadIdx.x; i < BM; i += THREADS) {
      at.a[i] = i < rows ? e.a + product_place(&p.m, p.m.a, i0 + i) : 0;
      at.c_row[i] = i < rows ? e.c + product_place(&p.m, p.m.c, i0 + i) : 0;
    }
    for (int j = (int)threadIdx.x; j < BN; j += THREADS) {
      at.b[j] = j < cols ? e.b + product_place(&p.n, p.n.b, j0 + j) : 0;
      at.c_col[j] = j < cols ? product_place(&p.n, p.n.c, j0 + j) : 0;
    }
    float sum[PER][PER] = {};
    for (int64_t k0 = 0; k0 < e.k; k0 += BK) {
      __syncthreads(); // the last step's tiles are read no more
      if (threadIdx.x < BK) {
        at_k.a[threadIdx.x] = product_place(&p.k, p.k.a, k0 + threadIdx.x);
        at_k.b[threadIdx.x] = product_place(&p.k, p.k.b, k0 + threadIdx.x);
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
      ((C *)g.c)[to] = from_float<C>(bias ? x + to_float(bias[to % p.bias]) : x);
    }
  }
}

static bool along_k(const xlm_matmul_index &k, const int64_t *stride) {
  return k.n && stride[k.n - 1] == 1;
}

static xlm_status by_single_threads(const xlm_call *c, const product_args &g) {
  shape s;
  s.tiles_m = (g.m + BM - 1) / BM, s.tiles_n = (g.n + BN - 1) / BN;
  s.a_along_k = along_k(g.p.k, g.p.k.a), s.b_along_k = along_k(g.p.k, g.p.k.b);
  unsigned blocks = xlm_cuda_blocks(g.entries * s.tiles_m * s.tiles_n, 1);
  return xlm_cuda_float(g.p.a, [&](auto ta) {
    using A = decltype(ta);
    return xlm_cuda_float(g.p.b, [&](auto tb) {
      using B = decltype(tb);
      return xlm_cuda_float(g.p.c, [&](auto tc) {
        using C = decltype(tc);
        return xlm_cuda_launched(
            c, XLM_LAUNCH((product_tiles<A, B, C>), blocks, THREADS, 0, xlm_cuda_stream(c), g, s));
      });
    });
  });
}

xlm_status xlm_cuda_product_own(const xlm_call *c, int at, const void *add) {
  product_args g;
  g.p = xlm_cuda_product_of(c);
  bool swapped = xlm_matmul_normalise(&g.p);
  g.a = c->in[swapped ? at + 1 : at], g.b = c->in[swapped ? at : at + 1];
  g.add = add, g.bias = g.p.bias ? c->in[2] : NULL, g.c = c->out[0];
  g.offsets = g.p.ragged ? (const int32_t *)c->in[c->instr->n_in - 1] : NULL;
  g.entries = xlm_matmul_count(&g.p.batch);
  g.m = xlm_matmul_count(&g.p.m), g.n = xlm_matmul_count(&g.p.n), g.k = xlm_matmul_count(&g.p.k);
  if (!g.entries || !g.m || !g.n) return XLM_OK;
  return c->variant == PRODUCT_TENSOR_CORE ? xlm_cuda_product_tensor(c, g) : by_single_threads(c, g);
}
