// The part of lowering about execution order: lifetimes of what communication reads, the segment variants for
// the first, middle and last microbatch, and the dependencies between the two streams.
#include <string.h>

#include "compiler/pass/pass.h"
#include "compiler/planner/lower_priv.h"
#include "runtime/plan/streams.h"

static bool reads(const xlm_lowering *l, const xlm_instr *in, const xlm_instr *made) {
  for (int i = 0; i < in->n_in; i++)
    for (int k = 0; k < made->n_out; k++)
      if (xlm_lower_root(l, in->in[i]) == xlm_lower_root(l, made->out[k])) return true;
  return false;
}

// The last position at which communication i may still be running: before its first reader, and within the
// distance that the overlap pass considers (overlap.c).
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

// What communication reads stays live while kernels run concurrently; otherwise they would have to wait for
// it.
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

// ---- the variants of a segment ----

void xlm_lower_reserve(xlm_lowering *l, uint32_t more) {
  if (l->n_instrs + more <= l->cap_instrs) return;
  l->cap_instrs = l->n_instrs + more;
  l->instrs = xlm_arena_grow(l->scratch, l->instrs, l->n_instrs, l->cap_instrs, sizeof *l->instrs);
}

xlm_instr xlm_lower_stored(const xlm_lowering *l, xlm_instr in) {
  xlm_attr *at = XLM_NEW_N(l->arena, xlm_attr, in.attrs.n + 1);
  if (in.attrs.n) memcpy(at, in.attrs.at, in.attrs.n * sizeof *at);
  at[in.attrs.n] = (xlm_attr){.key = XLM_A_store, .i = 1}; // the greatest key, so the list stays sorted
  in.attrs = (xlm_attrs){.n = (uint16_t)(in.attrs.n + 1), .at = at};
  return in;
}

static uint32_t runs_of(const xlm_lowering *l, uint32_t segment) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < l->plan->n_schedule; i++) n += l->schedule[i].segment == segment;
  return n;
}

static void store_in_place(xlm_lowering *l, const xlm_segment *s) {
  for (uint32_t i = s->first; i < s->first + s->n; i++)
    if (l->sums[i]) l->instrs[i] = xlm_lower_stored(l, l->instrs[i]);
}

// Copies a segment without what is done once; returns its index.
static uint32_t copy_segment(xlm_lowering *l, uint32_t segment, xlm_segment_variant variant) {
  xlm_segment s = l->segments[segment], copy = s;
  copy.variant = variant;
  copy.first = l->n_instrs;
  for (uint32_t i = s.first; i < s.first + s.n; i++) {
    if (l->once[i]) continue;
    bool store = variant == XLM_VARIANT_FIRST && l->sums[i];
    xlm_instr in = store ? xlm_lower_stored(l, l->instrs[i]) : l->instrs[i];
    XLM_PUSH(l->scratch, l->instrs, l->n_instrs, l->cap_instrs, in);
  }
  copy.n = l->n_instrs - copy.first;
  XLM_PUSH(l->arena, l->segments, l->n_segments, l->cap_segments, copy);
  return l->n_segments - 1;
}

static void split(xlm_lowering *l, uint32_t segment) {
  const xlm_segment *s = &l->segments[segment];
  uint32_t n = runs_of(l, segment), first = segment, middle = segment, seen = 0;
  bool sums = false, once = false;
  for (uint32_t i = s->first; i < s->first + s->n; i++) sums |= l->sums[i], once |= l->once[i];
  if (n < 2) {
    store_in_place(l, s);
    return;
  }
  if (!sums && !once) return;
  l->segments[segment].variant = once ? XLM_VARIANT_LAST : XLM_VARIANT_MIDDLE;
  if (sums) first = copy_segment(l, segment, XLM_VARIANT_FIRST);
  if (once && (n > 2 || !sums)) middle = copy_segment(l, segment, XLM_VARIANT_MIDDLE);
  if (!sums) first = middle;
  for (uint32_t i = 0; i < l->plan->n_schedule; i++) {
    if (l->schedule[i].segment != segment) continue;
    ++seen;
    if (seen < n) l->schedule[i].segment = seen == 1 ? first : middle;
  }
}

void xlm_lower_variants(xlm_lowering *l) {
  uint32_t most = 0;
  for (uint32_t s = 0; s < l->n_segments; s++)
    if (runs_of(l, s) > 1) most += 2 * l->segments[s].n;
  xlm_lower_reserve(l, most);
  for (uint32_t s = 0, n = l->n_segments; s < n; s++) split(l, s);
}

// An earlier segment with the same instructions except for how sums start; NULL = none.
static const xlm_segment *ordered_twin(const xlm_lowering *l, uint32_t segment) {
  const xlm_segment *s = &l->segments[segment];
  for (uint32_t i = 0; i < segment; i++) {
    const xlm_segment *t = &l->segments[i];
    if (t->kind == s->kind && t->chunk == s->chunk && t->n == s->n) return t;
  }
  return NULL;
}

void xlm_lower_order(xlm_lowering *l) {
  xlm_rank_plan r = *l->plan;
  r.tensors = l->tensors, r.instrs = l->instrs;
  for (uint32_t s = 0; s < l->n_segments; s++) {
    const xlm_segment *g = &l->segments[s], *twin = ordered_twin(l, s);
    uint32_t *after = twin ? NULL : XLM_NEW_N(l->scratch, uint32_t, g->n);
    if (!twin) xlm_streams_order(&r, g, l->scratch, after);
    for (uint32_t i = 0; i < g->n; i++) {
      uint32_t as_twin = twin ? l->instrs[twin->first + i].after : 0;
      l->instrs[g->first + i].after = !twin ? after[i] : as_twin ? as_twin - twin->first + g->first : 0;
    }
  }
}
