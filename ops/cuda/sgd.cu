// sgd: one pass over p, m and g, as adamw.
#include <cfloat>

#include "ops/cuda/cuda.h"

enum { P, M, G, SCALE, LR };
enum { BLOCK = 256, EACH = 4 };

struct sgd_settings {
  float beta, decay;
  bool nesterov;
  const float *scale, *lr;
};

template <class T, int N>
__global__ void __launch_bounds__(BLOCK)
    sgd_update(float *p, float *m, const T *g, int64_t n, sgd_settings s) {
  float scale = *s.scale, lr = *s.lr;
  if (!(fabsf(scale) <= FLT_MAX)) return; // the gradient is not finite: all stays as it is
  each<N>(n, [&](int64_t i, auto width) {
    constexpr int W = decltype(width)::n;
    vec<float, W> pi = load<W>(p + i), mi = load<W>(m + i);
    vec<T, W> gi = load<W>(g + i);
    for (int k = 0; k < W; k++) {
      float h = scale * to_float(gi.at[k]) + s.decay * pi.at[k];
      mi.at[k] = s.beta * mi.at[k] + h;
      pi.at[k] -= lr * (s.nesterov ? h + s.beta * mi.at[k] : mi.at[k]);
    }
    store(p + i, pi), store(m + i, mi);
  });
}

template <class T, int N> static xlm_status launch(const xlm_call *c, int64_t n, const sgd_settings &s) {
  return xlm_cuda_launched(c, XLM_LAUNCH((sgd_update<T, N>), xlm_cuda_blocks(n, BLOCK * EACH * N), BLOCK, 0,
                                         xlm_cuda_stream(c), (float *)c->out[P], (float *)c->out[M],
                                         (const T *)c->in[G], n, s));
}

XLM_CUDA_RUN(sgd) {
  const xlm_attrs *as = &c->instr->attrs;
  sgd_settings s;
  s.beta = (float)xlm_attr_float(as, XLM_A_beta1, 0), s.decay = (float)xlm_attr_float(as, XLM_A_decay, 0);
  s.nesterov = xlm_attr_int(as, XLM_A_nesterov, 0) != 0;
  s.scale = (const float *)c->in[SCALE], s.lr = (const float *)c->in[LR];
  int64_t n = xlm_call_elements(c, c->in_type[P]);
  if (!n) return XLM_OK;
  bool wide =
      xlm_cuda_aligned(c->in[G], 16) && xlm_cuda_aligned(c->out[P], 16) && xlm_cuda_aligned(c->out[M], 16);
  return xlm_cuda_float(c->in_type[G]->dtype, [&](auto t) {
    using T = decltype(t);
    return wide ? launch<T, 4>(c, n, s) : launch<T, 1>(c, n, s);
  });
}
