// The estimate of a step: every segment as two streams, then the schedule over all stages, then the
// optimizer.
#include "compiler/planner/estimate.h"

// ---- one segment ----

enum { KERNELS, COLLECTIVES };

typedef struct use { // of memory in the area of temporaries
  uint64_t begin, end;
  double until;
} use;

typedef struct streams {
  const xlm_rank_plan *r;
  xlm_arena *a;
  double *written; // by tensor that owns its place: when
  use *uses;
  uint32_t n_uses, cap_uses;
  double free_at[2]; // KERNELS, COLLECTIVES
} streams;

static uint32_t owner(const xlm_rank_plan *r, uint32_t t) {
  while (r->tensors[t].view_of) t = r->tensors[t].view_of;
  return t;
}

static double operands_written(const streams *s, const xlm_instr *in) {
  double at = 0;
  for (int i = 0; i < in->n_in; i++) {
    double w = s->written[owner(s->r, in->in[i])];
    if (w > at) at = w;
  }
  return at;
}

static double memory_free(const streams *s, const xlm_instr *in) {
  double at = 0;
  for (int i = 0; i < in->n_out; i++) {
    const xlm_tensor *t = &s->r->tensors[owner(s->r, in->out[i])];
    for (uint32_t k = 0; t->area == XLM_AREA_TEMP && k < s->n_uses; k++)
      if (s->uses[k].begin < t->offset + t->bytes && t->offset < s->uses[k].end && s->uses[k].until > at)
        at = s->uses[k].until;
  }
  return at;
}

static void note_use(streams *s, uint32_t tensor, double until) {
  const xlm_tensor *t = &s->r->tensors[owner(s->r, tensor)];
  if (t->area != XLM_AREA_TEMP) return;
  use u = {t->offset, t->offset + t->bytes, until};
  XLM_PUSH(s->a, s->uses, s->n_uses, s->cap_uses, u);
}

static void run_instr(streams *s, const xlm_instr *in, int line, double seconds, bool watch_memory) {
  double start = operands_written(s, in);
  if (line == COLLECTIVES) {
    double room = memory_free(s, in);
    if (room > start) start = room;
  }
  if (s->free_at[line] > start) start = s->free_at[line];
  double end = s->free_at[line] = start + seconds;
  for (int i = 0; i < in->n_out; i++) s->written[owner(s->r, in->out[i])] = end;
  for (int i = 0; watch_memory && i < in->n_in; i++) note_use(s, in->in[i], end);
  for (int i = 0; watch_memory && i < in->n_out; i++) note_use(s, in->out[i], end);
}

// Who reads each tensor in a segment: kernels (bit 0), collectives (bit 1).
static uint8_t *find_readers(const xlm_rank_plan *r, const xlm_segment *g, const bool *communicates,
                             xlm_arena *a) {
  uint8_t *readers = XLM_NEW_N(a, uint8_t, r->n_tensors);
  for (uint32_t i = 0; i < g->n; i++) {
    const xlm_instr *in = &r->instrs[g->first + i];
    for (int k = 0; k < in->n_in; k++) readers[in->in[k]] |= communicates[i] ? 2 : 1;
  }
  return readers;
}

// A kernel that prepares weights for a collective, and for nothing else, goes with it: it can run ahead.
static bool prepares(const xlm_rank_plan *r, const xlm_instr *in, const uint8_t *readers) {
  for (int i = 0; i < in->n_in; i++)
    if (r->tensors[owner(r, in->in[i])].area != XLM_AREA_STATE) return false;
  for (int i = 0; i < in->n_out; i++)
    if (readers[in->out[i]] != 2 || r->tensors[owner(r, in->out[i])].area == XLM_AREA_STATE) return false;
  return in->n_in > 0 && in->n_out > 0;
}

xlm_segment_cost xlm_estimate_segment(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                      const xlm_segment *g, xlm_arena *a) {
  xlm_segment_cost out = {0};
  streams s = {.r = r, .a = a, .written = XLM_NEW_N(a, double, r->n_tensors)};
  bool *communicates = XLM_NEW_N(a, bool, g->n);
  double *seconds = XLM_NEW_N(a, double, g->n);
  for (uint32_t i = 0; i < g->n; i++) {
    const xlm_instr *in = &r->instrs[g->first + i];
    seconds[i] = xlm_estimate_instr(c, p, r, in, &communicates[i]);
    *(communicates[i] ? &out.communication : &out.compute) += seconds[i];
    out.message += xlm_estimate_message(c, p, r, in);
  }
  const uint8_t *readers = find_readers(r, g, communicates, a);
  for (uint32_t i = 0; i < g->n; i++) {
    const xlm_instr *in = &r->instrs[g->first + i];
    run_instr(&s, in, communicates[i] || prepares(r, in, readers) ? COLLECTIVES : KERNELS, seconds[i],
              out.communication > 0);
  }
  out.total = s.free_at[0] > s.free_at[1] ? s.free_at[0] : s.free_at[1];
  return out;
}

// ---- the schedule, as the plan has it ----

static const xlm_rank_plan *class_of_stage(const xlm_plan *p, int stage) {
  for (uint32_t c = 0; c < p->n_classes; c++)
    if (p->classes[c]->stage == stage) return p->classes[c];
  XLM_ASSERT(false, "no rank of stage %d", stage);
  return NULL;
}

static xlm_schedule_plan *schedule_of(const xlm_plan *p, xlm_arena *a) {
  xlm_schedule_plan *s = XLM_NEW(a, xlm_schedule_plan);
  *s = (xlm_schedule_plan){.name = "planned", .stages = 1, .chunks = 1, .microbatches = p->microbatches};
  for (uint32_t c = 0; c < p->n_classes; c++) {
    const xlm_rank_plan *r = p->classes[c];
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
      xlm_slot_op e = {g->kind, g->chunk, r->schedule[i].microbatch};
      XLM_PUSH(a, out->at, out->n, out->cap, e);
    }
  }
  return s;
}

// ---- all stages ----

typedef struct sums {
  xlm_part_cost *parts, *serial;
  double *optimizer, *serial_optimizer;
  double compute, communication; // of the rank in hand
} sums;

static void keep_larger(double *at, double x) {
  if (x > *at) *at = x;
}

// A segment whose rest runs for the other microbatches counts as what it takes longer.
static void add_segment(sums *s, const xlm_schedule_plan *sp, const xlm_segment *g, double times,
                        const xlm_segment_cost *cost, const xlm_segment_cost *rest) {
  if (g->kind == XLM_SEG_EVAL) return;
  double serial = cost->compute + cost->communication;
  s->compute += times * cost->compute;
  s->communication += times * cost->communication;
  if (g->kind == XLM_SEG_STEP) {
    keep_larger(&s->optimizer[g->stage], cost->total);
    keep_larger(&s->serial_optimizer[g->stage], serial);
    return;
  }
  int part = g->chunk * sp->stages + g->stage;
  xlm_part_cost *p = &s->parts[part], *q = &s->serial[part];
  if (rest) {
    keep_larger(&p->last, cost->total - rest->total);
    keep_larger(&q->last, serial - rest->compute - rest->communication);
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

static sums sum_up(const xlm_plan *p, const xlm_cluster *c, const xlm_schedule_plan *sp, xlm_estimate *out,
                   xlm_arena *a) {
  int parts = sp->stages * sp->chunks;
  sums s = {XLM_NEW_N(a, xlm_part_cost, parts),
            XLM_NEW_N(a, xlm_part_cost, parts),
            XLM_NEW_N(a, double, sp->stages),
            XLM_NEW_N(a, double, sp->stages),
            0,
            0};
  for (uint32_t k = 0; k < p->n_classes; k++) {
    const xlm_rank_plan *r = p->classes[k];
    s.compute = s.communication = 0;
    xlm_segment_cost *cost = XLM_NEW_N(a, xlm_segment_cost, r->n_segments);
    const xlm_segment_cost **rest = XLM_NEW_N(a, const xlm_segment_cost *, r->n_segments);
    for (uint32_t i = 0; i < r->n_segments; i++) {
      if (r->segments[i].kind == XLM_SEG_EVAL) continue;
      cost[i] = xlm_estimate_segment(c, p, r, &r->segments[i], a);
      if (r->segments[i].rest) rest[xlm_plan_whole(r, i)] = &cost[i];
    }
    for (uint32_t i = 0; i < r->n_segments; i++)
      add_segment(&s, sp, &r->segments[i], (double)xlm_plan_runs(r, i), &cost[i], rest[i]);
    if (s.compute + s.communication <= out->compute + out->communication) continue;
    out->compute = s.compute;
    out->communication = s.communication;
  }
  return s;
}

xlm_estimate xlm_estimate_plan(const xlm_plan *p, const xlm_cluster *c, xlm_arena *a) {
  xlm_estimate e = {.tokens = (double)p->batch * (double)p->microbatches * (double)p->seq};
  const xlm_schedule_plan *sp = schedule_of(p, a);
  sums s = sum_up(p, c, sp, &e, a);
  e.schedule = sp;
  e.parts = s.parts;
  e.optimizer = s.optimizer;
  e.times = XLM_NEW_N(a, xlm_slot_time *, sp->stages);
  e.step = xlm_schedule_simulate(sp, s.parts, a, e.times, &e.bubble) + largest(s.optimizer, sp->stages);
  if (e.bubble < 0) e.bubble = 0; // rounding
  e.step_serial =
      xlm_schedule_simulate(sp, s.serial, a, NULL, NULL) + largest(s.serial_optimizer, sp->stages);
  e.model_flops = p->model_flops_per_token * e.tokens;
  e.tokens_per_second = e.tokens / e.step;
  e.mfu = e.model_flops / e.step / (xlm_cluster_peak(c, p->dtype) * (double)p->n_ranks);
  return e;
}
