// expert_count: a block per expert goes along all choices, which stay in the cache; there are few of both.
#include "ops/cuda/cuda.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP };

struct counts {
  int32_t of_warp[WARPS];
};

__global__ void __launch_bounds__(BLOCK)
    count(const int32_t *e, int64_t n, int64_t first, int64_t experts, float *out) {
  XLM_SHARED(counts, sum);
  for (int64_t expert = blockIdx.x; expert < experts; expert += gridDim.x) {
    int32_t mine = 0;
    for (int64_t i = threadIdx.x; i < n; i += BLOCK) mine += e[i] - first == expert;
    for (int d = XLM_WARP / 2; d; d >>= 1) mine += __shfl_xor_sync(XLM_ALL_LANES, mine, d);
    if (threadIdx.x % XLM_WARP == 0) sum.of_warp[threadIdx.x / XLM_WARP] = mine;
    __syncthreads(); // all warps' counts are there
    if (threadIdx.x == 0) {
      int32_t all = 0;
      for (int w = 0; w < WARPS; w++) all += sum.of_warp[w];
      out[expert] = (float)all;
    }
    __syncthreads(); // before the next expert's
  }
}

XLM_CUDA_RUN(expert_count) {
  const xlm_dim_info *experts = &c->dims[c->out_type[0]->dim[0]];
  if (!experts->size) return XLM_OK;
  return xlm_cuda_launched(c,
                           XLM_LAUNCH(count, xlm_cuda_blocks(experts->size, 1), BLOCK, 0, xlm_cuda_stream(c),
                                      (const int32_t *)c->in[0], xlm_call_elements(c, c->in_type[0]),
                                      experts->offset, experts->size, (float *)c->out[0]));
}
