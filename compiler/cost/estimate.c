// Estimates a step: every segment as two streams, then the schedule over all stages, then the optimizer.
#include "compiler/cost/estimate.h"

// ---- one segment ----

// at: [g->n], the interval of each instruction.
static xlm_segment_cost run_segment(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                    const xlm_segment *g, xlm_interval *at) {
  xlm_segment_cost out = {0};
  double free_at[XLM_STREAMS] = {0};
  for (uint32_t i = 0; i < g->n; i++) {
    const xlm_instr *in = &r->instrs[g->first + i];
    bool communicates;
    double seconds = xlm_estimate_instr(c, p, r, in, &communicates), start = free_at[in->stream];
    *(communicates ? &out.communication : &out.compute) += seconds;
    out.message += xlm_estimate_message(c, p, r, in);
    if (in->after && at[in->after - 1 - g->first].end > start) start = at[in->after - 1 - g->first].end;
    at[i] = (xlm_interval){start, free_at[in->stream] = start + seconds};
  }
  for (int k = 0; k < XLM_STREAMS; k++)
    if (free_at[k] > out.total) out.total = free_at[k];
  return out;
}

xlm_segment_cost xlm_estimate_segment(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                      const xlm_segment *g, xlm_arena *a) {
  return run_segment(c, p, r, g, XLM_NEW_N(a, xlm_interval, g->n));
}

xlm_interval *xlm_estimate_instrs(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                  const xlm_segment *g, xlm_arena *a) {
  xlm_interval *at = XLM_NEW_N(a, xlm_interval, g->n);
  (void)run_segment(c, p, r, g, at);
  return at;
}

// ---- the schedule of the plan ----

static const xlm_rank_plan *class_of_stage(const xlm_plan *p, int stage) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->stage == stage) return p->rank_plans[c];
  XLM_ASSERT(false, "no rank of stage %d", stage);
  return NULL;
}

static xlm_schedule_plan *schedule_of(const xlm_plan *p, xlm_arena *a) {
  xlm_schedule_plan *s = XLM_NEW(a, xlm_schedule_plan);
  *s = (xlm_schedule_plan){.name = "planned", .stages = 1, .chunks = 1, .microbatches = p->microbatches};
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *r = p->rank_plans[c];
    if (r->stage >= s->stages) s->stages = r->stage + 1;
    for (uint32_t i = 0; i < r->n_segments; i++) {
      if (r->segments[i].kind == XLM_SEG_W) s->split_weights = true;
      if (r->segments[i].chunk >= s->chunks) s->chunks = r->segments[i].chunk + 1;
    }
  }
  s->stage = XLM_NEW_N(a, xlm_stage_schedule, s->stages);
  for (int st = 0; st < s->stages; st++) {
    const xlm_rank_plan *r = class_of_stage(p, st);
    xlm_stage_schedule *out = &s->stage[st];
    for (uint32_t i = 0; i < r->n_schedule; i++) {
      const xlm_segment *g = &r->segments[r->schedule[i].segment];
      xlm_pipeline_action e = {g->kind, g->chunk, r->schedule[i].microbatch};
      XLM_PUSH(a, out->at, out->n, out->cap, e);
    }
  }
  return s;
}

// ---- all stages ----

typedef struct sums {
  xlm_part_cost *parts, *serial;
  double *optimizer, *serial_optimizer;
  double compute, communication, once, serial_once; // of the current rank; once: prologue and step
} sums;

static void keep_larger(double *at, double x) {
  if (x > *at) *at = x;
}

// Adds the time by which this variant exceeds the others.
static void add_segment(sums *s, const xlm_schedule_plan *sp, const xlm_segment *g, double times,
                        const xlm_segment_cost *cost, const xlm_segment_cost *shorter) {
  if (xlm_segment_program(g->kind) != XLM_PROGRAM_TRAIN) return;
  double serial = cost->compute + cost->communication;
  s->compute += times * cost->compute;
  s->communication += times * cost->communication;
  if (xlm_segment_is_once(g->kind)) {
    s->once += cost->total;
    s->serial_once += serial;
    return;
  }
  int part = g->chunk * sp->stages + g->stage;
  xlm_part_cost *p = &s->parts[part], *q = &s->serial[part];
  if (shorter) {
    keep_larger(&p->last, cost->total - shorter->total);
    keep_larger(&q->last, serial - shorter->compute - shorter->communication);
    return;
  }
  double *at[][2] = {{&p->f, &q->f}, {&p->b, &q->b}, {&p->w, &q->w}};
  keep_larger(at[g->kind][0], cost->total);
  keep_larger(at[g->kind][1], serial);
  if (g->kind == XLM_SEG_F) {
    keep_larger(&p->send, cost->message);
    keep_larger(&q->send, cost->message);
  }
}

static double largest(const double *x, int n) {
  double most = 0;
  for (int i = 0; i < n; i++) keep_larger(&most, x[i]);
  return most;
}

static double floor_of(const xlm_cluster *c, const xlm_rank_plan *r) {
  double seconds = 0;
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *g = &r->segments[s];
    if (xlm_segment_program(g->kind) != XLM_PROGRAM_TRAIN) continue;
    for (uint32_t i = g->first; i < g->first + g->n; i++)
      seconds += (double)xlm_plan_runs(r, s) * xlm_estimate_floor(c, r, &r->instrs[i]);
  }
  return seconds;
}

static sums sum_up(const xlm_plan *p, const xlm_cluster *c, const xlm_schedule_plan *sp, xlm_estimate *out,
                   xlm_arena *a) {
  int parts = sp->stages * sp->chunks;
  sums s = {XLM_NEW_N(a, xlm_part_cost, parts),
            XLM_NEW_N(a, xlm_part_cost, parts),
            XLM_NEW_N(a, double, sp->stages),
            XLM_NEW_N(a, double, sp->stages),
            0,
            0,
            0,
            0};
  for (uint32_t k = 0; k < p->n_rank_plans; k++) {
    const xlm_rank_plan *r = p->rank_plans[k];
    s.compute = s.communication = s.once = s.serial_once = 0;
    xlm_segment_cost *cost = XLM_NEW_N(a, xlm_segment_cost, r->n_segments);
    const xlm_segment_cost **shorter = XLM_NEW_N(a, const xlm_segment_cost *, r->n_segments);
    for (uint32_t i = 0; i < r->n_segments; i++) {
      if (xlm_segment_program(r->segments[i].kind) != XLM_PROGRAM_TRAIN) continue;
      cost[i] = xlm_estimate_segment(c, p, r, &r->segments[i], a);
      if (xlm_plan_whole(r, i) != i) shorter[xlm_plan_whole(r, i)] = &cost[i];
    }
    for (uint32_t i = 0; i < r->n_segments; i++)
      add_segment(&s, sp, &r->segments[i], (double)xlm_plan_runs(r, i), &cost[i], shorter[i]);
    keep_larger(&s.optimizer[r->stage], s.once);
    keep_larger(&s.serial_optimizer[r->stage], s.serial_once);
    if (s.compute + s.communication <= out->compute + out->communication) continue;
    out->compute = s.compute;
    out->communication = s.communication;
    out->floor = floor_of(c, r);
  }
  return s;
}

// The step segment starts on all stages after the whole pipeline, since the norm is over the gradients of all
// stages.
static void add_step_times(xlm_estimate *e, double pipeline) {
  for (int st = 0; st < e->schedule->stages; st++)
    for (uint32_t i = 0; i < e->schedule->stage[st].n; i++)
      if (e->schedule->stage[st].at[i].kind == XLM_SEG_STEP)
        e->times[st][i] = (xlm_interval){pipeline, pipeline + e->optimizer[st]};
}

xlm_estimate xlm_estimate_plan(const xlm_plan *p, const xlm_cluster *c, xlm_arena *a) {
  xlm_estimate e = {.tokens = (double)p->batch * (double)p->microbatches * (double)p->seq};
  const xlm_schedule_plan *sp = schedule_of(p, a);
  sums s = sum_up(p, c, sp, &e, a);
  e.schedule = sp;
  e.parts = s.parts;
  e.optimizer = s.optimizer;
  e.times = XLM_NEW_N(a, xlm_interval *, sp->stages);
  double pipeline = xlm_schedule_simulate(sp, s.parts, a, e.times, &e.bubble);
  add_step_times(&e, pipeline);
  e.step = pipeline + largest(s.optimizer, sp->stages);
  if (e.bubble < 0) e.bubble = 0; // rounding
  e.step_serial =
      xlm_schedule_simulate(sp, s.serial, a, NULL, NULL) + largest(s.serial_optimizer, sp->stages);
  e.model_flops = p->model_flops_per_token * e.tokens;
  e.tokens_per_second = e.tokens / e.step;
  e.mfu = e.model_flops / e.step / (xlm_cluster_peak(c, p->dtype) * (double)p->n_ranks);
  return e;
}
