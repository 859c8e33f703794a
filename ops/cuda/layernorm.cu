// layernorm and its gradient: a team of threads per row (norm_priv.h). The variance is taken around the mean, in a second
// pass over the row's registers.
#include "ops/cuda/norm_priv.h"

template <class Row>
__global__ void __launch_bounds__(XLM_BLOCK, NORM_BLOCKS) layernorm_rows(const __grid_constant__ norm_args a, float eps) {
  using team = typename Row::team;
  norm_each<Row>(a, [&](const Row &r) {
    float n = (float)a.r.len, sum = 0, squares = 0;
    r.each([&](float x, float) { sum += x; });
    float mean = team::sum(sum) / n;
    r.each([&](float x, float) { squares += (x - mean) * (x - mean); });
    float scale = norm_scale(team::sum(squares), n, eps);
    r.write([&](float x, float) { return layernorm_of(x, mean, scale); });
  });
}

// dx = s (dy - mean(dy) - h mean(h dy)), h = s (x - mean(x)), s = 1 / sqrt(variance + eps)
template <class Row>
__global__ void __launch_bounds__(XLM_BLOCK, NORM_BLOCKS) layernorm_bwd_rows(const __grid_constant__ norm_args a, float eps) {
  using team = typename Row::team;
  norm_each<Row>(a, [&](const Row &r) {
    float n = (float)a.r.len, sum = 0, dy_sum = 0, squares = 0, products = 0;
    r.each([&](float x, float dy) { sum += x, dy_sum += dy; });
    float mean = team::sum(sum) / n, dy_mean = team::sum(dy_sum) / n;
    r.each([&](float x, float dy) { squares += (x - mean) * (x - mean), products += (x - mean) * dy; });
    float s = norm_scale(team::sum(squares), n, eps), slope = layernorm_slope(s, team::sum(products), n);
    r.write([&](float x, float dy) { return layernorm_bwd_of(x, dy, mean, dy_mean, s, slope); });
  });
}

XLM_CUDA_RUN(layernorm) {
  return norm_run(c, [&](auto rows, const norm_args &a, unsigned blocks) {
    using Row = typename decltype(rows)::row;
    return XLM_LAUNCH(layernorm_rows<Row>, blocks, XLM_BLOCK, 0, xlm_cuda_stream(c), a, norm_eps(c));
  });
}

XLM_CUDA_RUN(layernorm_bwd) {
  return norm_run_bwd(c, [&](auto rows, const norm_args &a, unsigned blocks) {
    using Row = typename decltype(rows)::row;
    return XLM_LAUNCH(layernorm_bwd_rows<Row>, blocks, XLM_BLOCK, 0, xlm_cuda_stream(c), a, norm_eps(c));
  });
}
