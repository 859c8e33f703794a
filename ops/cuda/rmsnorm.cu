// rmsnorm and its gradient: a team of threads per row (norm_priv.h).
#include "ops/cuda/norm_priv.h"

template <class Row>
__global__ void __launch_bounds__(XLM_BLOCK, NORM_BLOCKS) rmsnorm_rows(const __grid_constant__ norm_args a, float eps) {
  using team = typename Row::team;
  norm_each<Row>(a, [&](const Row &r) {
    float xx = 0;
    r.each([&](float x, float) { xx += x * x; });
    float scale = norm_scale(team::sum(xx), (float)a.r.len, eps);
    r.write([&](float x, float) { return rmsnorm_of(x, scale); });
  });
}

// dx = s dy - s^3 x mean(x dy), s = 1 / sqrt(mean(x^2) + eps)
template <class Row>
__global__ void __launch_bounds__(XLM_BLOCK, NORM_BLOCKS) rmsnorm_bwd_rows(const __grid_constant__ norm_args a, float eps) {
  using team = typename Row::team;
  norm_each<Row>(a, [&](const Row &r) {
    float xx = 0, xdy = 0;
    r.each([&](float x, float dy) { xx += x * x, xdy += x * dy; });
    float n = (float)a.r.len, s = norm_scale(team::sum(xx), n, eps), slope = rmsnorm_slope(s, team::sum(xdy), n);
    r.write([&](float x, float dy) { return rmsnorm_bwd_of(x, dy, s, slope); });
  });
}

XLM_CUDA_RUN(rmsnorm) {
  return norm_run(c, [&](auto rows, const norm_args &a, unsigned blocks) {
    using Row = typename decltype(rows)::row;
    return XLM_LAUNCH(rmsnorm_rows<Row>, blocks, XLM_BLOCK, 0, xlm_cuda_stream(c), a, norm_eps(c));
  });
}

XLM_CUDA_RUN(rmsnorm_bwd) {
  return norm_run_bwd(c, [&](auto rows, const norm_args &a, unsigned blocks) {
    using Row = typename decltype(rows)::row;
    return XLM_LAUNCH(rmsnorm_bwd_rows<Row>, blocks, XLM_BLOCK, 0, xlm_cuda_stream(c), a, norm_eps(c));
  });
}
