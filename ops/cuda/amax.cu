// amax along any dims (reduce_priv.h), and its gradient: dy at the first largest element of the row, 0 elsewhere, in two
// passes over the row.
#include "ops/cuda/reduce_priv.h"

struct largest_of {
  using state = float;
  static __device__ __forceinline__ float start() { return -INFINITY; }
  static __device__ __forceinline__ void add(float &s, float x) { s = fmaxf(s, x); }
  static __device__ __forceinline__ void join(float &s, float o) { s = fmaxf(s, o); }
  static __device__ __forceinline__ float result(float s) { return s; }
};

template <class T, class D, class Team>
__global__ void __launch_bounds__(XLM_BLOCK)
    amax_bwd_rows(const T *x, const D *dy, T *dx, const __grid_constant__ over_rows r) {
  for (int64_t row = (int64_t)blockIdx.x * Team::per_block + Team::index(); row < r.count;
       row += (int64_t)gridDim.x * Team::per_block) {
    int64_t base = over_offset(&r.outer, row);
    first_largest::state best = first_largest::start();
    for (int64_t i = Team::lane(); i < r.len; i += Team::size)
      first_largest::join(best, {to_float(x[base + over_offset(&r.inner, i)]), (int32_t)i});
    best = reduce_team<first_largest, Team>(best);
    for (int64_t i = Team::lane(); i < r.len; i += Team::size)
      dx[base + over_offset(&r.inner, i)] = from_float<T>(i == best.at ? to_float(dy[row]) : 0.0f);
  }
}

XLM_CUDA_RUN(amax) {
  return xlm_cuda_float(c->in_type[0]->dtype,
                        [&](auto t) { return reduce_run<largest_of, decltype(t), decltype(t)>(c, 1); });
}

template <class T, class D, class Team> static xlm_status bwd(const xlm_call *c, const over_rows &r) {
  return xlm_cuda_launched(c, XLM_LAUNCH((amax_bwd_rows<T, D, Team>), xlm_cuda_blocks(r.count, Team::per_block), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), (const T *)c->in[0], (const D *)c->in[1], (T *)c->out[0], r));
}

XLM_CUDA_RUN(amax_bwd) {
  over_rows r = over_of(c, c->in_type[0]);
  if (!r.count || !r.len) return XLM_OK;
  bool columns = r.outer.n && r.outer.stride[r.outer.n - 1] == 1; // neighbours in memory are of neighbouring rows
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_float(c->in_type[1]->dtype, [&](auto d) {
      using D = decltype(d);
      if (columns || r.len <= 16) return bwd<T, D, thread_team>(c, r);
      return r.len <= 1024 ? bwd<T, D, warp_team>(c, r) : bwd<T, D, block_team>(c, r);
    });
  });
}
