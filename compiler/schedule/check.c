// Checks a schedule: every entry once and in order on its stage; then all stages are run concurrently, and if
// they block, the message shows the cycle. Messages count entries from 1.
#include <stdio.h>

#include "compiler/schedule/schedule_priv.h"
#include "runtime/base/text.h"

typedef struct check {
  const xlm_schedule_plan *s;
  xlm_arena *arena;
  uint32_t **where; // [stage][kind][chunk][microbatch]: entry, from 1; 0 = none
  xlm_error *err;
} check;

xlm_entry_name xlm_schedule_entry(const xlm_schedule_plan *s, xlm_pipeline_action e) {
  xlm_entry_name n;
  const char *kind = xlm_segment_name(e.kind);
  if (e.kind == XLM_SEG_STEP)
    snprintf(n.text, sizeof n.text, "%s", kind);
  else if (s->chunks > 1)
    snprintf(n.text, sizeof n.text, "%s%d.%d", kind, e.microbatch, e.chunk);
  else
    snprintf(n.text, sizeof n.text, "%s%d", kind, e.microbatch);
  return n;
}

static uint32_t *where(const check *c, int stage, xlm_pipeline_action e) {
  return &c->where[stage][(e.kind * c->s->chunks + e.chunk) * c->s->microbatches + e.microbatch];
}

static xlm_status check_range(const check *c, int stage, uint32_t i) {
  const xlm_stage_schedule *st = &c->s->stage[stage];
  xlm_pipeline_action e = st->at[i];
  if (e.kind == XLM_SEG_STEP) {
    if (i + 1 == st->n) return XLM_OK;
    return xlm_fail(c->err, XLM_USER,
                    "stage %d has the optimizer's step as entry %u and %s after it; the step comes last",
                    stage, i + 1, xlm_schedule_entry(c->s, st->at[i + 1]).text);
  }
  if (e.kind > XLM_SEG_STEP || e.chunk < 0 || e.chunk >= c->s->chunks || e.microbatch < 0 ||
      e.microbatch >= c->s->microbatches)
    return xlm_fail(c->err, XLM_USER,
                    "stage %d, entry %u: there is no microbatch %d of chunk %d; microbatches are 0 to "
                    "%lld, chunks 0 to %d",
                    stage, i + 1, e.microbatch, e.chunk, (long long)c->s->microbatches - 1, c->s->chunks - 1);
  if (e.kind == XLM_SEG_W && !c->s->split_weights)
    return xlm_fail(c->err, XLM_USER,
                    "stage %d, entry %u: %s, but the gradients of weights are not split off in this "
                    "schedule; leave the W entries out",
                    stage, i + 1, xlm_schedule_entry(c->s, e).text);
  return XLM_OK;
}

static xlm_status index_stage(const check *c, int stage) {
  const xlm_stage_schedule *st = &c->s->stage[stage];
  for (uint32_t i = 0; i < st->n; i++) {
    XLM_TRY(check_range(c, stage, i));
    if (st->at[i].kind == XLM_SEG_STEP) continue;
    uint32_t *at = where(c, stage, st->at[i]);
    if (*at)
      return xlm_fail(c->err, XLM_USER,
                      "stage %d runs %s twice, as entry %u and as entry %u; it must run it once", stage,
                      xlm_schedule_entry(c->s, st->at[i]).text, *at, i + 1);
    *at = i + 1;
  }
  if (st->n && st->at[st->n - 1].kind == XLM_SEG_STEP) return XLM_OK;
  return xlm_fail(c->err, XLM_USER, "stage %d does not end with the optimizer's step", stage);
}

// F, B and W of one microbatch and chunk: all present, in this order.
static xlm_status check_order(const check *c, int stage, int chunk, int64_t microbatch) {
  xlm_pipeline_action last = {XLM_SEG_F, (int16_t)chunk, (int32_t)microbatch};
  uint32_t last_at = *where(c, stage, last);
  for (int k = XLM_SEG_F; k <= (c->s->split_weights ? XLM_SEG_W : XLM_SEG_B); k++) {
    xlm_pipeline_action e = {(xlm_segment_kind)k, (int16_t)chunk, (int32_t)microbatch};
    uint32_t at = *where(c, stage, e);
    if (!at && k == XLM_SEG_F)
      return xlm_fail(c->err, XLM_USER, "stage %d never runs %s; every stage runs every microbatch once",
                      stage, xlm_schedule_entry(c->s, e).text);
    if (!at)
      return xlm_fail(c->err, XLM_USER, "stage %d runs %s (entry %u) but never %s, which has to follow it",
                      stage, xlm_schedule_entry(c->s, last).text, last_at, xlm_schedule_entry(c->s, e).text);
    if (at < last_at)
      return xlm_fail(c->err, XLM_USER,
                      "stage %d runs %s (entry %u) before %s (entry %u), whose values it needs; put it "
                      "after",
                      stage, xlm_schedule_entry(c->s, e).text, at, xlm_schedule_entry(c->s, last).text,
                      last_at);
    last = e, last_at = at;
  }
  return XLM_OK;
}

// Microbatch 0 starts the sums over the microbatches (it overwrites those of the last step), so it must come
// first.
static xlm_status check_first(const check *c, int stage, xlm_segment_kind kind, int chunk) {
  xlm_pipeline_action first = {kind, (int16_t)chunk, 0}, other = first;
  for (int64_t m = 1; m < c->s->microbatches; m++) {
    other.microbatch = (int32_t)m;
    if (*where(c, stage, other) < *where(c, stage, first))
      return xlm_fail(c->err, XLM_USER,
                      "stage %d runs %s (entry %u) before %s (entry %u); microbatch 0 starts the sums of "
                      "gradients and losses, so it has to come first",
                      stage, xlm_schedule_entry(c->s, other).text, *where(c, stage, other),
                      xlm_schedule_entry(c->s, first).text, *where(c, stage, first));
  }
  return XLM_OK;
}

static xlm_status check_stage(const check *c, int stage) {
  XLM_TRY(index_stage(c, stage));
  for (int k = 0; k < c->s->chunks; k++)
    for (int64_t m = 0; m < c->s->microbatches; m++) XLM_TRY(check_order(c, stage, k, m));
  for (int kind = XLM_SEG_F; kind <= (c->s->split_weights ? XLM_SEG_W : XLM_SEG_B); kind++)
    for (int k = 0; k < c->s->chunks; k++) XLM_TRY(check_first(c, stage, (xlm_segment_kind)kind, k));
  return XLM_OK;
}

// ---- deadlocks ----

enum { MOST_LINKS = 8 };

// Appends "stage 0 waits in B0 (entry 2) for B0 of stage 1 (entry 3), "; returns the stage waited for.
static int add_link(const check *c, xlm_text *t, int stage, uint32_t at, bool say) {
  xlm_pipeline_action e = c->s->stage[stage].at[at];
  xlm_action_need need;
  bool waits = xlm_schedule_need(c->s, stage, e, &need);
  XLM_ASSERT(waits, "stage %d is stuck without a need", stage);
  if (say)
    xlm_text_printf(t, "%sstage %d cannot run %s (entry %u) before %s of stage %d, which is entry %u there",
                    t->n ? "; " : "", stage, xlm_schedule_entry(c->s, e).text, at + 1,
                    xlm_schedule_entry(c->s, need.op).text, need.stage, *where(c, need.stage, need.op));
  return need.stage;
}

static xlm_status explain(const check *c, const uint32_t *at, int stage) {
  xlm_text t = xlm_text_new(c->arena);
  for (int i = 0; i < c->s->stages; i++) stage = add_link(c, &t, stage, at[stage], false); // now on the cycle
  int first = stage, links = 0;
  do stage = add_link(c, &t, stage, at[stage], links++ < MOST_LINKS);
  while (stage != first);
  return xlm_fail(c->err, XLM_USER, "the schedule has a deadlock: %.1800s%s", t.data,
                  links > MOST_LINKS ? "; and so on around the cycle" : "");
}

xlm_status xlm_schedule_check(const xlm_schedule_plan *s, xlm_arena *a, xlm_error *err) {
  check c = {.s = s, .arena = a, .where = XLM_NEW_N(a, uint32_t *, s->stages), .err = err};
  for (int st = 0; st < s->stages; st++)
    c.where[st] = XLM_NEW_N(a, uint32_t, XLM_SEG_STEP * s->chunks * s->microbatches);
  for (int st = 0; st < s->stages; st++) XLM_TRY(check_stage(&c, st));
  uint32_t *at = XLM_NEW_N(a, uint32_t, s->stages);
  (void)xlm_schedule_walk(s, NULL, a, at, NULL);
  for (int st = 0; st < s->stages; st++)
    if (at[st] < s->stage[st].n) return explain(&c, at, st);
  return XLM_OK;
}
