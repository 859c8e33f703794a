// See fused_sums_priv.h. A block per 32 neighbouring columns: warp w adds parts w, w + warps, .., the block its warps in
// order. With 8 warps that is the order of `sum` (reduce_shape_priv.h); more parts have more warps, since the kernel takes
// as long as its longest chain of reads.
#include "ops/cuda/cuda.h"
#include "ops/cuda/fused_sums_priv.h"
#include "ops/cuda/reduce_shape_priv.h"

enum { MOST_WARPS = 32 };

struct fused_tile {
  float of_warp[MOST_WARPS][XLM_WARP];
};

__global__ void __launch_bounds__(MOST_WARPS *XLM_WARP) add_parts(const __grid_constant__ xlm_fused_sums s) {
  XLM_SHARED(fused_tile, tile);
  int warps = (int)blockDim.x / XLM_WARP, warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  int64_t tiles = (s.len + XLM_WARP - 1) / XLM_WARP;
  for (int64_t unit = blockIdx.x; unit < tiles * s.n; unit += gridDim.x) {
    int64_t result = unit, column = over_split(&result, tiles) * XLM_WARP + lane;
    const float *from = s.from + result * s.parts * s.len + column;
    float sum = 0;
    if (column < s.len) {
      XLM_UNROLL(8)
      for (int64_t i = warp; i < s.parts; i += warps) sum += from[i * s.len];
    }
    tile.of_warp[warp][lane] = sum;
    __syncthreads(); // all warps' sums are there
    if (warp == 0 && column < s.len) {
      for (int w = 1; w < warps; w++) sum += tile.of_warp[w][lane];
      s.to[result][column] = sum;
    }
    __syncthreads(); // before the next columns
  }
}

xlm_status xlm_cuda_fused_sums(const xlm_call *c, const xlm_fused_sums *s) {
  int64_t units = (s->len + XLM_WARP - 1) / XLM_WARP * s->n;
  int warps = s->parts > REDUCE_PARTS ? (int)MOST_WARPS : (int)REDUCE_WARPS;
  return xlm_cuda_launched(c, XLM_LAUNCH(add_parts, xlm_cuda_blocks(units, 1), warps * XLM_WARP, 0, xlm_cuda_stream(c), *s));
}
