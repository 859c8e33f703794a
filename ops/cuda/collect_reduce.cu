// The reduction over members: what makes a result the same on every member and in every backend. In f32 (bf16
// rounded once at the end), f64 or i32; `lse` in f64.
//
// Sums in f32 go axis by axis, outermost first: a sum over `dp` and `tp` adds the dp members of each tp
// position, then these sums, as on the CPU (ops/cpu/communicate/collect_reduce.c says why). Members lie
// outermost axis first, so they are taken with the outermost axis varying fastest, and a carry from one axis
// to the next ends a sum. 16 bytes of each member at a time.
#include "ops/cuda/collect_priv.h"

enum { BLOCK = 256, EACH = 2 };

struct summands { // mine, and those of the others: room + k * step elements
  const void *mine, *room;
  int64_t n, me, step, count;
  int n_axes; // of more than one member, outermost first; 1 in a group of one
  int64_t size[XLM_MAX_AXES], stride[XLM_MAX_AXES];
};

template <class T> static __device__ __forceinline__ const T *of_member(const summands &s, int64_t k) {
  return k == s.me ? (const T *)s.mine : (const T *)s.room + k * s.step;
}

// Adds v to the sum of axis 0 and carries complete sums on; true: *v is the sum of all.
template <int AXES, int N>
static __device__ __forceinline__ bool add_member(const summands &s, float (&sum)[AXES][N],
                                                  int64_t (&index)[AXES], float (&v)[N]) {
  XLM_UNROLL(8)
  for (int a = 0; a < AXES; a++) {
    for (int i = 0; i < N; i++) sum[a][i] = index[a] ? sum[a][i] + v[i] : v[i];
    if (++index[a] < (a < s.n_axes ? s.size[a] : 1)) return false;
    index[a] = 0;
    for (int i = 0; i < N; i++) v[i] = sum[a][i];
  }
  return true;
}

template <int AXES>
static __device__ __forceinline__ int64_t member_at(const summands &s, const int64_t (&index)[AXES]) {
  int64_t k = 0;
  XLM_UNROLL(8)
  for (int a = 0; a < AXES; a++) k += a < s.n_axes ? index[a] * s.stride[a] : 0;
  return k;
}

template <class T, int AXES, int V> __global__ void __launch_bounds__(BLOCK) sum_floats(summands s, T *out) {
  each<V>(s.count, [&](int64_t i, auto width) {
    constexpr int N = decltype(width)::n;
    float sum[AXES][N] = {}, v[N];
    int64_t index[AXES] = {};
    vec<T, N> x;
    do {
      x = load<N>(of_member<T>(s, member_at(s, index)) + i);
      for (int k = 0; k < N; k++) v[k] = to_float(x.at[k]);
    } while (!add_member(s, sum, index, v));
    for (int k = 0; k < N; k++) x.at[k] = from_float<T>(v[k]);
    store(out + i, x);
  });
}

struct add_two {
  static __device__ __forceinline__ int32_t of(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
  }
  static __device__ __forceinline__ double of(double a, double b) { return a + b; }
};

struct larger { // not a number stays
  static __device__ __forceinline__ int32_t of(int32_t a, int32_t b) { return b > a ? b : a; }
  template <class T> static __device__ __forceinline__ T of(T a, T b) { return more(a, b) ? b : a; }
  static __device__ __forceinline__ bool more(double a, double b) { return b > a || b != b; }
  static __device__ __forceinline__ bool more(float a, float b) { return b > a || b != b; }
  static __device__ __forceinline__ bool more(bf16 a, bf16 b) { return more(to_float(a), to_float(b)); }
};

template <class T, class Op> __global__ void __launch_bounds__(BLOCK) fold(summands s, T *out) {
  each<1>(s.count, [&](int64_t i, auto) {
    T x = of_member<T>(s, 0)[i];
    for (int64_t k = 1; k < s.n; k++) x = Op::of(x, of_member<T>(s, k)[i]);
    out[i] = x;
  });
}

static __device__ __forceinline__ double wide(double x) {
  return x;
}
static __device__ __forceinline__ double wide(float x) {
  return x;
}
static __device__ __forceinline__ double wide(bf16 x) {
  return to_float(x);
}
template <class T> static __device__ __forceinline__ T narrow(double x) {
  return from_float<T>((float)x);
}
template <> __device__ __forceinline__ double narrow<double>(double x) {
  return x;
}

template <class T> __global__ void __launch_bounds__(BLOCK) add_exponentials(summands s, T *out) {
  each<1>(s.count, [&](int64_t i, auto) { // most + log(sum(exp(x - most))); all -inf stays -inf
    double most = wide(of_member<T>(s, 0)[i]), sum = 0;
    for (int64_t k = 1; k < s.n; k++) most = larger::of(most, wide(of_member<T>(s, k)[i]));
    bool infinite = most == (double)INFINITY || most == -(double)INFINITY;
    for (int64_t k = 0; k < s.n; k++) {
      double x = wide(of_member<T>(s, k)[i]);
      sum += infinite ? 0.0 : exp(x - most);
    }
    out[i] = narrow<T>(infinite ? most : most + log(sum));
  });
}

// ---- launches

template <class T, int AXES> static xlm_status launch_sum(const xlm_call *c, const summands &s, void *out) {
  constexpr int V = pack<T>::n;
  void *stream = xlm_cuda_stream(c);
  bool wide =
      ((uintptr_t)s.mine | (uintptr_t)s.room | (uintptr_t)out | (uintptr_t)(s.step * (int64_t)sizeof(T))) %
          16 ==
      0;
  if (wide)
    return xlm_cuda_launched(c,
                             XLM_LAUNCH((sum_floats<T, AXES, V>), xlm_cuda_blocks(s.count, BLOCK * EACH * V),
                                        BLOCK, 0, stream, s, (T *)out));
  return xlm_cuda_launched(c, XLM_LAUNCH((sum_floats<T, AXES, 1>), xlm_cuda_blocks(s.count, BLOCK * EACH),
                                         BLOCK, 0, stream, s, (T *)out));
}

template <class T> static xlm_status sum_axes(const xlm_call *c, const summands &s, void *out) {
  return s.n_axes == 1 ? launch_sum<T, 1>(c, s, out) : launch_sum<T, XLM_MAX_AXES>(c, s, out);
}

template <class T, class Op> static xlm_status fold_all(const xlm_call *c, const summands &s, void *out) {
  return xlm_cuda_launched(c, XLM_LAUNCH((fold<T, Op>), xlm_cuda_blocks(s.count, BLOCK * EACH), BLOCK, 0,
                                         xlm_cuda_stream(c), s, (T *)out));
}

template <class T> static xlm_status add_exps(const xlm_call *c, const summands &s, void *out) {
  return xlm_cuda_launched(c, XLM_LAUNCH(add_exponentials<T>, xlm_cuda_blocks(s.count, BLOCK * EACH), BLOCK,
                                         0, xlm_cuda_stream(c), s, (T *)out));
}

typedef xlm_status reduction(const xlm_call *c, const summands &s, void *out);

static reduction *reduction_of(int kind, xlm_dtype t) {
  static const struct {
    int kind;
    xlm_dtype dtype;
    reduction *run;
  } table[] = {
      {XLM_REDUCTION_SUM, XLM_F32, sum_axes<float>},
      {XLM_REDUCTION_SUM, XLM_BF16, sum_axes<bf16>},
      {XLM_REDUCTION_SUM, XLM_F64, fold_all<double, add_two>},
      {XLM_REDUCTION_SUM, XLM_I32, fold_all<int32_t, add_two>},
      {XLM_REDUCTION_MAX, XLM_F32, fold_all<float, larger>},
      {XLM_REDUCTION_MAX, XLM_BF16, fold_all<bf16, larger>},
      {XLM_REDUCTION_MAX, XLM_F64, fold_all<double, larger>},
      {XLM_REDUCTION_MAX, XLM_I32, fold_all<int32_t, larger>},
      {XLM_REDUCTION_LSE, XLM_F32, add_exps<float>},
      {XLM_REDUCTION_LSE, XLM_BF16, add_exps<bf16>},
      {XLM_REDUCTION_LSE, XLM_F64, add_exps<double>},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].dtype == t && table[i].kind == kind) return table[i].run;
  return NULL;
}

static void find_axes(summands *s, const collect *g) {
  const xlm_link *l = g->call->link;
  int64_t stride = 1;
  for (int a = 0; l && a < l->mesh.n; a++)
    if (g->axes >> a & 1 && l->mesh.size[a] > 1) s->size[s->n_axes++] = l->mesh.size[a];
  for (int i = s->n_axes; i-- > 0; stride *= s->size[i]) s->stride[i] = stride;
  if (!s->n_axes) s->size[s->n_axes++] = 1;
}

xlm_status collect_reduce(const collect *g, int kind, const void *mine, int64_t step, int64_t count,
                          void *out) {
  xlm_dtype t = g->call->in_type[0]->dtype;
  summands s = {};
  s.mine = mine, s.room = g->room, s.n = g->n, s.me = g->me, s.step = step, s.count = count;
  find_axes(&s, g);
  reduction *run = reduction_of(kind, t);
  XLM_ASSERT(run, "no reduction %s of %s", xlm_enum_name(XLM_ENUM_REDUCTION, kind), xlm_dtype_name(t));
  return count ? run(g->call, s, out) : XLM_OK;
}
