// Simulates when the entries of a schedule run.
//
// Stages run concurrently, each strictly in order: an entry starts when its stage is free and its inputs have
// arrived. A blocked stage is revisited when a neighbour has finished an entry, so every entry is visited a
// bounded number of times and the time is linear. The result is the longest path through the step.
#include "compiler/schedule/schedule.h"

#include "compiler/schedule/schedule_priv.h"

typedef struct walk {
  const xlm_schedule_plan *s;
  const xlm_part_cost *cost;  // NULL: only the order matters
  double *done[XLM_SEG_STEP]; // by kind: [part * microbatches + microbatch], -1 = not yet
  double *free_at;
  uint32_t *at;
  uint32_t *last; // by part: the entry of its last backward (with W segments: of its last W)
  xlm_interval **times;
  int *waiting; // a stack of stages to visit, and whether a stage is on it
  int n_waiting;
  bool *listed;
} walk;

static int part_of(const xlm_schedule_plan *s, int stage, xlm_pipeline_action e) {
  return e.chunk * s->stages + stage;
}

bool xlm_schedule_need(const xlm_schedule_plan *s, int stage, xlm_pipeline_action e, xlm_action_need *need) {
  int part = part_of(s, stage, e), from = e.kind == XLM_SEG_F ? part - 1 : part + 1;
  if (e.kind != XLM_SEG_F && e.kind != XLM_SEG_B) return false;
  if (from < 0 || from >= s->stages * s->chunks) return false;
  *need = (xlm_action_need){from % s->stages, {e.kind, (int16_t)(from / s->stages), e.microbatch}};
  return true;
}

static double *done_at(const walk *w, xlm_segment_kind kind, int part, int64_t microbatch) {
  return &w->done[kind][part * w->s->microbatches + microbatch];
}

// When the inputs of `e` are available; -1: not yet.
static double ready(const walk *w, int stage, xlm_pipeline_action e) {
  if (xlm_segment_is_once(e.kind)) return 0;
  int part = part_of(w->s, stage, e);
  double own = e.kind == XLM_SEG_F ? 0 : *done_at(w, e.kind - 1, part, e.microbatch); // F before B before W
  xlm_action_need need;
  if (own < 0 || !xlm_schedule_need(w->s, stage, e, &need)) return own;
  int from = part_of(w->s, need.stage, need.op);
  double there = *done_at(w, e.kind, from, e.microbatch);
  if (there < 0) return -1;
  if (w->cost && w->s->stages > 1) there += w->cost[from < part ? from : part].send;
  return there > own ? there : own;
}

static double seconds(const walk *w, int stage, xlm_pipeline_action e) {
  if (!w->cost || xlm_segment_is_once(e.kind)) return 0;
  const xlm_part_cost *c = &w->cost[part_of(w->s, stage, e)];
  if (e.kind == XLM_SEG_F) return c->f;
  if (e.kind == XLM_SEG_W) return c->w;
  return w->s->split_weights ? c->b : c->b + c->w;
}

// Runs after its message is sent, so only its own stage waits for it.
static double last_seconds(const walk *w, int stage, uint32_t entry) {
  xlm_pipeline_action e = w->s->stage[stage].at[entry];
  if (!w->cost || e.kind == XLM_SEG_F || xlm_segment_is_once(e.kind)) return 0;
  return w->last[part_of(w->s, stage, e)] == entry ? w->cost[part_of(w->s, stage, e)].last : 0;
}

static uint32_t *find_last(const xlm_schedule_plan *s, xlm_arena *a) {
  uint32_t *last = XLM_NEW_N(a, uint32_t, s->stages * s->chunks);
  for (int st = 0; st < s->stages; st++)
    for (uint32_t i = 0; i < s->stage[st].n; i++)
      if (s->stage[st].at[i].kind == (s->split_weights ? XLM_SEG_W : XLM_SEG_B))
        last[part_of(s, st, s->stage[st].at[i])] = i;
  return last;
}

static void look_at(walk *w, int stage) {
  if (w->listed[stage]) return;
  w->listed[stage] = true;
  w->waiting[w->n_waiting++] = stage;
}

static void wake_neighbour(walk *w, int stage, xlm_pipeline_action e) {
  int part = part_of(w->s, stage, e), to = e.kind == XLM_SEG_F ? part + 1 : part - 1;
  if (e.kind <= XLM_SEG_B && to >= 0 && to < w->s->stages * w->s->chunks) look_at(w, to % w->s->stages);
}

static void run_stage(walk *w, int stage) {
  const xlm_stage_schedule *st = &w->s->stage[stage];
  for (; w->at[stage] < st->n; w->at[stage]++) {
    xlm_pipeline_action e = st->at[w->at[stage]];
    double start = ready(w, stage, e);
    if (start < 0) return;
    if (start < w->free_at[stage]) start = w->free_at[stage];
    double sent = start + seconds(w, stage, e), end = sent + last_seconds(w, stage, w->at[stage]);
    w->free_at[stage] = end;
    if (w->times) w->times[stage][w->at[stage]] = (xlm_interval){xlm_segment_is_once(e.kind) ? end : start, end};
    if (xlm_segment_is_once(e.kind)) continue;
    *done_at(w, e.kind, part_of(w->s, stage, e), e.microbatch) = sent;
    wake_neighbour(w, stage, e);
  }
}

double xlm_schedule_walk(const xlm_schedule_plan *s, const xlm_part_cost *cost, xlm_arena *a, uint32_t *at,
                         xlm_interval **times) {
  walk w = {.s = s,
            .cost = cost,
            .at = at,
            .times = times,
            .last = find_last(s, a),
            .free_at = XLM_NEW_N(a, double, s->stages),
            .waiting = XLM_NEW_N(a, int, s->stages),
            .listed = XLM_NEW_N(a, bool, s->stages)};
  int64_t n = s->microbatches * s->stages * s->chunks;
  for (int k = 0; k < XLM_SEG_STEP; k++) {
    w.done[k] = XLM_NEW_N(a, double, n);
    for (int64_t i = 0; i < n; i++) w.done[k][i] = -1;
  }
  for (int st = s->stages - 1; st >= 0; st--) look_at(&w, st);
  while (w.n_waiting) {
    int st = w.waiting[--w.n_waiting];
    w.listed[st] = false;
    run_stage(&w, st);
  }
  double end = 0;
  for (int st = 0; st < s->stages; st++) end = w.free_at[st] > end ? w.free_at[st] : end;
  return end;
}

double xlm_schedule_simulate(const xlm_schedule_plan *s, const xlm_part_cost *cost, xlm_arena *a,
                             xlm_interval **times, double *bubble) {
  uint32_t *at = XLM_NEW_N(a, uint32_t, s->stages);
  for (int st = 0; times && st < s->stages; st++) times[st] = XLM_NEW_N(a, xlm_interval, s->stage[st].n);
  double length = xlm_schedule_walk(s, cost, a, at, times), busy = 0;
  for (int st = 0; st < s->stages; st++)
    XLM_ASSERT(at[st] == s->stage[st].n, "stage %d stands still: not checked", st);
  for (int part = 0; part < s->stages * s->chunks; part++)
    busy += (cost[part].f + cost[part].b + cost[part].w) * (double)s->microbatches + cost[part].last;
  if (bubble) *bubble = length > 0 ? 1 - busy / (length * s->stages) : 0;
  return length;
}
