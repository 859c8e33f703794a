// Assigns slots to the microbatches in flight on a stage.
//
// The chunks of a stage differ in size (the embedding, a large head) and in how many of their microbatches
// are in flight, so slots of one size, or a fixed number per chunk, would waste memory. Each microbatch of a
// chunk is an interval of the schedule. Intervals are assigned first come, first served, chunks with more
// bytes first: a slot has the size of its first user and later serves smaller ones in its gaps. For equal
// sizes this is greedy interval colouring, which is optimal.
#include <stdlib.h>

#include "compiler/schedule/schedule.h"

typedef struct interval {
  uint64_t bytes;
  uint32_t begin, end; // entries, both included
  int16_t chunk;
  int32_t slot;
} interval;

typedef struct slots {
  uint64_t **busy; // [n] one bit per entry
  int16_t *chunk;
  const uint64_t *bytes; // by chunk
  int32_t n, cap, cap_chunk, n_chunk;
  uint32_t words;
} slots;

static int larger_first(const void *pa, const void *pb) {
  const interval *a = pa, *b = pb;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  return (a->begin > b->begin) - (a->begin < b->begin);
}

static bool is_free(const uint64_t *busy, const interval *i) {
  for (uint32_t e = i->begin; e <= i->end; e++)
    if (busy[e / 64] >> e % 64 & 1) return false;
  return true;
}

// Assigns the smallest free slot that is large enough; slots are in descending size.
static void take(slots *s, interval *i, xlm_arena *a) {
  int32_t at = s->n - 1;
  while (at >= 0 && (s->bytes[s->chunk[at]] < i->bytes || !is_free(s->busy[at], i))) at--;
  if (at < 0) {
    at = s->n;
    XLM_PUSH(a, s->busy, s->n, s->cap, XLM_NEW_N(a, uint64_t, s->words));
    XLM_PUSH(a, s->chunk, s->n_chunk, s->cap_chunk, i->chunk);
  }
  for (uint32_t e = i->begin; e <= i->end; e++) s->busy[at][e / 64] |= (uint64_t)1 << e % 64;
  i->slot = at;
}

xlm_schedule_held xlm_schedule_slots(const xlm_schedule_plan *s, int stage, xlm_segment_kind from,
                                     xlm_segment_kind to, const uint64_t *bytes, xlm_arena *a) {
  const xlm_stage_schedule *st = &s->stage[stage];
  xlm_schedule_held held = {.slot = XLM_NEW_N(a, int32_t, st->n)};
  for (uint32_t i = 0; i < st->n; i++) held.slot[i] = -1;
  if (to == XLM_SEG_W && !s->split_weights) return held;
  uint32_t n = (uint32_t)(s->microbatches * s->chunks), used = 0;
  interval *all = XLM_NEW_N(a, interval, n);
  for (uint32_t i = 0; i < st->n; i++) {
    xlm_pipeline_action e = st->at[i];
    if (e.kind != from && e.kind != to) continue;
    interval *x = &all[e.chunk * s->microbatches + e.microbatch];
    *(e.kind == from ? &x->begin : &x->end) = i;
    x->chunk = e.chunk, x->bytes = bytes[e.chunk];
  }
  for (uint32_t i = 0; i < n; i++)
    if (all[i].bytes) all[used++] = all[i];
  if (used) qsort(all, used, sizeof *all, larger_first);
  slots taken = {.bytes = bytes, .words = st->n / 64 + 1};
  int32_t *of = XLM_NEW_N(a, int32_t, n);
  for (uint32_t i = 0; i < n; i++) of[i] = -1;
  for (uint32_t i = 0; i < used; i++) {
    take(&taken, &all[i], a);
    of[all[i].chunk * s->microbatches + st->at[all[i].begin].microbatch] = all[i].slot;
  }
  for (uint32_t i = 0; i < st->n; i++) {
    xlm_pipeline_action e = st->at[i];
    if (e.kind >= from && e.kind <= to) held.slot[i] = of[e.chunk * s->microbatches + e.microbatch];
  }
  held.n = taken.n;
  held.chunk = taken.chunk;
  return held;
}
