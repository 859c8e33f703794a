// scan on the CPU: states of a block of columns, step by step. scan_from has their beginning.
#include "ops/cpu/scan_priv.h"

enum { A, B, PAST = 0, START = 3 };

static void columns(const xlm_call *c, const scan_shape *s, int64_t u) {
  bool from = c->instr->op == XLM_OP_SCAN_FROM;
  scan_operand a = scan_operand_of(c, s, c->in_type[A + from], c->in[A + from]);
  scan_operand b = scan_operand_of(c, s, c->in_type[B + from], c->in[B + from]);
  scan_operand h = scan_operand_of(c, s, c->out_type[0], c->out[0]);
  scan_block factors = scan_block_of(s, &a, u), terms = scan_block_of(s, &b, u),
             states = scan_block_of(s, &h, u);
  float state[SCAN_COLUMNS] = {0}, factor[SCAN_COLUMNS] = {0}, term[SCAN_COLUMNS] = {0};
  int64_t lanes = vec_pad(states.count);
  if (from) scan_begin(c, s, u, PAST, START, state, NULL);
  for (int64_t i = 0; i < s->steps; i++) {
    scan_read(&a, &factors, scan_place(s, i), factor);
    scan_read(&b, &terms, scan_place(s, i), term);
    for (int64_t j = 0; j < lanes; j++) state[j] = factor[j] * state[j] + term[j];
    scan_write(&h, &states, scan_place(s, i), state);
  }
}

static void work(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  scan_shape s = scan_shape_of(c);
  int64_t begin, end;
  xlm_pool_range(s.lines * s.blocks, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) columns(c, &s, u);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool_run(xlm_cpu_pool(c), work, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(scan) = {.op = XLM_OP_SCAN, .run = run};
const xlm_kernel XLM_KERNEL(scan_from) = {.op = XLM_OP_SCAN_FROM, .run = run};
