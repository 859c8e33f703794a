// Lower, the part that is about what runs when: what must stay while communication is under way, the segments
// of the microbatches before the last one, and the order between the two streams.
#include "compiler/pass/pass.h"
#include "compiler/planner/lower.h"
#include "runtime/plan/streams.h"

static bool reads(const xlm_lowering *l, const xlm_instr *in, const xlm_instr *made) {
  for (int i = 0; i < in->n_in; i++)
    for (int k = 0; k < made->n_out; k++)
      if (xlm_lower_root(l, in->in[i]) == xlm_lower_root(l, made->out[k])) return true;
  return false;
}

// The last position at which communication i may still be under way: before whoever reads it, and not farther
// than the pass that made room for it looks (overlap.c).
static uint32_t under_way(const xlm_lowering *l, uint32_t i, uint32_t end) {
  int products = 0;
  uint32_t last = i;
  for (uint32_t k = i + 1; k < end && !reads(l, &l->instrs[k], &l->instrs[i]); k++) {
    if (l->instrs[k].stream == XLM_STREAM_KERNELS && l->instrs[k].model_flops > 0 &&
        ++products > XLM_OVERLAP_PRODUCTS)
      break;
    last = k;
  }
  return last;
}

// What communication reads must stay while kernels run beside it: else they would have to wait for it.
void xlm_lower_hold(xlm_lowering *l, const xlm_segment *s, uint32_t first_instr, uint8_t program) {
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &l->instrs[i];
    if (in->stream != XLM_STREAM_COMM) continue;
    uint32_t until = under_way(l, i, s->first + s->n) - first_instr;
    l->scratch_end[i] = until;
    for (int k = 0; k < in->n_in; k++) {
      xlm_lifetime *life = &l->life[xlm_lower_root(l, in->in[k])];
      if (life->placed && life->program == program && life->end < until) life->end = until;
    }
  }
}

// The microbatches before the last run a copy of the segment without what the last one does for all: the same
// instructions on the same tensors.
static void split_last(xlm_lowering *l, uint32_t segment) {
  xlm_segment s = l->segments[segment], rest = s;
  rest.first = l->n_instrs;
  for (uint32_t i = s.first; i < s.first + s.n; i++)
    if (!l->once[i]) XLM_PUSH(l->arena, l->instrs, l->n_instrs, l->cap_instrs, l->instrs[i]);
  rest.n = l->n_instrs - rest.first;
  if (rest.n == s.n) {
    l->n_instrs = rest.first; // nothing is done once
    return;
  }
  rest.rest = true;
  XLM_PUSH(l->arena, l->segments, l->n_segments, l->cap_segments, rest);
  xlm_segment_run *runs = l->schedule;
  bool seen = false;
  for (uint32_t i = l->plan->n_schedule; i-- > 0;) {
    if (runs[i].segment != segment) continue;
    if (seen) runs[i].segment = l->n_segments - 1;
    seen = true;
  }
}

void xlm_lower_split_last(xlm_lowering *l) {
  for (uint32_t s = 0, n = l->n_segments; l->options.microbatches > 1 && s < n; s++)
    if (l->segments[s].kind == XLM_SEG_B || l->segments[s].kind == XLM_SEG_W) split_last(l, s);
}

void xlm_lower_order(xlm_lowering *l) {
  xlm_rank_plan r = *l->plan;
  r.tensors = l->tensors, r.instrs = l->instrs;
  for (uint32_t s = 0; s < l->n_segments; s++) {
    uint32_t *after = XLM_NEW_N(l->arena, uint32_t, l->segments[s].n);
    xlm_streams_order(&r, &l->segments[s], l->arena, after);
    for (uint32_t i = 0; i < l->segments[s].n; i++) l->instrs[l->segments[s].first + i].after = after[i];
  }
}
