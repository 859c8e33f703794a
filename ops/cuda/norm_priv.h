// Rows of the norms: a team of threads goes over its row several times, each time with a function of an element
// of x (and of dy, backward), the last time writing. There are two implementations:
// - norm_packed: contiguous rows of whole 16-byte accesses, at most 8 per thread, x and dy of one type: read once, then in
//   registers. One pass over memory.
// - norm_looped: all others, read again each time, from the caches if they are short.
// Operands and result may be the same memory: a thread writes only elements that no other thread reads.
#ifndef XLM_CUDA_NORM_PRIV_H
#define XLM_CUDA_NORM_PRIV_H

#include "ops/cuda/cuda.h"

enum { NORM_BLOCKS = 2 }; // that a multiprocessor must hold: 128 registers

#define XLM_NORM(...) static __device__ __forceinline__ __VA_ARGS__
#include "ops/cuda/norm.def"

struct norm_args {
  const void *x, *dy; // dy: NULL forward
  void *out;          // of x's type
  over_rows r;
};

struct norm_nothing {}; // the type of dy, forward
static __device__ __forceinline__ float to_float(norm_nothing) { return 0; }

template <class X, class D, class T, int K> struct norm_packed { // K accesses per thread
  using team = T;
  static constexpr bool both = sizeof(D) > 1;
  static constexpr int V = 16 / sizeof(X);
  static constexpr int64_t longest = (int64_t)team::size * V * K;
  vec<X, V> x[K];
  vec<D, V> dy[both ? K : 1];
  const norm_args &a;
  int64_t row;

  __device__ __forceinline__ norm_packed(const norm_args &args, int64_t which) : a(args), row(which) {
    XLM_UNROLL(K)
    for (int k = 0; k < K; k++) {
      if (at(k) >= a.r.len) continue;
      x[k] = load<V>((const X *)a.x + row * a.r.len + at(k));
      if constexpr (both) dy[k] = load<V>((const D *)a.dy + row * a.r.len + at(k));
    }
  }
  static __device__ __forceinline__ int64_t at(int k) { return (int64_t)(k * team::size + team::lane()) * V; }
  template <class F> __device__ __forceinline__ void each(F f) const {
    XLM_UNROLL(K)
    for (int k = 0; k < K; k++)
      if (at(k) < a.r.len)
        for (int j = 0; j < V; j++) f(to_float(x[k].at[j]), to_float(dy[both ? k : 0].at[j]));
  }
  template <class F> __device__ __forceinline__ void write(F f) const {
    XLM_UNROLL(K)
    for (int k = 0; k < K; k++) {
      if (at(k) >= a.r.len) continue;
      vec<X, V> y;
      for (int j = 0; j < V; j++)
        y.at[j] = from_float<X>(f(to_float(x[k].at[j]), to_float(dy[both ? k : 0].at[j])));
      store((X *)a.out + row * a.r.len + at(k), y);
    }
  }
};

template <class X, class D, class T> struct norm_looped {
  using team = T;
  const norm_args &a;
  int64_t base;

  __device__ __forceinline__ norm_looped(const norm_args &args, int64_t row) : a(args), base(over_offset(&args.r.outer, row)) {}
  __device__ __forceinline__ float dy(int64_t at) const {
    if constexpr (sizeof(D) > 1) return to_float(((const D *)a.dy)[at]);
    return 0;
  }
  template <class F> __device__ __forceinline__ void each(F f) const {
    XLM_UNROLL(4)
    for (int64_t i = team::lane(); i < a.r.len; i += team::size) {
      int64_t at = base + over_offset(&a.r.inner, i);
      f(to_float(((const X *)a.x)[at]), dy(at));
    }
  }
  template <class F> __device__ __forceinline__ void write(F f) const {
    for (int64_t i = team::lane(); i < a.r.len; i += team::size) {
      int64_t at = base + over_offset(&a.r.inner, i);
      ((X *)a.out)[at] = from_float<X>(f(to_float(((const X *)a.x)[at]), dy(at)));
    }
  }
};

static inline float norm_eps(const xlm_call *c) { return (float)xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5); }

// f(Row) for every row that falls to this thread's team.
template <class Row, class F> static __device__ __forceinline__ void norm_each(const norm_args &a, F f) {
  using team = typename Row::team;
  for (int64_t row = (int64_t)blockIdx.x * team::per_block + team::index(); row < a.r.count;
       row += (int64_t)gridDim.x * team::per_block)
    f(Row(a, row));
}

// ---- launching: calls launch(norm_rows<Row>{}, blocks) for the kind of rows and teams that fit

template <class R> struct norm_rows {
  using row = R;
};

template <class X, class D, class F> static xlm_launch_status norm_choose(const norm_args &a, F launch) {
  const over_rows &r = a.r;
  unsigned by_warp = xlm_cuda_blocks(r.count, warp_team::per_block), by_block = xlm_cuda_blocks(r.count, 1);
  if constexpr (sizeof(D) == 1 || sizeof(D) == sizeof(X)) { // fewer registers for short rows: more of them at a time
    using warp = norm_packed<X, D, warp_team, 4>;
    using wide_warp = norm_packed<X, D, warp_team, 8>;
    using block = norm_packed<X, D, block_team, 2>;
    using wide_block = norm_packed<X, D, block_team, 8>;
    bool whole = r.contiguous && r.len % warp::V == 0 && r.len <= wide_block::longest && xlm_cuda_aligned(a.x, 16) &&
                 xlm_cuda_aligned(a.dy, 16) && xlm_cuda_aligned(a.out, 16);
    if (whole && r.len <= warp::longest) return launch(norm_rows<warp>{}, by_warp);
    if (whole && r.len <= wide_warp::longest) return launch(norm_rows<wide_warp>{}, by_warp);
    if (whole && r.len <= block::longest) return launch(norm_rows<block>{}, by_block);
    if (whole) return launch(norm_rows<wide_block>{}, by_block);
  }
  bool columns = r.outer.n && r.outer.stride[r.outer.n - 1] == 1; // neighbours in memory are of neighbouring rows
  if (columns) return launch(norm_rows<norm_looped<X, D, thread_team>>{}, xlm_cuda_blocks(r.count, thread_team::per_block));
  if (r.len <= 1024) return launch(norm_rows<norm_looped<X, D, warp_team>>{}, by_warp);
  return launch(norm_rows<norm_looped<X, D, block_team>>{}, by_block);
}

template <class F> static xlm_status norm_run(const xlm_call *c, F launch) {
  norm_args a = {c->in[0], NULL, c->out[0], over_of(c, c->in_type[0])};
  if (!a.r.count || !a.r.len) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto x) {
    return xlm_cuda_launched(
        c, norm_choose<decltype(x), norm_nothing>(a, [&](auto rows, unsigned blocks) { return launch(rows, a, blocks); }));
  });
}

template <class F> static xlm_status norm_run_bwd(const xlm_call *c, F launch) {
  norm_args a = {c->in[0], c->in[1], c->out[0], over_of(c, c->in_type[0])};
  if (!a.r.count || !a.r.len) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto x) {
    return xlm_cuda_float(c->in_type[1]->dtype, [&](auto d) {
      return xlm_cuda_launched(
          c, norm_choose<decltype(x), decltype(d)>(a, [&](auto rows, unsigned blocks) { return launch(rows, a, blocks); }));
    });
  });
}

#endif
