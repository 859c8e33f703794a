// adamw: one pass over p, m, v and g, 16 bytes of each at a time. Learning rate, gradient factor and step
// number are read on the device; a block's first thread turns the step into the two factors of the bias
// corrections. The formula is the CPU's, term by term.
#include <cfloat>

#include "ops/cuda/cuda.h"

enum { P, M, V, G, SCALE, LR, STEP };
enum { BLOCK = 256, EACH = 4 };

struct adamw_settings {
  double wide_beta1, wide_beta2;
  float beta1, beta2, eps, decay;
  const float *scale, *lr, *step;
};

struct factors {
  float m, v; // 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

template <class T, int N>
__global__ void __launch_bounds__(BLOCK)
    adamw_update(float *p, float *m, float *v, const T *g, int64_t n, adamw_settings s) {
  XLM_SHARED(factors, fix);
  float scale = *s.scale, lr = *s.lr;
  if (!(fabsf(scale) <= FLT_MAX))
    return; // the gradient is not finite: parameters and moments stay as they are
  if (threadIdx.x == 0) {
    double t = *s.step;
    fix.m = (float)(1 / (1 - pow(s.wide_beta1, t)));
    fix.v = (float)(1 / sqrt(1 - pow(s.wide_beta2, t)));
  }
  __syncthreads(); // the factors are there
  float m_fix = fix.m, v_fix = fix.v;
  each<N>(n, [&](int64_t i, auto width) {
    constexpr int W = decltype(width)::n;
    vec<float, W> pi = load<W>(p + i), mi = load<W>(m + i), vi = load<W>(v + i);
    vec<T, W> gi = load<W>(g + i);
    for (int k = 0; k < W; k++) {
      float h = scale * to_float(gi.at[k]);
      mi.at[k] = s.beta1 * mi.at[k] + (1 - s.beta1) * h;
      vi.at[k] = s.beta2 * vi.at[k] + (1 - s.beta2) * h * h;
      pi.at[k] -= lr * (mi.at[k] * m_fix / (sqrtf(vi.at[k]) * v_fix + s.eps) + s.decay * pi.at[k]);
    }
    store(p + i, pi), store(m + i, mi), store(v + i, vi);
  });
}

template <class T, int N> static xlm_status launch(const xlm_call *c, int64_t n, const adamw_settings &s) {
  return xlm_cuda_launched(c, XLM_LAUNCH((adamw_update<T, N>), xlm_cuda_blocks(n, BLOCK * EACH * N), BLOCK, 0,
                                         xlm_cuda_stream(c), (float *)c->out[P], (float *)c->out[M],
                                         (float *)c->out[V], (const T *)c->in[G], n, s));
}

XLM_CUDA_RUN(adamw) {
  const xlm_attrs *as = &c->instr->attrs;
  adamw_settings s;
  s.wide_beta1 = xlm_attr_float(as, XLM_A_beta1, 0.9), s.wide_beta2 = xlm_attr_float(as, XLM_A_beta2, 0.95);
  s.beta1 = (float)s.wide_beta1, s.beta2 = (float)s.wide_beta2;
  s.eps = (float)xlm_attr_float(as, XLM_A_eps, 1e-8), s.decay = (float)xlm_attr_float(as, XLM_A_decay, 0);
  s.scale = (const float *)c->in[SCALE], s.lr = (const float *)c->in[LR], s.step = (const float *)c->in[STEP];
  int64_t n = xlm_call_elements(c, c->in_type[P]);
  if (!n) return XLM_OK;
  bool wide = xlm_cuda_aligned(c->in[G], 16);
  for (int i = P; i <= V; i++) wide = wide && xlm_cuda_aligned(c->out[i], 16);
  return xlm_cuda_float(c->in_type[G]->dtype, [&](auto t) {
    using T = decltype(t);
    return wide ? launch<T, 4>(c, n, s) : launch<T, 1>(c, n, s);
  });
}
