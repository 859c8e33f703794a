// A pair of a query and a key in kernels of attention: its score, probability and gradient.
#ifndef XLM_CUDA_ATTEND_MATH_PRIV_H
#define XLM_CUDA_ATTEND_MATH_PRIV_H

#include "ops/cuda/attend_priv.h"
#include "ops/cuda/cuda.h"

static __device__ __forceinline__ float attend_score(const attend_shape &s, float product) {
  return s.cap > 0 ? s.cap * tanhf(product * s.factor) : product * s.factor;
}

struct attend_pair {
  float p, ds; // probability; gradient of scale * (q . k)
};

// product: q . k; dp: dout . v
static __device__ __forceinline__ attend_pair attend_gradient(const attend_shape &s, float product, float dp, attend_sums q) {
  float x = product * s.factor, slope = 1;
  if (s.cap > 0) {
    float t = tanhf(x);
    x = s.cap * t, slope = 1 - t * t;
  }
  float p = exp2f(x - q.lse);
  return {p, p * (dp - q.delta) * slope};
}

// The largest score that a query has seen so far, of `most` and `now`; *keep: what its sums are multiplied by.
static __device__ __forceinline__ float attend_raise(float most, float now, float *keep) {
  float raised = fmaxf(most, now);
  *keep = most == -INFINITY ? 0.0f : exp2f(most - raised);
  return raised;
}

static __device__ __forceinline__ float attend_lse(float most, float sum) { // natural; of no key: -infinity
  const float ln2 = 0.693147180559945309f;
  return sum == 0 ? -INFINITY : (most + log2f(sum)) * ln2;
}

#endif
