// norm_sq on CPUs: blocks of fixed size give one f64 each, and the blocks are added in order; who computed a
// block does not matter.
#include "ops/cpu/kernel_priv.h"

enum { BLOCK = 8192, LANES = 16 };

typedef struct job {
  const xlm_call *c;
  int64_t blocks;
  double *sum; // [blocks]
} job;

static int64_t blocks_of(const xlm_call *c, int i) {
  return (xlm_call_elements(c, c->in_type[i]) + BLOCK - 1) / BLOCK;
}

static int64_t all_blocks(const xlm_call *c) {
  int64_t n = 0;
  for (int i = 0; i < c->instr->n_in; i++) n += blocks_of(c, i);
  return n;
}

static double fold(const double lane[LANES]) {
  double s = 0;
  for (int l = 0; l < LANES; l++) s += lane[l];
  return s;
}

static double block_f32(const float *x, int64_t n) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
  for (int l = 0; i < n; i++, l++) lane[l] += (double)x[i] * (double)x[i];
  return fold(lane);
}

static double block_bf16(const uint16_t *x, int64_t n) {
  double lane[LANES] = {0};
  for (int64_t i = 0; i < n; i++) {
    double v = xlm_bf16_to_f32(x[i]);
    lane[i % LANES] += v * v;
  }
  return fold(lane);
}

static double block_sum(const xlm_call *c, int operand, int64_t block) {
  int64_t at = block * BLOCK, n = xlm_call_elements(c, c->in_type[operand]) - at;
  if (n > BLOCK) n = BLOCK;
  return c->in_type[operand]->dtype == XLM_BF16 ? block_bf16((const uint16_t *)c->in[operand] + at, n)
                                                : block_f32((const float *)c->in[operand] + at, n);
}

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end, first = 0; // first: the operand's first block among all
  xlm_pool_range(j->blocks, worker, workers, &begin, &end);
  for (int i = 0; i < j->c->instr->n_in && first < end; i++) {
    int64_t n = blocks_of(j->c, i);
    for (int64_t b = begin > first ? begin : first; b < end && b < first + n; b++)
      j->sum[b] = block_sum(j->c, i, b - first);
    first += n;
  }
}

static size_t workspace(const xlm_call *c, int threads) {
  (void)threads;
  return (size_t)all_blocks(c) * sizeof(double);
}

static void run(const xlm_call *c) {
  job j = {.c = c, .blocks = all_blocks(c), .sum = c->workspace};
  xlm_pool_run(j.blocks > 1 ? c->pool : NULL, part, &j);
  double total = 0;
  for (int64_t b = 0; b < j.blocks; b++) total += j.sum[b];
  *(double *)c->out[0] = total;
}

const xlm_kernel XLM_KERNEL(norm_sq) = {.op = "norm_sq", .workspace = workspace, .run = run};
