// adamw: one pass over p, m, v and g, 16 bytes of each at a time, for many parameters at once: most of a
// model's are so small that a kernel for each would take longer to launch than to run. A block goes through
// pieces of BLOCK x EACH accesses, each of one parameter.
//
// Learning rate, gradient factor and step number are read on the device; a block's first thread turns the
// step into the two factors of the bias corrections. The formula is the CPU's, term by term.
#include <cfloat>

#include "ops/cuda/cuda.h"

enum { P, M, V, G, SCALE, LR, STEP };
enum { BLOCK = 256, EACH = 4, RESIDENT = 5 }; // blocks per multiprocessor, by their registers
enum { MOST = 72 };                           // as many parameters as the arguments of a kernel may hold

struct adamw_settings {
  double wide_beta1, wide_beta2;
  float beta1, beta2, eps;
  const float *scale, *lr, *step;
};

struct adamw_parameter {
  float *p, *m, *v;
  const void *g;
  int64_t n;
  float decay;
};

struct adamw_list {
  int n, pieces;   // pieces: of all
  int first[MOST]; // of a parameter's pieces
  adamw_parameter at[MOST];
};
static_assert(sizeof(adamw_list) + sizeof(adamw_settings) <= 4096,
              "more than the arguments of a kernel may take");

struct factors {
  float m, v; // 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

static __device__ __forceinline__ int parameter_of(const adamw_list &l, int piece) {
  int low = 0, high = l.n; // first[low] <= piece < first[high]
  while (high - low > 1) {
    int middle = (low + high) / 2;
    *(l.first[middle] <= piece ? &low : &high) = middle;
  }
  return low;
}

template <class T, int N>
static __device__ __forceinline__ void update(const adamw_parameter &x, int64_t i, float scale, float lr,
                                              factors fix, const adamw_settings &s) {
  vec<float, N> pi = load<N>(x.p + i), mi = load<N>(x.m + i), vi = load<N>(x.v + i);
  vec<T, N> gi = load<N>((const T *)x.g + i);
  for (int k = 0; k < N; k++) {
    float h = scale * to_float(gi.at[k]);
    mi.at[k] = s.beta1 * mi.at[k] + (1 - s.beta1) * h;
    vi.at[k] = s.beta2 * vi.at[k] + (1 - s.beta2) * h * h;
    pi.at[k] -= lr * (mi.at[k] * fix.m / (sqrtf(vi.at[k]) * fix.v + s.eps) + x.decay * pi.at[k]);
  }
  store(x.p + i, pi), store(x.m + i, mi), store(x.v + i, vi);
}

template <class T, int N>
__global__ void __launch_bounds__(BLOCK)
    adamw_update(const __grid_constant__ adamw_list l, adamw_settings s) {
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
  for (int piece = (int)blockIdx.x; piece < l.pieces; piece += (int)gridDim.x) {
    int at = parameter_of(l, piece);
    adamw_parameter x = l.at[at];
    int64_t begin = (int64_t)(piece - l.first[at]) * (BLOCK * EACH * N) + threadIdx.x * N;
    XLM_UNROLL(EACH) for (int e = 0; e < EACH; e++) {
      int64_t i = begin + (int64_t)e * BLOCK * N;
      if (i + N <= x.n) {
        update<T, N>(x, i, scale, lr, fix, s);
      } else {
        for (; i < x.n; i++) update<T, 1>(x, i, scale, lr, fix, s);
      }
    }
  }
}

static adamw_settings settings_of(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  adamw_settings s;
  s.wide_beta1 = xlm_attr_float(as, XLM_A_beta1, 0.9), s.wide_beta2 = xlm_attr_float(as, XLM_A_beta2, 0.95);
  s.beta1 = (float)s.wide_beta1, s.beta2 = (float)s.wide_beta2;
  s.eps = (float)xlm_attr_float(as, XLM_A_eps, 1e-8);
  s.scale = (const float *)c->in[SCALE], s.lr = (const float *)c->in[LR], s.step = (const float *)c->in[STEP];
  return s;
}

static adamw_parameter parameter(const xlm_call *c) {
  return {(float *)c->out[P],
          (float *)c->out[M],
          (float *)c->out[V],
          c->in[G],
          xlm_call_elements(c, c->in_type[P]),
          (float)xlm_attr_float(&c->instr->attrs, XLM_A_decay, 0)};
}

static bool is_wide(const adamw_parameter &x) {
  return xlm_cuda_aligned(x.p, 16) && xlm_cuda_aligned(x.m, 16) && xlm_cuda_aligned(x.v, 16) &&
         xlm_cuda_aligned(x.g, 16);
}

template <class T, int N> static xlm_status launch(const xlm_call *c, adamw_list &l) {
  const int64_t piece = BLOCK * EACH * N;
  l.pieces = 0;
  for (int i = 0; i < l.n; i++) {
    l.first[i] = l.pieces;
    l.pieces += (int)((l.at[i].n + piece - 1) / piece);
  }
  if (!l.pieces) return XLM_OK;
  return xlm_cuda_launched(c, XLM_LAUNCH((adamw_update<T, N>), xlm_cuda_resident(l.pieces, RESIDENT), BLOCK,
                                         0, xlm_cuda_stream(c), l, settings_of(c)));
}

static xlm_status update_list(const xlm_call *const *calls, int n) { // n <= MOST
  adamw_list l;
  bool wide = true;
  l.n = n;
  for (int i = 0; i < n; i++) {
    l.at[i] = parameter(calls[i]);
    wide = wide && is_wide(l.at[i]);
  }
  return xlm_cuda_float(calls[0]->in_type[G]->dtype, [&](auto t) {
    using T = decltype(t);
    return wide ? launch<T, 4>(calls[0], l) : launch<T, 1>(calls[0], l);
  });
}

extern "C" xlm_status xlm_cuda_adamw_all(const xlm_call *const *calls, int n) {
  for (int i = 0; i < n; i += MOST) XLM_TRY(update_list(calls + i, n - i < MOST ? n - i : MOST));
  return XLM_OK;
}

extern "C" bool xlm_cuda_adamw_joins(const xlm_call *first,
                                     const xlm_call *next) { // a parameter has its own decay
  adamw_settings a = settings_of(first), b = settings_of(next);
  return a.wide_beta1 == b.wide_beta1 && a.wide_beta2 == b.wide_beta2 && a.eps == b.eps &&
         a.scale == b.scale && a.lr == b.lr && a.step == b.step &&
         first->in_type[G]->dtype == next->in_type[G]->dtype;
}

XLM_CUDA_RUN(adamw) {
  return update_list(&c, 1);
}
