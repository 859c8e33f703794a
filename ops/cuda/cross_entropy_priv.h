// Rows of logits, for the kernels of cross_entropy, of its gradient and of both at once, which must give the
// same bits.
#ifndef XLM_CUDA_CROSS_ENTROPY_PRIV_H
#define XLM_CUDA_CROSS_ENTROPY_PRIV_H

#include <cfloat>

#include "ops/cuda/cuda.h"

enum { SHORT = 1024 }; // rows up to it go to warps

struct token_rows {
  int64_t tokens, vocab, stride; // stride: between elements of a row; rows of stride 1 lie one behind another
  over_dims logits, targets;     // by token, in the order of the logits
  int64_t first, full, ignore;   // the vocabulary's part that is here begins at `first` of `full`
};

static __device__ __forceinline__ bool counts(const token_rows &r, int32_t target) {
  return target >= 0 && target < r.full && target != r.ignore;
}

// In the row; -1: not here.
static __device__ __forceinline__ int64_t place_of(const token_rows &r, int32_t target) {
  int64_t at = target - r.first;
  return counts(r, target) && at >= 0 && at < r.vocab ? at : -1;
}

static __device__ __forceinline__ float exp_of(float x) {
  return exp2f(x * 1.4426950408889634f);
}

// A row of n elements in packs of N neighbours, each at a multiple of 16 bytes: elements before the first and
// behind the last go one by one. aligned_with: another row that is accessed alike.
struct row_packs {
  int64_t head, tail, n; // the packs are [head, tail)
};

template <class T>
static __device__ __forceinline__ row_packs packs_of(const T *row, const T *aligned_with, int64_t n) {
  int64_t head = (int64_t)((16 - (uintptr_t)row % 16) % 16 / sizeof(T));
  if (head > n || ((uintptr_t)row - (uintptr_t)aligned_with) % 16) head = n;
  return {head, head + (n - head) / pack<T>::n * pack<T>::n, n};
}

// All elements of a row by a team: f(i, pack of neighbours from i on).
template <class Team, class T, class F>
static __device__ __forceinline__ void along(const T *row, const T *aligned_with, int64_t n, F f) {
  constexpr int N = pack<T>::n;
  row_packs p = packs_of(row, aligned_with, n);
  for (int64_t i = Team::lane(); i < p.head; i += Team::size) f(i, load<1>(row + i));
  for (int64_t i = p.head + (int64_t)Team::lane() * N; i < p.tail; i += Team::size * N)
    f(i, load<N>(row + i));
  for (int64_t i = p.tail + Team::lane(); i < n; i += Team::size) f(i, load<1>(row + i));
}

struct running { // sum of e^(x - most) so far
  float most = -FLT_MAX, sum = 0;
};

template <class T, int N> static __device__ __forceinline__ void add(running &r, const vec<T, N> &x) {
  float most = r.most;
  for (int k = 0; k < N; k++) most = fmaxf(most, to_float(x.at[k]));
  if (most > r.most) r.sum *= exp_of(r.most - most), r.most = most;
  for (int k = 0; k < N; k++) r.sum += exp_of(to_float(x.at[k]) - most);
}

struct row_gradient {
  float lse, factor;
  int64_t place; // of the target; -1: not in this part
  bool counts;
};

static __device__ __forceinline__ float gradient_at(const row_gradient &g, int64_t i, float x) {
  return g.counts ? (exp_of(x - g.lse) - (i == g.place ? 1.0f : 0.0f)) * g.factor : 0;
}

static inline token_rows rows_of(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  xlm_dim vocab[XLM_MAX_RANK];
  token_rows r = {};
  xlm_attr_dims(&c->instr->attrs, XLM_A_vocab, vocab);
  const xlm_dim_info *v = &c->dims[vocab[0]];
  r.tokens = 1;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    if (d == vocab[0]) continue;
    r.tokens *= c->dims[d].size;
    over_add(&r.logits, c->dims[d].size, xlm_call_stride(c, t, d));
    over_add(&r.targets, c->dims[d].size, xlm_call_stride(c, c->in_type[1], d));
  }
  r.vocab = v->size, r.stride = xlm_call_stride(c, t, vocab[0]), r.first = v->offset, r.full = v->full;
  r.ignore = xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1);
  return r;
}

// The tokens of all ranks to those here, if the others have as many of them: for counts that no operand
// gives.
static inline double share_of(const xlm_call *c, const xlm_type *tokens) {
  double share = 1;
  for (int i = 0; i < tokens->rank; i++) {
    const xlm_dim_info *d = &c->dims[tokens->dim[i]];
    if (d->size) share *= (double)d->full / (double)d->size;
  }
  return share;
}

// Sums over tokens (cross_entropy.cu). *valid = as many targets as count, of all ranks; *mean = sum(loss) /
// *valid, where valid NULL stands for that count.
xlm_status cross_entropy_count(const xlm_call *c, const token_rows &r, float *valid);
xlm_status cross_entropy_mean(const xlm_call *c, const token_rows &r, const float *loss, const float *valid,
                              float *mean);

#endif
