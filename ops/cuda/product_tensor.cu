// Products on tensor cores that cuBLASLt does not compute: rows of experts, grouped by offsets that lie on
// the device, and orders of dimensions that are no plain matrices. bf16 operands, sums in f32, rounded once.
//
// One block per multiprocessor goes through its tiles of BM x BN: tile t of all entries together belongs to
// block t modulo the number of blocks, found from the offsets on the device. A tile has its whole sum over k,
// in order, so bits do not depend on the blocks. Copies run STAGES - 1 steps ahead of the sums, also from one
// tile into the next: while results are stored, the next tile's operands arrive.
//
// Per step a block copies (BM + BN) BK elements and computes 2 BM BN BK operations: 85 per byte from the L2
// cache; with 128 x 128 it would be 64. A warp reads (64 + 64) 16 elements for 2 64 64 16 operations: 32 per
// byte of shared memory, which delivers 128 bytes per cycle. The tile's sums take 128 registers per thread
// and two sets of fragments 64: all 255 are in use (nvcc 13: at most two spilled, outside the loop), so a
// multiprocessor holds one block of 8 warps. Its 96 KiB of shared memory fit all cards from sm_80 on. Pieces
// of 16 bytes are permuted within a row of a tile, so that the eight that a warp reads or writes at a time
// lie in different banks.
#include <type_traits>

#include "ops/cuda/cuda.h"
#include "ops/cuda/product_priv.h"

enum { BM = 128, BN = 256, BK = 32, STAGES = 4, THREADS = 256, WARP_TILE = 64, BAND = 16 };

struct strides { // of an operand, in elements
  int64_t own, k;
};

struct tensor_args {
  product_args g; // flat
  strides a, b;
  int64_t row, col; // strides of the result
  bool pairs;       // neighbouring columns of the result, an even one first, are stored by one access
};

// ---- tiles

struct walk { // along the tiles of a block: the next one, its entry, and the entry's first
  int tile, entry, first;
};

struct work { // a tile: rows from i, columns from j of an entry
  product_entry e;
  int64_t i, j;
};

// The tile that w stands at; false: there is none. Tiles run down the rows, BAND tiles at a time, and then to
// the next columns: the tiles under way at one time share as many operands as they can.
static __device__ __forceinline__ bool find(const product_args &g, walk &w, work &out) {
  for (;;) {
    if (w.entry >= g.entries) return false;
    out.e = product_entry_of(&g, w.entry);
    int rows = (int)((out.e.m + BM - 1) / BM), cols = (int)((out.e.n + BN - 1) / BN), t = w.tile - w.first;
    if (t < rows * cols) {
      int band = t / (BAND * cols) * BAND, high = min(BAND, rows - band);
      t -= band * cols;
      out.i = (int64_t)(band + t % high) * BM, out.j = (int64_t)(t / high) * BN;
      return true;
    }
    int passed = g.p.ragged ? 1 : t / (rows * cols);
    w.entry += passed, w.first += passed * rows * cols;
  }
}

// ---- copies

template <int WIDTH, bool ALONG_K> struct alignas(16) tile { // [WIDTH][BK] or [BK][WIDTH]
  bf16 at[WIDTH * BK];
};

// Where a piece is: its row in the tile, its number in the row.
template <int WIDTH, bool ALONG_K> static __device__ __forceinline__ int place_of(int row, int piece) {
  return ALONG_K ? (row * (BK / 8) + (piece ^ (row / 2 % 4))) * 8
                 : (row * (WIDTH / 8) + (piece ^ (row % 8))) * 8;
}

static __device__ __forceinline__ int clamp8(int64_t x) {
  return x < 0 ? 0 : x > 8 ? 8 : (int)x;
}

// The pieces of an operand that a thread copies in each step.
template <int WIDTH, bool ALONG_K> struct pieces {
  static constexpr int EACH = WIDTH * BK / 8 / THREADS, PER_ROW = (ALONG_K ? BK : WIDTH) / 8;
  const bf16 *from[EACH];
  int there[EACH]; // of its elements, those before the end of the operand's own dimension
  static __device__ __forceinline__ int row(int i) { return ((int)threadIdx.x + i * THREADS) / PER_ROW; }
  static __device__ __forceinline__ int piece() { return (int)threadIdx.x % PER_ROW; }

  // The tile from index `first` on, of `size`, of the operand's own dimension.
  __device__ __forceinline__ void begin(const bf16 *base, int64_t first, int64_t size, const strides &s) {
    XLM_UNROLL(EACH) for (int i = 0; i < EACH; i++) {
      int64_t own = first + (ALONG_K ? row(i) : piece() * 8), k = ALONG_K ? piece() * 8 : row(i);
      there[i] = clamp8(size - own);
      from[i] = base + own * s.own + k * s.k;
    }
  }
  // The next BK, of which `left` are there.
  __device__ __forceinline__ void copy(tile<WIDTH, ALONG_K> &to, int64_t left, const strides &s) {
    XLM_UNROLL(EACH) for (int i = 0; i < EACH; i++) {
      int valid = ALONG_K ? there[i] ? clamp8(left - piece() * 8) : 0 : row(i) < left ? there[i] : 0;
      copy_async16(&to.at[place_of<WIDTH, ALONG_K>(row(i), piece())], from[i], valid * (int)sizeof(bf16));
      from[i] += BK * s.k;
    }
  }
};

template <bool A_K, bool B_K> struct stage {
  tile<BM, A_K> a;
  tile<BN, B_K> b;
};

template <bool A_K, bool B_K> struct source { // of the steps of all of a block's tiles
  walk at;
  int64_t left; // of the tile's k
  pieces<BM, A_K> a;
  pieces<BN, B_K> b;

  __device__ __forceinline__ void copy(const tensor_args &t, stage<A_K, B_K> &to) {
    work w;
    while (left <= 0 && find(t.g, at, w)) { // tiles without k have no steps
      a.begin((const bf16 *)t.g.a + w.e.a, w.i, w.e.m, t.a);
      b.begin((const bf16 *)t.g.b + w.e.b, w.j, w.e.n, t.b);
      left = w.e.k;
      at.tile += (int)gridDim.x;
    }
    if (left > 0) a.copy(to.a, left, t.a), b.copy(to.b, left, t.b);
    left -= BK;
    copy_commit();
  }
};

// ---- sums

enum { M_EACH = WARP_TILE / 16, N_EACH = WARP_TILE / 16 }; // fragments of 16 rows, of 16 columns

struct fragments { // of 16 k
  uint32_t a[M_EACH][4], b[N_EACH][4];
};

struct sums { // of a warp: rows 16 i + lane / 4 + 8 half, columns 8 n + lane % 4 * 2
  float at[M_EACH][2 * N_EACH][4];
};

static __device__ __forceinline__ int lane_of() {
  return (int)threadIdx.x % XLM_WARP;
}
static __device__ __forceinline__ int warp_row() {
  return (int)threadIdx.x / XLM_WARP / (BN / WARP_TILE) * WARP_TILE;
}
static __device__ __forceinline__ int warp_col() {
  return (int)threadIdx.x / XLM_WARP % (BN / WARP_TILE) * WARP_TILE;
}

// Matrices of 8 x 8: of a, rows first and then k; of b, k first and then columns.
template <bool A_K, bool B_K>
static __device__ __forceinline__ void read(fragments &f, const stage<A_K, B_K> &s, int half) {
  int low = lane_of() % 8, odd = lane_of() / 8 % 2, high = lane_of() / 16;
  XLM_UNROLL(M_EACH) for (int i = 0; i < M_EACH; i++) {
    int row = warp_row() + 16 * i;
    if (A_K)
      ldmatrix_x4(f.a[i], &s.a.at[place_of<BM, true>(row + odd * 8 + low, half * 2 + high)]);
    else
      ldmatrix_x4_trans(f.a[i], &s.a.at[place_of<BM, false>(half * 16 + high * 8 + low, row / 8 + odd)]);
  }
  XLM_UNROLL(N_EACH) for (int i = 0; i < N_EACH; i++) {
    int col = warp_col() + 16 * i;
    if (B_K)
      ldmatrix_x4(f.b[i], &s.b.at[place_of<BN, true>(col + high * 8 + low, half * 2 + odd)]);
    else
      ldmatrix_x4_trans(f.b[i], &s.b.at[place_of<BN, false>(half * 16 + odd * 8 + low, col / 8 + high)]);
  }
}

static __device__ __forceinline__ void add_product(sums &sum, const fragments &f) {
  XLM_UNROLL(M_EACH) for (int i = 0; i < M_EACH; i++) XLM_UNROLL(N_EACH) for (int j = 0; j < N_EACH; j++) {
    mma_bf16(sum.at[i][2 * j], f.a[i], f.b[j]);
    mma_bf16(sum.at[i][2 * j + 1], f.a[i], f.b[j] + 2);
  }
}

// ---- results

template <class C, int N>
static __device__ __forceinline__ void put(const product_args &g, int64_t at, const float *sum) {
  vec<C, N> x;
  if (g.add) {
    x = load<N>((const C *)g.add + at);
    XLM_UNROLL(N) for (int i = 0; i < N; i++) x.at[i] = from_float<C>(to_float(x.at[i]) + sum[i]);
  } else {
    XLM_UNROLL(N) for (int i = 0; i < N; i++) x.at[i] = from_float<C>(sum[i]);
  }
  store((C *)g.c + at, x);
}

template <class C>
static __device__ __forceinline__ void write(const tensor_args &t, const work &w, const sums &sum) {
  int64_t i0 = w.i + warp_row() + lane_of() / 4, j0 = w.j + warp_col() + lane_of() % 4 * 2;
  XLM_UNROLL(M_EACH) for (int i = 0; i < M_EACH; i++) XLM_UNROLL(2) for (int half = 0; half < 2; half++) {
    int64_t row = i0 + 16 * i + 8 * half;
    if (row >= w.e.m) continue;
    XLM_UNROLL(2 * N_EACH) for (int n = 0; n < 2 * N_EACH; n++) {
      int64_t col = j0 + 8 * n, to = w.e.c + row * t.row + col * t.col;
      const float *two = sum.at[i][n] + 2 * half;
      if (t.pairs && col < w.e.n) put<C, 2>(t.g, to, two);
      if (!t.pairs && col < w.e.n) put<C, 1>(t.g, to, two);
      if (!t.pairs && col + 1 < w.e.n) put<C, 1>(t.g, to + t.col, two + 1);
    }
  }
}

// ---- the kernel

template <bool A_K, bool B_K, class C>
__global__ void __launch_bounds__(THREADS, 1) product_tensor(const __grid_constant__ tensor_args t) {
  typedef stage<A_K, B_K> stages[STAGES];
  XLM_DYNAMIC_SHARED(stages, room);
  source<A_K, B_K> from;
  from.at = {(int)blockIdx.x, 0, 0}, from.left = 0;
  XLM_UNROLL(1) for (int s = 0; s < STAGES - 1; s++) from.copy(t, (*room)[s]);
  copy_wait<STAGES - 2>();
  __syncthreads(); // the first step's operands are there
  fragments f[2];
  read(f[0], (*room)[0], 0);
  work w;
  int step = 0;
  for (walk at = {(int)blockIdx.x, 0, 0}; find(t.g, at, w); at.tile += (int)gridDim.x) {
    sums sum = {};
    for (int64_t left = w.e.k; left > 0; left -= BK) {
      read(f[1], (*room)[step], 1);
      add_product(sum, f[0]);
      from.copy(t, (*room)[(step + STAGES - 1) % STAGES]);
      step = (step + 1) % STAGES;
      copy_wait<STAGES - 2>();
      __syncthreads(); // the next step's operands are there, this step's are read no more
      read(f[0], (*room)[step], 0);
      add_product(sum, f[1]);
    }
    write<C>(t, w, sum);
  }
  copy_wait<0>();
}

template <bool A_K, bool B_K, class C> static xlm_status launch(const xlm_call *c, const tensor_args &t) {
  int64_t rows = t.g.m / BM + 1, cols = t.g.n / BN + 1; // at most: tiles of an entry
  unsigned blocks = xlm_cuda_resident(t.g.entries * rows * cols, 1);
  size_t bytes = sizeof(stage<A_K, B_K>) * STAGES;
  xlm_launch_status bad = XLM_ALLOW_SHARED((product_tensor<A_K, B_K, C>), bytes);
  if (!bad) bad = XLM_LAUNCH((product_tensor<A_K, B_K, C>), blocks, THREADS, bytes, xlm_cuda_stream(c), t);
  return xlm_cuda_launched(c, bad);
}

static bool in_pairs(const tensor_args &t) {
  bool fits = t.col == 1 && t.g.p.ragged != XLM_RAGGED_N && t.g.n % 2 == 0 && t.row % 2 == 0;
  for (int d = 0; d < t.g.p.batch.n; d++) fits = fits && t.g.p.batch.c[d] % 2 == 0;
  return fits;
}

static tensor_args args_of(const product_args &g) {
  tensor_args t;
  t.g = g;
  xlm_matmul &p = t.g.p;
  (void)product_flatten(&p);
  t.g.entries = xlm_matmul_count(&p.batch), t.g.m = xlm_matmul_count(&p.m), t.g.n = xlm_matmul_count(&p.n);
  t.a = {p.m.n ? p.m.a[0] : 0, p.k.a[0]}, t.b = {p.n.n ? p.n.b[0] : 0, p.k.b[0]};
  t.row = p.m.n ? p.m.c[0] : 0, t.col = p.n.n ? p.n.c[0] : 0;
  t.pairs = in_pairs(t);
  return t;
}

template <class F> static xlm_status chosen(bool x, F f) {
  return x ? f(std::true_type{}) : f(std::false_type{});
}

xlm_status xlm_cuda_product_tensor(const xlm_call *c, const product_args &g) {
  tensor_args t = args_of(g);
  return chosen(product_way_of(&t.g.p, false) == PRODUCT_ALONG_K, [&](auto a_k) {
    return chosen(product_way_of(&t.g.p, true) == PRODUCT_ALONG_K, [&](auto b_k) {
      return xlm_cuda_float(t.g.p.c, [&](auto type) {
        return launch<decltype(a_k)::value, decltype(b_k)::value, decltype(type)>(c, t);
      });
    });
  });
}
