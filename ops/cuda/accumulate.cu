// accumulate: acc + g in acc's place; one pass, 16 bytes of acc at a time.
#include "ops/cuda/cuda.h"

enum { BLOCK = 256, EACH = 4 };

template <class T, int V>
__global__ void __launch_bounds__(BLOCK) add_to(float *acc, const T *g, int64_t n, bool first) {
  each<V>(n, [&](int64_t i, auto width) {
    constexpr int N = decltype(width)::n;
    vec<T, N> x = load<N>(g + i);
    vec<float, N> a = {};
    if (!first) a = load<N>(acc + i);
    for (int k = 0; k < N; k++) a.at[k] = first ? to_float(x.at[k]) : a.at[k] + to_float(x.at[k]);
    store(acc + i, a);
  });
}

template <class T, int V> static xlm_status launch(const xlm_call *c, int64_t n) {
  bool first = xlm_attr_int(&c->instr->attrs, XLM_A_store, 0);
  return xlm_cuda_launched(c,
                           XLM_LAUNCH((add_to<T, V>), xlm_cuda_blocks(n, BLOCK * EACH * V), BLOCK, 0,
                                      xlm_cuda_stream(c), (float *)c->out[0], (const T *)c->in[1], n, first));
}

XLM_CUDA_RUN(accumulate) {
  int64_t n = xlm_call_elements(c, c->in_type[1]);
  if (!n) return XLM_OK;
  bool wide = xlm_cuda_aligned(c->out[0], 16) && xlm_cuda_aligned(c->in[1], 16);
  return xlm_cuda_float(c->in_type[1]->dtype, [&](auto t) {
    using T = decltype(t);
    return wide ? launch<T, 4>(c, n) : launch<T, 1>(c, n);
  });
}
