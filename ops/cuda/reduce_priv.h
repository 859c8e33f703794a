// The kernels of sum, mean, amax and logsumexp: one pass over the operand, then one over the parts if a result has
// several (reduce_shape_priv.h). An Op defines the reduction:
//
//   struct sum_of {
//     using state = float;                               // of some elements; 4 or 8 bytes
//     static __device__ state start();                   // of none
//     static __device__ void add(state &s, float x);     // one more
//     static __device__ void join(state &s, state o);    // adds o's; the same bits in either order
//     static __device__ float result(state s);
//   };
#ifndef XLM_CUDA_REDUCE_PRIV_H
#define XLM_CUDA_REDUCE_PRIV_H

#include <type_traits>

#include "ops/cuda/cuda.h"
#include "ops/cuda/reduce_shape_priv.h"

template <class Op, class O> struct reduce_to { // where results go
  typename Op::state *parts;                    // NULL: every result has one part
  O *out;
  float scale;
};

// E: float or bf16, an element of the operand; or a state, a part of the first step.
template <class Op, class E> static __device__ __forceinline__ void reduce_take(typename Op::state &s, E x) {
  if constexpr (std::is_same<E, typename Op::state>::value)
    Op::join(s, x);
  else
    Op::add(s, to_float(x));
}

template <class Op, class O>
static __device__ __forceinline__ void reduce_put(const reduce_to<Op, O> &to, int64_t part_at, int64_t row,
                                                  typename Op::state s) {
  if (to.parts)
    to.parts[part_at] = s;
  else
    to.out[row] = from_float<O>(Op::result(s) * to.scale);
}

// ---- rows

template <class S> static __device__ __forceinline__ S reduce_shuffle(S v, int bits) {
  uint32_t words[sizeof(S) / 4];
  memcpy(words, &v, sizeof v);
  for (unsigned i = 0; i < sizeof(S) / 4; i++) words[i] = __shfl_xor_sync(XLM_ALL_LANES, words[i], bits);
  memcpy(&v, words, sizeof v);
  return v;
}

template <class S> struct reduce_scratch {
  S of_warp[XLM_WARP];
};

// Combines the states of the team's threads; all receive the result.
template <class Op, class Team> static __device__ typename Op::state reduce_team(typename Op::state s) {
  using state = typename Op::state;
  if constexpr (Team::size > 1)
    for (int d = XLM_WARP / 2; d; d >>= 1) Op::join(s, reduce_shuffle(s, d));
  if constexpr (Team::size > XLM_WARP) {
    XLM_SHARED(reduce_scratch<state>, scratch);
    __syncthreads(); // before the last row's are overwritten
    if (threadIdx.x % XLM_WARP == 0) scratch.of_warp[threadIdx.x / XLM_WARP] = s;
    __syncthreads(); // all warps' are there
    s = scratch.of_warp[0];
    for (int w = 1; w < XLM_BLOCK / XLM_WARP; w++) Op::join(s, scratch.of_warp[w]);
  }
  return s;
}

// A team per part of a row, V elements per access.
template <class Op, class E, class O, class Team, int V>
__global__ void __launch_bounds__(XLM_BLOCK) reduce_rows(const E *x, const __grid_constant__ reduce_shape s,
                                                         const int32_t *used, reduce_to<Op, O> to) {
  int64_t len = s.per_used ? s.per_used * *used : s.r.len, units = s.r.count * s.parts;
  for (int64_t unit = (int64_t)blockIdx.x * Team::per_block + Team::index(); unit < units;
       unit += (int64_t)gridDim.x * Team::per_block) {
    int64_t row = unit, part = over_split(&row, s.parts);
    int64_t begin = part * s.per, end = begin + s.per < len ? begin + s.per : len;
    const E *from = x + over_offset(&s.r.outer, row);
    typename Op::state sum = Op::start();
    XLM_UNROLL(4)
    for (int64_t i = begin + Team::lane() * V; i < end; i += Team::size * V) {
      vec<E, V> v = load<V>(from + over_offset(&s.r.inner, i));
      for (int j = 0; j < V; j++) reduce_take<Op>(sum, v.at[j]);
    }
    sum = reduce_team<Op, Team>(sum);
    if (Team::lane() == 0) reduce_put(to, unit, row, sum);
  }
}

// ---- columns

// Of a block: its warps' results of `n` columns each.
template <class S, int n> struct reduce_tile {
  S of_warp[REDUCE_WARPS][n];
};

// A block per tile of columns and part of their rows: warp w reads rows w, w + 8, ..; its lanes V neighbouring columns
// each (V = 1: several, a warp's width apart).
template <class Op, class E, class O, int V>
__global__ void __launch_bounds__(XLM_BLOCK) reduce_columns(const E *x, const __grid_constant__ reduce_shape s,
                                                            const int32_t *used, reduce_to<Op, O> to) {
  using state = typename Op::state;
  constexpr int groups = V > 1 ? 1 : 4, width = XLM_WARP * V * groups;
  using tile = reduce_tile<state, width>;
  XLM_SHARED(tile, scratch);
  int64_t len = s.per_used ? s.per_used * *used : s.r.len, tiles = (s.r.count + width - 1) / width;
  int warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  for (int64_t unit = blockIdx.x; unit < tiles * s.parts; unit += gridDim.x) {
    int64_t part = unit, first = over_split(&part, tiles) * width;
    int64_t begin = part * s.per, end = begin + s.per < len ? begin + s.per : len, at[groups];
    state sum[groups][V];
    for (int g = 0; g < groups; g++) {
      int64_t column = first + (g * XLM_WARP + lane) * V;
      at[g] = column < s.r.count ? over_offset(&s.r.outer, column) : -1;
      for (int j = 0; j < V; j++) sum[g][j] = Op::start();
    }
    XLM_UNROLL(4)
    for (int64_t i = begin + warp; i < end; i += REDUCE_WARPS) {
      const E *row = x + over_offset(&s.r.inner, i);
      for (int g = 0; g < groups; g++) {
        if (at[g] < 0) continue;
        vec<E, V> v = load<V>(row + at[g]);
        for (int j = 0; j < V; j++) reduce_take<Op>(sum[g][j], v.at[j]);
      }
    }
    for (int g = 0; g < groups; g++)
      for (int j = 0; j < V; j++) scratch.of_warp[warp][(g * XLM_WARP + lane) * V + j] = sum[g][j];
    __syncthreads(); // all warps' sums are there
    for (int k = (int)threadIdx.x; k < width && first + k < s.r.count; k += XLM_BLOCK) {
      state all = scratch.of_warp[0][k];
      for (int w = 1; w < REDUCE_WARPS; w++) Op::join(all, scratch.of_warp[w][k]);
      reduce_put(to, part * s.r.count + first + k, first + k, all);
    }
    __syncthreads(); // before the next tile
  }
}

// ---- launching

// Can accesses of V elements be used: do runs of them begin and end at multiples, in all dims?
static inline bool reduce_in_packs(const reduce_shape *s, const void *x, int64_t v, size_t bytes) {
  const over_dims *runs = s->columns ? &s->r.outer : &s->r.inner, *others = s->columns ? &s->r.inner : &s->r.outer;
  int last = runs->n - 1;
  bool fits = last >= 0 && runs->stride[last] == 1 && runs->size[last] % v == 0 && s->per_used % v == 0;
  for (int i = 0; i < last; i++) fits = fits && runs->stride[i] % v == 0;
  for (int i = 0; i < others->n; i++) fits = fits && others->stride[i] % v == 0;
  return fits && xlm_cuda_aligned(x, (size_t)v * bytes);
}

template <class Op, class E, class O, int V>
static xlm_launch_status reduce_launch(const E *x, const reduce_shape &s, const int32_t *used, reduce_to<Op, O> to,
                                       void *stream) {
  int64_t units = s.r.count * s.parts, along = s.r.len < s.per ? s.r.len : s.per;
  if (s.columns) {
    constexpr int width = XLM_WARP * (V > 1 ? V : 4);
    int64_t tiles = (s.r.count + width - 1) / width;
    return XLM_LAUNCH((reduce_columns<Op, E, O, V>), xlm_cuda_blocks(tiles * s.parts, 1), XLM_BLOCK, 0, stream, x, s, used, to);
  }
  if (along <= 16)
    return XLM_LAUNCH((reduce_rows<Op, E, O, thread_team, V>), xlm_cuda_blocks(units, thread_team::per_block), XLM_BLOCK, 0,
                      stream, x, s, used, to);
  if (along <= 1024)
    return XLM_LAUNCH((reduce_rows<Op, E, O, warp_team, V>), xlm_cuda_blocks(units, warp_team::per_block), XLM_BLOCK, 0,
                      stream, x, s, used, to);
  return XLM_LAUNCH((reduce_rows<Op, E, O, block_team, V>), xlm_cuda_blocks(units, 1), XLM_BLOCK, 0, stream, x, s, used, to);
}

template <class Op, class E, class O>
static xlm_launch_status reduce_step(const E *x, const reduce_shape &s, const int32_t *used, reduce_to<Op, O> to,
                                     void *stream) {
  constexpr int V = pack<E>::n;
  if (reduce_in_packs(&s, x, V, sizeof(E))) return reduce_launch<Op, E, O, V>(x, s, used, to, stream);
  return reduce_launch<Op, E, O, 1>(x, s, used, to, stream);
}

// Operand 0, of type E, reduced to result 0, of type O, times `scale`.
template <class Op, class E, class O> static xlm_status reduce_run(const xlm_call *c, float scale) {
  reduce_shape s = reduce_shape_of(c);
  if (!s.r.count) return XLM_OK;
  typename Op::state *parts = s.parts > 1 ? (typename Op::state *)c->workspace : NULL;
  const int32_t *used = s.per_used ? (const int32_t *)c->in[1] + xlm_call_elements(c, c->in_type[1]) - 1 : NULL;
  void *stream = xlm_cuda_stream(c);
  reduce_to<Op, O> to = {parts, (O *)c->out[0], scale};
  xlm_status done = xlm_cuda_launched(c, reduce_step<Op, E, O>((const E *)c->in[0], s, used, to, stream));
  if (done != XLM_OK || !parts) return done;
  reduce_shape second = reduce_shape_of_parts(&s);
  to.parts = NULL;
  return xlm_cuda_launched(c, reduce_step<Op, typename Op::state, O>(parts, second, NULL, to, stream));
}

// Of equal elements the first, in any order of joining.
struct first_largest {
  struct state {
    float most;
    int32_t at; // in the row
  };
  static __device__ __forceinline__ state start() { return {-INFINITY, INT32_MAX}; }
  static __device__ __forceinline__ void join(state &s, state o) {
    if (o.most > s.most || (o.most == s.most && o.at < s.at)) s = o;
  }
};

#endif
