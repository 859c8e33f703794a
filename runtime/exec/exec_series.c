// Series: neighbouring instructions that their kernel runs at once, such as the updates of all parameters by
// an optimizer.
//
// They update states in place, none touches what another of them writes, and none but the first waits for the
// other stream, nor does that wait for any but the last. So it makes no difference that they run at the same
// time.
#include "runtime/exec/exec_priv.h"

static bool overlap(const xlm_exec *e, uint32_t a, uint32_t b) {
  const char *x = exec_address(e, a), *y = exec_address(e, b);
  return x < y + e->rank->tensors[b].bytes && y < x + e->rank->tensors[a].bytes;
}

// Does `by` touch what `in` writes?
static bool touches(const xlm_exec *e, const xlm_instr *in, const xlm_instr *by) {
  for (int i = 0; i < in->n_out; i++) {
    for (int k = 0; k < by->n_in; k++)
      if (overlap(e, in->out[i], by->in[k])) return true;
    for (int k = 0; k < by->n_out; k++)
      if (overlap(e, in->out[i], by->out[k])) return true;
  }
  return false;
}

static bool is_in_place(const xlm_exec *e, const xlm_instr *in) {
  for (int i = 0; i < in->n_out; i++)
    if (!e->rank->tensors[in->out[i]].view_of) return false;
  return true;
}

static bool continues(const xlm_exec *e, uint32_t first, uint32_t i) {
  const exec_bound *a = &e->bound[first], *b = &e->bound[i];
  const xlm_instr *in = b->call.instr;
  if (b->kernel != a->kernel || b->call.queue != a->call.queue || b->n_slotted || a->n_slotted) return false;
  if (in->after > a->call.instr->after || e->bound[i - 1].marked) return false;
  if (!b->kernel->joins(&a->call, &b->call) || !is_in_place(e, in)) return false;
  for (uint32_t k = first; k < i; k++)
    if (touches(e, &e->rank->instrs[k], in) || touches(e, in, &e->rank->instrs[k])) return false;
  return true;
}

static xlm_status run_all(void *arg, uint32_t instr) {
  const exec_bound *b = &((xlm_exec *)arg)->bound[instr];
  return b->kernel->run_all(b->series, (int)b->n_series);
}

static void make(xlm_exec *e, uint32_t first, uint32_t n) {
  exec_bound *b = &e->bound[first];
  const xlm_call **calls = XLM_NEW_N(e->tables, const xlm_call *, n);
  for (uint32_t i = 0; i < n; i++) calls[i] = &b[i].call;
  b->series = calls, b->n_series = n;
  b->together = b->work;
  b->together.run = run_all, b->together.n_calls = (int)n, b->together.calls = calls;
}

void exec_find_series(xlm_exec *e) {
  for (uint32_t s = 0; s < e->rank->n_segments; s++) {
    uint32_t i = e->rank->segments[s].first, end = i + e->rank->segments[s].n;
    while (i < end) {
      uint32_t first = i++;
      if (!e->bound[first].kernel->run_all || !is_in_place(e, &e->rank->instrs[first])) continue;
      while (i < end && continues(e, first, i)) i++;
      if (i > first + 1) make(e, first, i - first);
    }
  }
}
