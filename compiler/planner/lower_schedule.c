// The order in which a rank runs the segments of a training step.
#include <string.h>

#include "compiler/planner/lower_priv.h"
#include "compiler/schedule/schedule.h"

int16_t xlm_lower_last_chunk(const xlm_lower_context *w) {
  const xlm_schedule_plan *sp = w->l.options.schedule;
  const xlm_stage_schedule *s = sp ? &sp->stage[w->l.options.stage] : NULL;
  int16_t chunk = 0;
  for (uint32_t i = 0; s && i < s->n; i++)
    if (s->at[i].kind == XLM_SEG_B || s->at[i].kind == XLM_SEG_W) chunk = s->at[i].chunk;
  return chunk;
}

static uint32_t segment_of(const xlm_lower_context *w, xlm_segment_kind kind, int16_t chunk) {
  for (uint32_t i = 0; i < w->l.n_segments; i++)
    if (w->l.segments[i].kind == kind && (xlm_segment_is_once(kind) || w->l.segments[i].chunk == chunk))
      return i;
  XLM_ASSERT(false, "no segment %s of chunk %d", xlm_segment_name(kind), chunk);
  return 0;
}

// One stage: forward and backward of each microbatch in turn, without slots.
static void plain_schedule(xlm_lower_context *w) {
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, 2 * w->l.options.microbatches + 1);
  uint32_t n = 0;
  for (int32_t m = 0; m < w->l.options.microbatches; m++)
    for (int k = XLM_SEG_F; k <= XLM_SEG_B; k++)
      runs[n++] = (xlm_segment_run){segment_of(w, (xlm_segment_kind)k, 0), m, {-1, -1, -1}};
  runs[n++] = (xlm_segment_run){segment_of(w, XLM_SEG_STEP, 0), -1, {-1, -1, -1}};
  w->l.plan->schedule = w->l.schedule = runs;
  w->l.plan->n_schedule = n;
}

// xlm_place assigns the slots when their sizes are known.
static void pipeline_schedule(xlm_lower_context *w) {
  const xlm_schedule_plan *sp = w->l.options.schedule;
  const xlm_stage_schedule *s = &sp->stage[w->l.options.stage];
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, s->n);
  for (uint32_t i = 0; i < s->n; i++)
    runs[i] =
        (xlm_segment_run){segment_of(w, s->at[i].kind, s->at[i].chunk), s->at[i].microbatch, {-1, -1, -1}};
  w->l.plan->schedule = w->l.schedule = runs;
  w->l.plan->n_schedule = s->n;
}

void xlm_lower_schedule(xlm_lower_context *w) {
  (w->l.options.schedule ? pipeline_schedule : plain_schedule)(w);
}

void xlm_lower_prologue(xlm_lower_context *w) {
  xlm_rank_plan *p = w->l.plan;
  if (!p->n_schedule || w->l.segments[0].kind != XLM_SEG_PROLOGUE) return;
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, p->n_schedule + 1);
  runs[0] = (xlm_segment_run){0, -1, {-1, -1, -1}};
  memcpy(runs + 1, p->schedule, p->n_schedule * sizeof *runs);
  p->schedule = w->l.schedule = runs;
  p->n_schedule++;
}
