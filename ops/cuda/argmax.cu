// argmax: a thread, a warp or a block per row, by its length.
#include "ops/cuda/reduce_priv.h"

template <class T, class Team>
__global__ void __launch_bounds__(XLM_BLOCK) argmax_rows(const T *x, int32_t *y, const __grid_constant__ over_rows r) {
  for (int64_t row = (int64_t)blockIdx.x * Team::per_block + Team::index(); row < r.count;
       row += (int64_t)gridDim.x * Team::per_block) {
    int64_t base = over_offset(&r.outer, row);
    first_largest::state best = first_largest::start();
    for (int64_t i = Team::lane(); i < r.len; i += Team::size) {
      float v = to_float(x[base + over_offset(&r.inner, i)]);
      first_largest::join(best, {v, v == v ? (int32_t)i : INT32_MAX});
    }
    best = reduce_team<first_largest, Team>(best);
    if (Team::lane() == 0) y[row] = best.at == INT32_MAX ? 0 : best.at;
  }
}

template <class T, class Team> static xlm_status launch(const xlm_call *c, const over_rows &r) {
  return xlm_cuda_launched(c, XLM_LAUNCH((argmax_rows<T, Team>), xlm_cuda_blocks(r.count, Team::per_block), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), (const T *)c->in[0], (int32_t *)c->out[0], r));
}

XLM_CUDA_RUN(argmax) {
  over_rows r = over_of(c, c->in_type[0]);
  if (!r.count) return XLM_OK;
  bool columns = r.outer.n && r.outer.stride[r.outer.n - 1] == 1; // neighbours in memory are of neighbouring rows
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    if (columns || r.len <= 16) return launch<T, thread_team>(c, r);
    return r.len <= 1024 ? launch<T, warp_team>(c, r) : launch<T, block_team>(c, r);
  });
}
