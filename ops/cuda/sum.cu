// sum and mean, along any dims: a mean is a sum times `scale`. See reduce_priv.h.
#include "ops/cuda/reduce_priv.h"

struct sum_of {
  using state = float;
  static __device__ __forceinline__ float start() { return 0; }
  static __device__ __forceinline__ void add(float &s, float x) { s += x; }
  static __device__ __forceinline__ void join(float &s, float o) { s += o; }
  static __device__ __forceinline__ float result(float s) { return s; }
};

static xlm_status run(const xlm_call *c, double scale) {
  return xlm_cuda_float(c->in_type[0]->dtype,
                        [&](auto t) { return reduce_run<sum_of, decltype(t), float>(c, (float)scale); });
}

XLM_CUDA_RUN(sum) { return run(c, 1); }

XLM_CUDA_RUN(mean) { return run(c, xlm_attr_float(&c->instr->attrs, XLM_A_scale, 1)); }
