// logsumexp along any dims, in one pass: the largest element so far and the sum of e^(x - largest), which is scaled when
// the largest rises (Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018). See reduce_priv.h.
#include "ops/cuda/reduce_priv.h"

struct log_sum_exp {
  struct state {
    float most, sum;
  };
  static __device__ __forceinline__ state start() { return {-INFINITY, 0}; }
  static __device__ __forceinline__ void add(state &s, float x) {
    if (x > s.most) {
      s.sum = s.sum * expf(s.most - x) + 1;
      s.most = x;
    } else {
      s.sum += expf(x - s.most);
    }
  }
  static __device__ __forceinline__ void join(state &s, state o) {
    if (o.sum == 0) return; // no elements
    if (o.most > s.most) {
      s.sum = s.sum * expf(s.most - o.most) + o.sum;
      s.most = o.most;
    } else {
      s.sum += o.sum * expf(o.most - s.most);
    }
  }
  static __device__ __forceinline__ float result(state s) { return s.most + logf(s.sum); }
};

XLM_CUDA_RUN(logsumexp) {
  return xlm_cuda_float(c->in_type[0]->dtype,
                        [&](auto t) { return reduce_run<log_sum_exp, decltype(t), float>(c, 1); });
}
