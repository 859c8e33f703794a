// cross_entropy, its gradient, and the two halves of it over a split vocabulary. A block per token, a warp
// where rows are short: logits are read once, 16 bytes at a time, with a running maximum and a running sum
// scaled to it (Milakov and Gimelshein, "Online normalizer calculation for softmax"). The gradient reads and
// writes each element once, and may do so in place. A row may begin anywhere (vocabularies are odd numbers):
// what lies before its first multiple of 16 bytes and behind its last goes element by element.
//
// Losses of single tokens are added up in double by one block. Counts and factors stay on the device.
#include "ops/cuda/cross_entropy_priv.h"

enum { TOTAL = 512 }; // threads of the block that adds up

// ---- forward

struct token_results { // lse, logit and each (the losses) like the targets, loss by token; NULL: not needed
  float *lse, *logit, *loss, *each;
};

template <class T>
static __device__ void finish(const token_rows &r, const T *row, int64_t token, const int32_t *targets,
                              float lse, const token_results &to) {
  int64_t at = over_offset(&r.targets, token), place = place_of(r, targets[at]);
  float logit = place < 0 ? 0 : to_float(row[place * r.stride]);
  to.lse[at] = lse;
  if (to.logit) to.logit[at] = logit;
  if (to.loss) to.loss[token] = place < 0 ? 0 : lse - logit;
  if (to.each) to.each[at] = place < 0 ? 0 : lse - logit;
}

template <class T, class Team>
__global__ void __launch_bounds__(XLM_BLOCK)
    find_lse(const T *logits, const int32_t *targets, token_rows r, token_results to) {
  for (int64_t token = (int64_t)blockIdx.x * Team::per_block + Team::index(); token < r.tokens;
       token += (int64_t)gridDim.x * Team::per_block) {
    const T *row = logits + token * r.vocab;
    running mine;
    along<Team>(row, row, r.vocab, [&](int64_t, auto x) { add(mine, x); });
    float most = Team::most(mine.most), sum = Team::sum(mine.sum * exp_of(mine.most - most));
    if (Team::lane() == 0) finish(r, row, token, targets, most + logf(sum), to);
  }
}

template <class T> // a thread per token; neighbouring threads on neighbouring elements
__global__ void __launch_bounds__(XLM_BLOCK)
    find_lse_strided(const T *logits, const int32_t *targets, token_rows r, token_results to) {
  for (int64_t token = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; token < r.tokens;
       token += (int64_t)gridDim.x * XLM_BLOCK) {
    const T *row = logits + over_offset(&r.logits, token);
    running mine;
    for (int64_t i = 0; i < r.vocab; i++) add(mine, load<1>(row + i * r.stride));
    finish(r, row, token, targets, mine.most + logf(mine.sum), to);
  }
}

static xlm_status find_all_lse(const xlm_call *c, const token_rows &r, token_results to) {
  if (!r.tokens) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    const T *x = (const T *)c->in[0];
    const int32_t *targets = (const int32_t *)c->in[1];
    void *stream = xlm_cuda_stream(c);
    if (r.stride != 1)
      return xlm_cuda_launched(c, XLM_LAUNCH(find_lse_strided<T>, xlm_cuda_blocks(r.tokens, XLM_BLOCK),
                                             XLM_BLOCK, 0, stream, x, targets, r, to));
    if (r.vocab <= SHORT)
      return xlm_cuda_launched(c, XLM_LAUNCH((find_lse<T, warp_team>),
                                             xlm_cuda_blocks(r.tokens, warp_team::per_block), XLM_BLOCK, 0,
                                             stream, x, targets, r, to));
    return xlm_cuda_launched(c, XLM_LAUNCH((find_lse<T, block_team>), xlm_cuda_blocks(r.tokens, 1), XLM_BLOCK,
                                           0, stream, x, targets, r, to));
  });
}

// ---- sums over tokens: one block

struct total {
  double sum, count;
};

struct total_scratch {
  total of_warp[TOTAL / XLM_WARP];
};

static __device__ total block_total(total t, total_scratch &scratch) { // for the first thread
  for (int d = XLM_WARP / 2; d; d >>= 1) {
    t.sum += __shfl_xor_sync(XLM_ALL_LANES, t.sum, d);
    t.count += __shfl_xor_sync(XLM_ALL_LANES, t.count, d);
  }
  if (threadIdx.x % XLM_WARP == 0) scratch.of_warp[threadIdx.x / XLM_WARP] = t;
  __syncthreads(); // all warps' totals are there
  total all = {0, 0};
  for (int w = 0; w < TOTAL / XLM_WARP; w++)
    all.sum += scratch.of_warp[w].sum, all.count += scratch.of_warp[w].count;
  return all;
}

// *mean = sum(loss) / *valid; valid NULL: as many targets as count.
__global__ void __launch_bounds__(TOTAL) mean_loss(const float *loss, const int32_t *targets, token_rows r,
                                                   double share, const float *valid, float *mean) {
  XLM_SHARED(total_scratch, scratch);
  total t = {0, 0};
  for (int64_t i = threadIdx.x; i < r.tokens; i += TOTAL)
    t.sum += (double)loss[i], t.count += counts(r, targets[i]);
  t = block_total(t, scratch);
  double n = valid ? (double)*valid : t.count * share;
  if (threadIdx.x == 0) *mean = n > 0 ? (float)(t.sum / n) : 0;
}

xlm_status cross_entropy_mean(const xlm_call *c, const token_rows &r, const float *loss, const float *valid,
                              float *mean) {
  return xlm_cuda_launched(c,
                           XLM_LAUNCH(mean_loss, 1, TOTAL, 0, xlm_cuda_stream(c), loss,
                                      (const int32_t *)c->in[1], r, share_of(c, c->in_type[1]), valid, mean));
}

XLM_CUDA_RUN(cross_entropy) { // logits, targets, valid -> loss, lse
  token_rows r = rows_of(c);
  float *loss = (float *)c->workspace;
  const float *valid = c->instr->n_in > 2 ? (const float *)c->in[2] : NULL;
  XLM_TRY(find_all_lse(c, r, token_results{(float *)c->out[1], NULL, loss, NULL}));
  return cross_entropy_mean(c, r, loss, valid, (float *)c->out[0]);
}

// ---- backward

__global__ void __launch_bounds__(TOTAL)
    count_targets(const int32_t *targets, token_rows r, double share, float *valid) {
  XLM_SHARED(total_scratch, scratch);
  total t = {0, 0};
  for (int64_t i = threadIdx.x; i < r.tokens; i += TOTAL) t.count += counts(r, targets[i]);
  t = block_total(t, scratch);
  if (threadIdx.x == 0) *valid = (float)(t.count * share);
}

xlm_status cross_entropy_count(const xlm_call *c, const token_rows &r, float *valid) {
  return xlm_cuda_launched(c, XLM_LAUNCH(count_targets, 1, TOTAL, 0, xlm_cuda_stream(c),
                                         (const int32_t *)c->in[1], r, share_of(c, c->in_type[1]), valid));
}

struct token_gradient {
  const int32_t *targets;
  const float *lse, *dloss, *valid; // valid NULL: dloss has a factor for each token, like the targets
};

static __device__ __forceinline__ float factor_of(const token_gradient &g) {
  return g.valid && *g.valid > 0 ? (float)((double)*g.dloss / (double)*g.valid) : 0;
}

static __device__ __forceinline__ row_gradient gradient_of(const token_rows &r, const token_gradient &g,
                                                           int64_t token, float factor) {
  int64_t at = over_offset(&r.targets, token);
  return {g.lse[at], g.valid ? factor : g.dloss[at], place_of(r, g.targets[at]), counts(r, g.targets[at])};
}

template <class T, class Team>
__global__ void __launch_bounds__(XLM_BLOCK)
    turn_rows(const T *logits, T *dlogits, token_rows r, token_gradient all) {
  float factor = factor_of(all);
  for (int64_t token = (int64_t)blockIdx.x * Team::per_block + Team::index(); token < r.tokens;
       token += (int64_t)gridDim.x * Team::per_block) {
    row_gradient g = gradient_of(r, all, token, factor);
    T *to = dlogits + token * r.vocab;
    along<Team>(logits + token * r.vocab, (const T *)to, r.vocab, [&](int64_t i, auto x) {
      for (int k = 0; k < decltype(x)::n; k++)
        x.at[k] = from_float<T>(gradient_at(g, i + k, to_float(x.at[k])));
      store(to + i, x);
    });
  }
}

template <class T>
__global__ void __launch_bounds__(XLM_BLOCK)
    turn_strided(const T *logits, T *dlogits, token_rows r, token_gradient all) {
  float factor = factor_of(all);
  for (int64_t token = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; token < r.tokens;
       token += (int64_t)gridDim.x * XLM_BLOCK) {
    row_gradient g = gradient_of(r, all, token, factor);
    int64_t base = over_offset(&r.logits, token);
    for (int64_t i = 0; i < r.vocab; i++)
      dlogits[base + i * r.stride] = from_float<T>(gradient_at(g, i, to_float(logits[base + i * r.stride])));
  }
}

static xlm_status turn_all(const xlm_call *c, const token_rows &r, const token_gradient &g) {
  if (!r.tokens) return XLM_OK;
  void *stream = xlm_cuda_stream(c);
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    const T *x = (const T *)c->in[0];
    T *dx = (T *)c->out[0];
    if (r.stride != 1)
      return xlm_cuda_launched(c, XLM_LAUNCH(turn_strided<T>, xlm_cuda_blocks(r.tokens, XLM_BLOCK), XLM_BLOCK,
                                             0, stream, x, dx, r, g));
    if (r.vocab <= SHORT)
      return xlm_cuda_launched(c, XLM_LAUNCH((turn_rows<T, warp_team>),
                                             xlm_cuda_blocks(r.tokens, warp_team::per_block), XLM_BLOCK, 0,
                                             stream, x, dx, r, g));
    return xlm_cuda_launched(c, XLM_LAUNCH((turn_rows<T, block_team>), xlm_cuda_blocks(r.tokens, 1),
                                           XLM_BLOCK, 0, stream, x, dx, r, g));
  });
}

XLM_CUDA_RUN(cross_entropy_bwd) { // logits, targets, lse, dloss, valid -> dlogits
  token_rows r = rows_of(c);
  token_gradient g = {(const int32_t *)c->in[1], (const float *)c->in[2], (const float *)c->in[3],
                      (const float *)c->workspace};
  if (c->instr->n_in > 4)
    g.valid = (const float *)c->in[4];
  else
    XLM_TRY(cross_entropy_count(c, r, (float *)c->workspace));
  return turn_all(c, r, g);
}

// ---- a loss for each token

XLM_CUDA_RUN(token_cross_entropy) { // logits, targets -> losses, lse
  return find_all_lse(c, rows_of(c), token_results{(float *)c->out[1], NULL, NULL, (float *)c->out[0]});
}

XLM_CUDA_RUN(token_cross_entropy_bwd) { // logits, targets, lse, dlosses -> dlogits
  return turn_all(
      c, rows_of(c),
      token_gradient{(const int32_t *)c->in[1], (const float *)c->in[2], (const float *)c->in[3], NULL});
}

// ---- a split vocabulary

XLM_CUDA_RUN(token_stats) { // logits, targets -> lse, logit of the target
  return find_all_lse(c, rows_of(c), token_results{(float *)c->out[0], (float *)c->out[1], NULL, NULL});
}

// lse and logit: by place of the target.
__global__ void __launch_bounds__(TOTAL)
    mean_of_parts(const float *lse, const float *logit, over_dims at_lse, over_dims at_logit,
                  const int32_t *targets, token_rows r, double share, const float *valid, float *mean) {
  XLM_SHARED(total_scratch, scratch);
  total t = {0, 0};
  for (int64_t i = threadIdx.x; i < r.tokens; i += TOTAL) {
    if (!counts(r, targets[i])) continue;
    t.sum += (double)(lse[over_offset(&at_lse, i)] - logit[over_offset(&at_logit, i)]);
    t.count += 1;
  }
  t = block_total(t, scratch);
  double n = valid ? (double)*valid : t.count * share;
  if (threadIdx.x == 0) *mean = n > 0 ? (float)(t.sum / n) : 0;
}

XLM_CUDA_RUN(token_loss) { // lse, logit of the target, targets, valid -> loss
  const xlm_type *t = c->in_type[2];
  token_rows r = {};
  over_dims at[2] = {};
  r.tokens = xlm_call_elements(c, t);
  r.full = xlm_attr_int(&c->instr->attrs, XLM_A_k, INT32_MAX),
  r.ignore = xlm_attr_int(&c->instr->attrs, XLM_A_ignore, -1);
  for (int i = 0; i < t->rank; i++)
    for (int k = 0; k < 2; k++)
      over_add(&at[k], c->dims[t->dim[i]].size, xlm_call_stride(c, c->in_type[k], t->dim[i]));
  const float *valid = c->instr->n_in > 3 ? (const float *)c->in[3] : NULL;
  return xlm_cuda_launched(c,
                           XLM_LAUNCH(mean_of_parts, 1, TOTAL, 0, xlm_cuda_stream(c), (const float *)c->in[0],
                                      (const float *)c->in[1], at[0], at[1], (const int32_t *)c->in[2], r,
                                      share_of(c, t), valid, (float *)c->out[0]));
}
