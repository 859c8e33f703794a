// A pair of a query and a key in kernels of attention: its score, probability and gradient.
#ifndef XLM_CUDA_ATTEND_MATH_PRIV_H
#define XLM_CUDA_ATTEND_MATH_PRIV_H

#include <type_traits>

#include "ops/cuda/attend_terms_priv.h"

// Calls f(whether there is a soft-cap) with a constant, so that loops over pairs do not ask each time.
template <class F> static __device__ __forceinline__ void attend_capped(const attend_shape &s, F f) {
  if (s.cap > 0)
    f(std::true_type{});
  else
    f(std::false_type{});
}

template <class C> static __device__ __forceinline__ float attend_score(const attend_shape &s, C, float product) {
  if constexpr (C::value)
    return s.cap * tanhf(product * s.factor);
  else
    return product * s.factor;
}

struct attend_pair {
  float p, dscore, ds; // probability; gradient of the score, and of scale * (q . k)
};

// product: q . k; dp: dout . v; added: to the score
template <class C>
static __device__ __forceinline__ attend_pair attend_gradient(const attend_shape &s, C, float product, float added, float dp,
                                                              attend_sums q) {
  if (added == -INFINITY) return {0, 0, 0};
  float x = product * s.factor, slope = 1;
  if constexpr (C::value) {
    float t = tanhf(x);
    x = s.cap * t, slope = 1 - t * t;
  }
  float p = exp2f(x + added - q.lse), dscore = p * (dp - q.delta);
  return {p, dscore, dscore * slope};
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
