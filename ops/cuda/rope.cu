// rope, in one pass over memory, in place if requested: a thread takes the pairs of one access at one position, computes
// their cosines and sines once and turns up to ROWS rows (heads, samples) of that position.
//
// The angle of pair j at position p is p * base^(-j / pairs). In float it would lose all digits beyond position 10^5, so
// it is computed in full turns, in double: p * turns[j], whose fraction is exact enough for float cosines at any position.
// It depends only on the absolute position: ranks with a later part of a sequence have the same bits.
#include <math.h>

#include "ops/cuda/cuda.h"
#include "runtime/device/rope.h"

enum { PAIRS = 256, ROWS = 8 }; // pairs per launch: their turns are arguments by value

struct rope_args {
  over_dims others; // dims beside those of positions, and feature: rows of one position
  int64_t rows, groups;
  over_dims places; // dims of positions, by strides of x
  int64_t n_places, first, offset, tail_offset, position; // as xlm_dim_global, and what is added
  const int32_t *integers; // positions that are an operand, one per place; at most one of the two is not NULL
  const float *reals;
  const float *factors; // of this launch's pairs, divide the turns; NULL: none
  int64_t pairs, at, step, gap; // of this launch; its first pair's first element, from pair to pair, within a pair
  float sign, scale;
  double turns[PAIRS];
};

struct rope_turns {
  double at[PAIRS];
};

static __device__ __forceinline__ double position_of(const rope_args &a, int64_t place) {
  if (a.integers) return (double)a.integers[place];
  if (a.reals) return (double)a.reals[place];
  return (double)((place < a.first ? a.offset + place : a.tail_offset + (place - a.first)) + a.position);
}

// V = 1: one pair, anywhere. Else accesses of V elements: of V pairs, or of V / 2 where a pair's two are neighbours.
template <class T, int V, bool neighbours>
__global__ void __launch_bounds__(XLM_BLOCK) rope_rows(const T *x, T *y, const __grid_constant__ rope_args a) {
  constexpr int n = V == 1 ? 1 : neighbours ? V / 2 : V;
  XLM_SHARED(rope_turns, turns);
  for (int j = (int)threadIdx.x; j < a.pairs; j += XLM_BLOCK) turns.at[j] = a.factors ? a.turns[j] / a.factors[j] : a.turns[j];
  __syncthreads(); // all turns are there
  int64_t chunks = a.pairs / n, units = a.n_places * a.groups * chunks;
  for (int64_t unit = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; unit < units; unit += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t rest = unit, pair = over_split(&rest, chunks) * n, group = over_split(&rest, a.groups);
    double p = position_of(a, rest);
    float cosine[n], sine[n];
    for (int j = 0; j < n; j++) {
      double t = p * turns.at[pair + j];
      sincospif((float)(2 * (t - rint(t))), &sine[j], &cosine[j]);
      cosine[j] *= a.scale, sine[j] *= a.sign * a.scale;
    }
    for (int64_t row = group; row < a.rows; row += a.groups) {
      int64_t at = a.at + over_offset(&a.places, rest) + over_offset(&a.others, row) + pair * a.step;
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
static rope_args args_of(const xlm_call *c, const xlm_rope &r) {
  const xlm_type *t = c->in_type[0], of_seq = {XLM_I32, 1, {r.seq}}, *p = r.seq ? &of_seq : c->in_type[1];
  rope_args a;
  memset(&a, 0, sizeof a);
  a.rows = 1, a.pairs = r.pairs, a.n_places = xlm_call_elements(c, p);
  for (int i = 0; i < t->rank; i++) {
    if (xlm_type_find(p, t->dim[i]) >= 0 || t->dim[i] == r.feature) continue;
    a.rows *= xlm_call_size(c, t, i);
    over_add(&a.others, xlm_call_size(c, t, i), xlm_call_inner(c, t, i));
  }
  a.groups = (a.rows + ROWS - 1) / ROWS;
  for (int i = 0; i < p->rank; i++) over_add(&a.places, xlm_call_size(c, p, i), xlm_call_stride(c, t, p->dim[i]));
  if (r.seq) {
    const xlm_dim_info *d = &c->dims[r.seq];
    a.first = d->size - d->tail, a.offset = d->offset, a.tail_offset = d->tail_offset, a.position = r.position;
  } else {
    a.integers = p->dtype == XLM_I32 ? (const int32_t *)c->in[1] : NULL;
    a.reals = p->dtype == XLM_I32 ? NULL : (const float *)c->in[1];
  }
  int64_t stride = xlm_call_stride(c, t, r.feature);
  a.at = r.start * stride;
  a.step = r.interleaved ? 2 * stride : stride, a.gap = r.interleaved ? stride : a.pairs * stride;
  a.sign = (float)r.sign, a.scale = (float)r.scale;
  return a;
}

// Do all accesses of v elements begin at multiples of v?
static bool in_packs(const rope_args &a, bool neighbours, int64_t v) {
  bool fits = (neighbours ? a.step == 2 && 2 * a.pairs % v == 0 : a.step == 1 && a.pairs % v == 0) && a.at % v == 0;
  for (int i = 0; i < a.places.n; i++) fits = fits && a.places.stride[i] % v == 0;
  for (int i = 0; i < a.others.n; i++) fits = fits && a.others.stride[i] % v == 0;
  return fits;
}

template <class T, int V, bool neighbours> static xlm_status launch(const xlm_call *c, const void *x, const rope_args &a) {
  int64_t units = a.n_places * a.groups * a.pairs / (V == 1 ? 1 : neighbours ? V / 2 : V);
  return xlm_cuda_launched(c, XLM_LAUNCH((rope_rows<T, V, neighbours>), xlm_cuda_blocks(units, XLM_BLOCK), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), (const T *)x, (T *)c->out[0], a));
}

template <class T>
static xlm_status run(const xlm_call *c, const void *x, const rope_args &a, bool packs, bool neighbours) {
  constexpr int V = pack<T>::n;
  if (!packs) return launch<T, 1, false>(c, x, a);
  return neighbours ? launch<T, V, true>(c, x, a) : launch<T, V, false>(c, x, a);
}

XLM_CUDA_RUN(rope) {
  const xlm_type *t = c->in_type[0];
  const xlm_rope r = xlm_rope_of(c);
  const void *x = c->in[0];
  if (!xlm_call_elements(c, t)) return XLM_OK;
  if (2 * r.pairs < r.size && x != c->out[0]) { // what is not turned; the rest follows in place
    xlm_status copied = xlm_cuda_copy(c, c->out[0], x, xlm_type_bytes(t, c->dims));
    if (copied != XLM_OK) return copied;
    x = c->out[0];
  }
  const rope_args all = args_of(c, r);
  bool packs = in_packs(all, r.interleaved, t->dtype == XLM_BF16 ? 8 : 4);
  packs = packs && xlm_cuda_aligned(c->in[0], 16) && xlm_cuda_aligned(c->out[0], 16);
  for (int64_t first = 0; first < all.pairs; first += PAIRS) {
    rope_args a = all;
    a.pairs = all.pairs - first, a.at = all.at + first * all.step;
    if (a.pairs > PAIRS) a.pairs = PAIRS;
    a.factors = r.factors ? (const float *)c->in[2] + first : NULL;
    for (int64_t j = 0; j < a.pairs; j++) a.turns[j] = xlm_rope_frequency(c, &r, first + j) / (2 * M_PI);
    xlm_status done =
        t->dtype == XLM_BF16 ? run<bf16>(c, x, a, packs, r.interleaved) : run<float>(c, x, a, packs, r.interleaved);
    if (done != XLM_OK) return done;
  }
  return XLM_OK;
}
