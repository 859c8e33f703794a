// cross_entropy and its gradient at once: logits are read once and overwritten once. A block per token, a warp where
// rows are short. Of a long row as much as fits waits in shared memory between the two passes over it; the copies
// of the next packs are under way while one is added up. Each thread reads back what it has copied itself, so
// nothing waits for others but the sum. Sums and functions are those of cross_entropy.cu, in the same order.
#include "ops/cuda/cross_entropy_priv.h"

enum {
  AHEAD = 8,                                    // packs of a thread that are being copied
  ROOM = 99 * 1024 - 2 * (int)sizeof(block_scratch), // bytes: what every card from sm_80 on gives a block, less its sums'
};

struct whole_loss { // what is common to all tokens; loss: by token
  const int32_t *targets;
  const float *dloss, *valid;
  float *loss;
};

static __device__ __forceinline__ float factor_of(const whole_loss &w) {
  return *w.valid > 0 ? (float)((double)*w.dloss / (double)*w.valid) : 0;
}

static __device__ __forceinline__ row_gradient row_of(const token_rows &r, const whole_loss &w, int64_t token,
                                                      float factor) {
  int32_t target = w.targets[over_offset(&r.targets, token)];
  return {0, factor, place_of(r, target), counts(r, target)};
}

// Neighbours from i on become their gradients; who has the target's also has the loss.
template <class T, int N>
static __device__ __forceinline__ void turn(const row_gradient &g, int64_t i, vec<T, N> &x, float *loss) {
  for (int k = 0; k < N; k++) {
    float logit = to_float(x.at[k]);
    if (i + k == g.place) *loss = g.lse - logit;
    x.at[k] = from_float<T>(gradient_at(g, i + k, logit));
  }
}

// The log-sum-exp of a row, whose packs [0, held) are in `kept` afterwards: pack p by thread p % Team::size.
template <class T, class Team>
static __device__ float sum_up(const T *row, const row_packs &p, pack<T> *kept, int64_t held) {
  constexpr int N = pack<T>::n;
  int64_t packs = (p.tail - p.head) / N;
  running mine;
  auto copy = [&](int64_t at) {
    if (at < held && at < packs) copy_async16(&kept[at], row + p.head + at * N, 16);
    copy_commit();
  };
  for (int k = 0; k < AHEAD; k++) copy(Team::lane() + k * Team::size);
  for (int64_t i = Team::lane(); i < p.head; i += Team::size) add(mine, load<1>(row + i));
  for (int64_t at = Team::lane(); at < packs; at += Team::size) {
    copy_wait<AHEAD - 1>();
    add(mine, at < held ? kept[at] : load<N>(row + p.head + at * N));
    copy(at + AHEAD * Team::size);
  }
  for (int64_t i = p.tail + Team::lane(); i < p.n; i += Team::size) add(mine, load<1>(row + i));
  float most = Team::most(mine.most), sum = Team::sum(mine.sum * exp_of(mine.most - most));
  return most + logf(sum);
}

template <class T, class Team>
static __device__ void turn_row(const T *row, T *to, const row_gradient &g, const row_packs &p,
                                const pack<T> *kept, int64_t held, float *loss) {
  constexpr int N = pack<T>::n;
  auto one = [&](int64_t i) {
    vec<T, 1> x = load<1>(row + i);
    turn(g, i, x, loss);
    store(to + i, x);
  };
  for (int64_t i = Team::lane(); i < p.head; i += Team::size) one(i);
  for (int64_t at = Team::lane(); at < (p.tail - p.head) / N; at += Team::size) {
    int64_t i = p.head + at * N;
    pack<T> x = at < held ? kept[at] : load<N>(row + i);
    turn(g, i, x, loss);
    store(to + i, x);
  }
  for (int64_t i = p.tail + Team::lane(); i < p.n; i += Team::size) one(i);
}

// held: packs that the block's shared memory has room for.
template <class T, class Team>
__global__ void __launch_bounds__(XLM_BLOCK)
    loss_and_gradient(const T *logits, T *dlogits, token_rows r, whole_loss w, int64_t held) {
  XLM_DYNAMIC_SHARED(pack<T>, kept);
  float factor = factor_of(w);
  for (int64_t token = (int64_t)blockIdx.x * Team::per_block + Team::index(); token < r.tokens;
       token += (int64_t)gridDim.x * Team::per_block) {
    const T *row = logits + token * r.vocab;
    T *to = dlogits + token * r.vocab;
    row_gradient g = row_of(r, w, token, factor);
    row_packs p = packs_of(row, (const T *)to, r.vocab);
    if (g.counts) g.lse = sum_up<T, Team>(row, p, kept, held);
    if (Team::lane() == 0 && g.place < 0) w.loss[token] = 0;
    turn_row<T, Team>(row, to, g, p, kept, g.counts ? held : 0, &w.loss[token]);
  }
}

template <class T> // a thread per token; neighbouring threads on neighbouring elements
__global__ void __launch_bounds__(XLM_BLOCK)
    loss_and_gradient_strided(const T *logits, T *dlogits, token_rows r, whole_loss w) {
  float factor = factor_of(w);
  for (int64_t token = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; token < r.tokens;
       token += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t base = over_offset(&r.logits, token);
    row_gradient g = row_of(r, w, token, factor);
    running mine;
    for (int64_t i = 0; i < r.vocab; i++) add(mine, load<1>(logits + base + i * r.stride));
    g.lse = mine.most + logf(mine.sum);
    w.loss[token] = 0;
    for (int64_t i = 0; i < r.vocab; i++) {
      vec<T, 1> x = load<1>(logits + base + i * r.stride);
      turn(g, i, x, &w.loss[token]);
      store(dlogits + base + i * r.stride, x);
    }
  }
}

template <class T> static xlm_status by_blocks(const xlm_call *c, const token_rows &r, const whole_loss &w) {
  int64_t held = r.vocab / pack<T>::n;
  if (held > ROOM / 16) held = ROOM / 16;
  size_t bytes = (size_t)held * 16;
  xlm_launch_status done = XLM_ALLOW_SHARED((loss_and_gradient<T, block_team>), bytes);
  if (done) return xlm_cuda_launched(c, done);
  return xlm_cuda_launched(c, XLM_LAUNCH((loss_and_gradient<T, block_team>), xlm_cuda_blocks(r.tokens, 1),
                                         XLM_BLOCK, bytes, xlm_cuda_stream(c), (const T *)c->in[0],
                                         (T *)c->out[0], r, w, held));
}

template <class T> static xlm_status of_type(const xlm_call *c, const token_rows &r, const whole_loss &w) {
  const T *x = (const T *)c->in[0];
  T *dx = (T *)c->out[0];
  void *stream = xlm_cuda_stream(c);
  if (!r.tokens) return XLM_OK;
  if (r.stride != 1)
    return xlm_cuda_launched(c, XLM_LAUNCH(loss_and_gradient_strided<T>, xlm_cuda_blocks(r.tokens, XLM_BLOCK),
                                           XLM_BLOCK, 0, stream, x, dx, r, w));
  if (r.vocab > SHORT) return by_blocks<T>(c, r, w);
  int64_t none = 0; // a short row is still in the nearest cache
  return xlm_cuda_launched(c, XLM_LAUNCH((loss_and_gradient<T, warp_team>),
                                         xlm_cuda_blocks(r.tokens, warp_team::per_block), XLM_BLOCK, 0,
                                         stream, x, dx, r, w, none));
}

XLM_CUDA_RUN(cross_entropy_grad) { // logits, targets, dloss, valid -> dlogits, loss
  token_rows r = rows_of(c);
  float *loss = (float *)c->workspace, *counted = loss + r.tokens;
  bool given = c->instr->n_in > 3;
  whole_loss w = {(const int32_t *)c->in[1], (const float *)c->in[2], given ? (const float *)c->in[3] : counted,
                  loss};
  if (!given) XLM_TRY(cross_entropy_count(c, r, counted));
  XLM_TRY(xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) { return of_type<decltype(t)>(c, r, w); }));
  return cross_entropy_mean(c, r, loss, w.valid, (float *)c->out[1]);
}
