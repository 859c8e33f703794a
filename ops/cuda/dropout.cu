// dropout and its gradient: the same function of the same mask, in one pass over memory. ops/dropout.c defines the counter
// of every element; four neighbours share a draw, so a thread takes as many neighbours as one access has.
#include "ops/cuda/cuda.h"
#include "runtime/base/philox.h"

struct drop_dim { // of those before the run
  int64_t size, first, offset, tail_offset; // as xlm_dim_global
  int64_t weight;                           // in the index; 0: the samples
};

struct drop_args {
  int n;
  drop_dim dim[XLM_MAX_RANK];
  int64_t total, run, run_at; // elements; of a run of neighbours; what its offset adds to the index
  uint64_t name;
  uint32_t threshold; // bits below it are dropped
  float scale;
};

static __device__ __forceinline__ uint32_t word(const uint32_t bits[4], uint64_t i) {
  uint32_t low = i & 1 ? bits[1] : bits[0], high = i & 1 ? bits[3] : bits[2];
  return i & 2 ? high : low;
}

template <class T, int V>
__global__ void __launch_bounds__(XLM_BLOCK)
    drop(const T *x, T *y, const __grid_constant__ drop_args a, const xlm_step_env *env) {
  xlm_philox key = xlm_philox_key(env->seed, a.name + (uint64_t)env->step);
  for (int64_t i = ((int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x) * V; i < a.total; i += (int64_t)gridDim.x * XLM_BLOCK * V) {
    int64_t rest = i, index = a.run_at + over_split(&rest, a.run), sample = 0;
    for (int k = a.n - 1; k >= 0; k--) {
      int64_t at = over_split(&rest, a.dim[k].size);
      at = at < a.dim[k].first ? a.dim[k].offset + at : a.dim[k].tail_offset + (at - a.dim[k].first);
      if (a.dim[k].weight)
        index += at * a.dim[k].weight;
      else
        sample = at + env->first_row;
    }
    vec<T, V> v = load<V>(x + i);
    for (int q = 0; q < V; q += 4) {
      uint32_t bits[4];
      xlm_philox_draw(key, (uint64_t)sample, (uint64_t)index / 4 + (uint64_t)q / 4, bits);
      for (int j = q; j < V && j < q + 4; j++) {
        uint32_t drawn = V == 1 ? word(bits, (uint64_t)index) : bits[j - q];
        v.at[j] = from_float<T>(drawn < a.threshold ? 0.0f : to_float(v.at[j]) * a.scale);
      }
    }
    store(y + i, v);
  }
}

// Splits the dims into the longest run of memory neighbours that are neighbours globally too, and those before it.
static void set_dims(drop_args *a, const xlm_call *c, const xlm_type *t) {
  int64_t weight = 1;
  bool running = true;
  a->run = 1, a->n = t->rank;
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = &c->dims[t->dim[i]];
    bool batch = !strcmp(d->name, "batch");
    running = running && !batch && !d->tail;
    if (running) a->run *= d->size, a->run_at += d->offset * weight, a->n = i;
    running = running && d->size == d->full; // a part of this dim leaves gaps before the next index
    a->dim[i] = {d->size, d->size - d->tail, d->offset, d->tail_offset, batch ? 0 : weight};
    if (!batch) weight *= d->full;
  }
}

static bool in_packs(const drop_args &a, int64_t v) { // do all packs begin at a draw's first word?
  bool fits = a.run % v == 0 && a.run_at % 4 == 0;
  for (int k = 0; k < a.n; k++) fits = fits && a.dim[k].weight % 4 == 0;
  return fits;
}

template <class T, int V> static xlm_status launch(const xlm_call *c, const drop_args &a) {
  return xlm_cuda_launched(c, XLM_LAUNCH((drop<T, V>), xlm_cuda_blocks(a.total, XLM_BLOCK * V), XLM_BLOCK, 0, xlm_cuda_stream(c),
                                         (const T *)c->in[0], (T *)c->out[0], a, xlm_cuda_env(c)));
}

XLM_CUDA_RUN(dropout) {
  double p = xlm_attr_float(&c->instr->attrs, XLM_A_p, 0), threshold = ceil(p * 0x1p32 - 0.5);
  drop_args a;
  memset(&a, 0, sizeof a);
  a.total = xlm_call_elements(c, c->out_type[0]);
  a.name = xlm_hash_mix(xlm_hash_text(xlm_attr_text(&c->instr->attrs, XLM_A_name, "")));
  a.threshold = threshold < 0x1p32 ? (uint32_t)threshold : UINT32_MAX;
  a.scale = (float)(1 / (1 - p));
  if (!a.total) return XLM_OK;
  set_dims(&a, c, c->out_type[0]);
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    constexpr int V = pack<T>::n;
    bool packs = in_packs(a, V) && xlm_cuda_aligned(c->in[0], 16) && xlm_cuda_aligned(c->out[0], 16);
    return packs ? launch<T, V>(c, a) : launch<T, 1>(c, a);
  });
}

XLM_CUDA_RUN(dropout_bwd) { return xlm_cuda_dropout(c); }
