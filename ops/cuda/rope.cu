// rope, in one pass over memory, in place if requested: a thread takes the pairs of one access at one position, computes
// their cosines and sines once and turns up to ROWS rows (heads, samples) of that position.
//
// The angle of pair j at position p is p * base^(-j / pairs). In float it would lose all digits beyond position 10^5, so
// it is computed in full turns, in double: p * turns[j], whose fraction is exact enough for float cosines at any position.
// It depends only on the absolute position: ranks with a later part of a sequence have the same bits.
#include <math.h>

#include "ops/cuda/cuda.h"

enum { PAIRS = 256, ROWS = 8 }; // pairs per launch: their turns are arguments by value

struct rope_args {
  over_dims others; // dims beside seq and feature: rows of one position
  int64_t rows, groups;
  int64_t seq, seq_stride, first, offset, tail_offset, position; // as xlm_dim_global, and what is added
  int64_t pairs, at, step, gap; // of this launch; its first pair's first element, from pair to pair, within a pair
  float sign;
  double turns[PAIRS];
};

struct rope_turns {
  double at[PAIRS];
};

// V = 1: one pair, anywhere. Else accesses of V elements: of V pairs, or of V / 2 where a pair's two are neighbours.
template <class T, int V, bool neighbours>
__global__ void __launch_bounds__(XLM_BLOCK) rope_rows(const T *x, T *y, const __grid_constant__ rope_args a) {
  constexpr int n = V == 1 ? 1 : neighbours ? V / 2 : V;
  XLM_SHARED(rope_turns, turns);
  for (int j = (int)threadIdx.x; j < a.pairs; j += XLM_BLOCK) turns.at[j] = a.turns[j];
  __syncthreads(); // all turns are there
  int64_t chunks = a.pairs / n, units = a.seq * a.groups * chunks;
  for (int64_t unit = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; unit < units; unit += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t rest = unit, pair = over_split(&rest, chunks) * n, group = over_split(&rest, a.groups);
    double p = (double)((rest < a.first ? a.offset + rest : a.tail_offset + (rest - a.first)) + a.position);
    float cosine[n], sine[n];
    for (int j = 0; j < n; j++) {
      double t = p * turns.at[pair + j];
      sincospif((float)(2 * (t - rint(t))), &sine[j], &cosine[j]);
      sine[j] *= a.sign;
    }
    for (int64_t row = group; row < a.rows; row += a.groups) {
      int64_t at = a.at + rest * a.seq_stride + over_offset(&a.others, row) + pair * a.step;
      if constexpr (V > 1 && neighbours) {
        vec<T, V> v = load<V>(x + at);
        for (int j = 0; j < n; j++) {
          float s = to_float(v.at[2 * j]), t = to_float(v.at[2 * j + 1]);
          v.at[2 * j] = from_float<T>(s * cosine[j] - t * sine[j]);
          v.at[2 * j + 1] = from_float<T>(t * cosine[j] + s * sine[j]);
        }
        store(y + at, v);
      } else {
        vec<T, V> v = load<V>(x + at), w = load<V>(x + at + a.gap);
        for (int j = 0; j < n; j++) {
          float s = to_float(v.at[j]), t = to_float(w.at[j]);
          v.at[j] = from_float<T>(s * cosine[j] - t * sine[j]);
          w.at[j] = from_float<T>(t * cosine[j] + s * sine[j]);
        }
        store(y + at, v), store(y + at + a.gap, w);
      }
    }
  }
}

// All of it but the turns, for a launch of all pairs.
static rope_args args_of(const xlm_call *c, xlm_dim seq, xlm_dim feature) {
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *t = c->in_type[0];
  const xlm_dim_info *d = &c->dims[seq];
  rope_args a;
  memset(&a, 0, sizeof a);
  a.rows = 1, a.pairs = c->dims[feature].size / 2;
  for (int i = 0; i < t->rank; i++) {
    if (t->dim[i] == seq || t->dim[i] == feature) continue;
    a.rows *= xlm_call_size(c, t, i);
    over_add(&a.others, xlm_call_size(c, t, i), xlm_call_inner(c, t, i));
  }
  a.groups = (a.rows + ROWS - 1) / ROWS;
  a.seq = d->size, a.seq_stride = xlm_call_stride(c, t, seq);
  a.first = d->size - d->tail, a.offset = d->offset, a.tail_offset = d->tail_offset;
  a.position = xlm_attr_int(as, XLM_A_position, 0);
  bool neighbours = xlm_attr_int(as, XLM_A_interleaved, 0);
  int64_t stride = xlm_call_stride(c, t, feature);
  a.step = neighbours ? 2 * stride : stride, a.gap = neighbours ? stride : a.pairs * stride;
  a.sign = xlm_attr_int(as, XLM_A_inverse, 0) ? -1.0f : 1.0f;
  return a;
}

// Do all accesses of v elements begin at multiples of v?
static bool in_packs(const rope_args &a, bool neighbours, int64_t v) {
  bool fits = (neighbours ? a.step == 2 && 2 * a.pairs % v == 0 : a.step == 1 && a.pairs % v == 0) && a.seq_stride % v == 0;
  for (int i = 0; i < a.others.n; i++) fits = fits && a.others.stride[i] % v == 0;
  return fits;
}

template <class T, int V, bool neighbours> static xlm_status launch(const xlm_call *c, const rope_args &a) {
  int64_t units = a.seq * a.groups * a.pairs / (V == 1 ? 1 : neighbours ? V / 2 : V);
  return xlm_cuda_launched(c, XLM_LAUNCH((rope_rows<T, V, neighbours>), xlm_cuda_blocks(units, XLM_BLOCK), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), (const T *)c->in[0], (T *)c->out[0], a));
}

template <class T> static xlm_status run(const xlm_call *c, const rope_args &a, bool packs, bool neighbours) {
  constexpr int V = pack<T>::n;
  if (!packs) return launch<T, 1, false>(c, a);
  return neighbours ? launch<T, V, true>(c, a) : launch<T, V, false>(c, a);
}

XLM_CUDA_RUN(rope) {
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *t = c->in_type[0];
  xlm_dim seq[XLM_MAX_RANK], feature[XLM_MAX_RANK];
  xlm_attr_dims(as, XLM_A_seq, seq);
  xlm_attr_dims(as, XLM_A_feature, feature);
  if (!xlm_call_elements(c, t)) return XLM_OK;
  rope_args all = args_of(c, seq[0], feature[0]);
  bool neighbours = xlm_attr_int(as, XLM_A_interleaved, 0);
  bool packs = in_packs(all, neighbours, t->dtype == XLM_BF16 ? 8 : 4);
  packs = packs && xlm_cuda_aligned(c->in[0], 16) && xlm_cuda_aligned(c->out[0], 16);
  double base = xlm_attr_float(as, XLM_A_base, 10000);
  for (int64_t first = 0; first < all.pairs; first += PAIRS) {
    rope_args a = all;
    a.pairs = all.pairs - first, a.at = first * all.step;
    if (a.pairs > PAIRS) a.pairs = PAIRS;
    for (int64_t j = 0; j < a.pairs; j++) a.turns[j] = pow(base, -(double)(first + j) / (double)all.pairs) / (2 * M_PI);
    xlm_status done = t->dtype == XLM_BF16 ? run<bf16>(c, a, packs, neighbours) : run<float>(c, a, packs, neighbours);
    if (done != XLM_OK) return done;
  }
  return XLM_OK;
}
