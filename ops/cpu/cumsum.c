// cumsum on the CPU. Sums of XLM_CUMSUM_RUN elements start from zero and are added to the sum before them, so
// that the error grows with the number of runs, not of elements. cumsum_from gives both, which are added
// afterwards.
#include "ops/cpu/scan_priv.h"
#include "runtime/plan/chunks.h"

static void columns(const xlm_call *c, const scan_shape *s, int64_t u) {
  scan_operand x = scan_operand_of(c, s, c->in_type[0], c->in[0]);
  scan_operand y = scan_operand_of(c, s, c->out_type[0], c->out[0]);
  scan_block from = scan_block_of(s, &x, u), to = scan_block_of(s, &y, u);
  float before[SCAN_COLUMNS] = {0}, run[SCAN_COLUMNS] = {0}, now[SCAN_COLUMNS] = {0}, sum[SCAN_COLUMNS];
  int64_t lanes = vec_pad(from.count);
  for (int64_t i = 0; i < s->steps; i++) {
    scan_read(&x, &from, scan_place(s, i), now);
    for (int64_t j = 0; j < lanes; j++) run[j] += now[j], sum[j] = before[j] + run[j];
    scan_write(&y, &to, scan_place(s, i), sum);
    if ((i + 1) % XLM_CUMSUM_RUN) continue;
    for (int64_t j = 0; j < lanes; j++) before[j] = sum[j], run[j] = 0;
  }
}

// Columns may be at places of their own.
static void columns_from(const xlm_call *c, const scan_shape *s, int64_t u) {
  enum { BEFORE, RUN, X, START };
  scan_operand x = scan_operand_of(c, s, c->in_type[X], c->in[X]);
  scan_operand sums = scan_operand_of(c, s, c->out_type[0], c->out[0]);
  scan_operand runs = scan_operand_of(c, s, c->out_type[1], c->out[1]);
  scan_block from = scan_block_of(s, &x, u), to = scan_block_of(s, &sums, u);
  float before[SCAN_COLUMNS] = {0}, run[SCAN_COLUMNS] = {0}, now[SCAN_COLUMNS] = {0};
  int64_t place[SCAN_COLUMNS] = {0};
  scan_begin(c, s, u, BEFORE, START, before, place), scan_begin(c, s, u, RUN, START, run, place);
  for (int64_t i = 0; i < s->steps; i++) {
    scan_read(&x, &from, i, now);
    for (int64_t j = 0; j < to.count; j++) {
      bool begins = (place[j] + i) % XLM_CUMSUM_RUN == 0;
      before[j] = begins ? before[j] + run[j] : before[j];
      run[j] = (begins ? 0 : run[j]) + now[j];
    }
    scan_write(&sums, &to, i, before), scan_write(&runs, &to, i, run);
  }
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  scan_shape s = scan_shape_of(c);
  int64_t begin, end;
  xlm_pool_range(s.lines * s.blocks, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) (c->instr->op == XLM_OP_CUMSUM ? columns : columns_from)(c, &s, u);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(cumsum) = {.op = XLM_OP_CUMSUM, .run = run};
const xlm_kernel XLM_KERNEL(cumsum_from) = {.op = XLM_OP_CUMSUM_FROM, .run = run};
