// Parameters that are read next. Decoding is bound by reading every parameter once per token, and the plan
// says in which order: while an instruction runs that leaves workers or memory idle, the device can prefetch
// what the next one that is bound by reading begins with. After the last instruction of a segment that is
// what its first one reads, as a program that is run again and again does.
#include "runtime/exec/exec_priv.h"

// What the instruction reads from front to back, if it was there before the segment began.
static const xlm_pool_span *read_by(xlm_exec *e, const exec_bound *b) {
  int operand = b->kernel->streamed ? b->kernel->streamed(&b->call) : -1;
  if (operand < 0) return NULL;
  const xlm_tensor *t = &e->rank->tensors[b->call.instr->in[operand]];
  if (t->area != XLM_AREA_STATE) return NULL;
  xlm_pool_span *s = XLM_NEW(e->tables, xlm_pool_span);
  *s = (xlm_pool_span){(const char *)b->call.in[operand], t->bytes};
  return s;
}

void exec_find_ahead(xlm_exec *e) {
  const xlm_pool_span **read = XLM_NEW_N(e->tables, const xlm_pool_span *, e->rank->n_instrs);
  for (uint32_t i = 0; i < e->rank->n_instrs; i++) read[i] = read_by(e, &e->bound[i]);
  for (uint32_t s = 0; s < e->rank->n_segments; s++) {
    const uint32_t first = e->rank->segments[s].first, n = e->rank->segments[s].n;
    const xlm_pool_span *next = NULL;
    for (uint32_t k = 2 * n; k-- > 0;) { // twice: the last instructions look at the first
      const uint32_t i = first + k % n;
      e->bound[i].work.ahead = next;
      if (read[i]) next = read[i];
    }
  }
}
