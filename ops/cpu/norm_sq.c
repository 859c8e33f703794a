// norm_sq on CPUs. The square of an f32 is a 48-bit integer shifted by its exponent, so the squares of a
// block are added as integers, one sum per exponent, and these as digits in base 2^32: exact in any order.
// Neighbours use different tables, since adding to the same sum twice in a row would stall on memory.
#include <math.h>
#include <string.h>

#include "ops/cpu/kernel_priv.h"
#include "ops/norm_sq.h"

enum { BLOCK = 8192, TABLES = 4, EXPONENTS = 256 }; // a block's sums stay below 2^61

typedef struct worker {
  uint64_t digit[XLM_NORM_LIMBS];
  double beyond; // 0, or a non-finite value
} worker;

typedef struct job {
  const xlm_call *c;
  int64_t blocks;
  worker *workers;
} job;

static int64_t blocks_of(const xlm_call *c, int i) {
  return (xlm_call_elements(c, c->in_type[i]) + BLOCK - 1) / BLOCK;
}

static int64_t all_blocks(const xlm_call *c) {
  int64_t n = 0;
  for (int i = 0; i < c->instr->n_in; i++) n += blocks_of(c, i);
  return n;
}

static inline void add_square(uint64_t sum[EXPONENTS], uint32_t bits) {
  uint32_t e = bits >> 23 & 255;
  uint64_t m = (bits & 0x7FFFFF) | (uint32_t)(e > 0) << 23;
  sum[e] += m * m;
}

static void add_f32(uint64_t sum[TABLES][EXPONENTS], const uint32_t *x, int64_t n) {
  int64_t i = 0;
  for (; i + TABLES <= n; i += TABLES)
    for (int t = 0; t < TABLES; t++) add_square(sum[t], x[i + t]);
  for (; i < n; i++) add_square(sum[0], x[i]);
}

static void add_bf16(uint64_t sum[TABLES][EXPONENTS], const uint16_t *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) add_square(sum[i % TABLES], (uint32_t)x[i] << 16);
}

static void add_digits(worker *w, uint64_t sum, int exponent) { // sum * 2^(2 (exponent - 1)) * u(0)
  int place = 2 * (exponent > 1 ? exponent - 1 : 0), k = place / 32, by = place % 32;
  uint64_t low = (sum & UINT32_MAX) << by, high = (sum >> 32) << by;
  w->digit[k] += low & UINT32_MAX;
  w->digit[k + 1] += (low >> 32) + (high & UINT32_MAX);
  w->digit[k + 2] += high >> 32;
}

static void carry(worker *w) {
  for (int k = 0; k + 1 < XLM_NORM_LIMBS; k++) {
    w->digit[k + 1] += w->digit[k] >> 32;
    w->digit[k] &= UINT32_MAX;
  }
}

static double not_finite(const xlm_call *c, int operand, int64_t at, int64_t n) {
  double sum = 0;
  for (int64_t i = at; i < at + n; i++)
    sum += c->in_type[operand]->dtype == XLM_BF16
               ? fabs((double)xlm_bf16_to_f32(((const uint16_t *)c->in[operand])[i]))
               : fabs((double)((const float *)c->in[operand])[i]);
  return sum;
}

static void add_block(const xlm_call *c, int operand, int64_t block, worker *w) {
  uint64_t sum[TABLES][EXPONENTS] = {{0}};
  int64_t at = block * BLOCK, n = xlm_call_elements(c, c->in_type[operand]) - at;
  if (n > BLOCK) n = BLOCK;
  if (c->in_type[operand]->dtype == XLM_BF16)
    add_bf16(sum, (const uint16_t *)c->in[operand] + at, n);
  else
    add_f32(sum, (const uint32_t *)c->in[operand] + at, n);
  for (int e = 0; e < EXPONENTS; e++) {
    uint64_t all = 0;
    for (int t = 0; t < TABLES; t++) all += sum[t][e];
    if (all && e == EXPONENTS - 1) w->beyond += not_finite(c, operand, at, n);
    if (all && e < EXPONENTS - 1) add_digits(w, all, e);
  }
  carry(w);
}

static void part(void *arg, int index, int workers) {
  const job *j = arg;
  worker w = {.beyond = 0};
  int64_t begin, end, first = 0; // first: the operand's first block among all
  xlm_pool_range(j->blocks, index, workers, &begin, &end);
  for (int i = 0; i < j->c->instr->n_in && first < end; i++) {
    int64_t n = blocks_of(j->c, i);
    for (int64_t b = begin > first ? begin : first; b < end && b < first + n; b++)
      add_block(j->c, i, b - first, &w);
    first += n;
  }
  j->workers[index] = w;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)c;
  return (size_t)t->threads * sizeof(worker);
}

static xlm_status run(const xlm_call *c) {
  job j = {.c = c, .blocks = all_blocks(c), .workers = c->workspace};
  xlm_pool *pool = j.blocks > 1 ? xlm_cpu_pool(c) : NULL;
  worker all = {.beyond = 0};
  double *out = c->out[0];
  xlm_pool_run(pool, part, &j);
  for (int i = 0; i < xlm_pool_size(pool); i++) {
    for (int k = 0; k < XLM_NORM_LIMBS; k++) all.digit[k] += j.workers[i].digit[k];
    all.beyond += j.workers[i].beyond;
  }
  carry(&all);
  for (int k = 0; k < XLM_NORM_LIMBS; k++) out[k] = ldexp((double)all.digit[k], XLM_NORM_LOWEST + 32 * k);
  out[XLM_NORM_LIMBS - 1] += all.beyond;
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(norm_sq) = {.op = XLM_OP_NORM_SQ, .workspace = workspace, .run = run};
