// The planned step as a trace: the times of the estimate's schedule, within them those of its two streams,
// and the messages between neighbouring parts.
#include "compiler/report/trace.h"

#include "runtime/plan/mesh.h"

typedef struct tracer {
  const xlm_plan *p;
  const xlm_cluster *c;
  const xlm_estimate *e;
  xlm_arena *a;
  xlm_json *j;
  const xlm_rank_plan **stage; // one rank plan of each
  xlm_interval **ops;          // of the current stage, by segment; NULL: not computed yet
  bool with_ops;
  xlm_interval *ran[2]; // F and B: [part * microbatches + microbatch]
  int64_t messages;
} tracer;

static int64_t rank_of(const tracer *w, int stage) {
  return xlm_mesh_rank(&w->p->mesh, w->stage[stage]->coord);
}

static void tracks(tracer *w, int stage) {
  xlm_trace_track(w->j, XLM_TRACE_PLANNED, rank_of(w, stage), XLM_STREAM_KERNELS, stage);
  if (w->with_ops && w->p->n_ranks > 1)
    xlm_trace_track(w->j, XLM_TRACE_PLANNED, rank_of(w, stage), XLM_STREAM_COMM, stage);
}

static void ops(tracer *w, int stage, uint32_t segment, double start) {
  const xlm_rank_plan *r = w->stage[stage];
  const xlm_segment *g = &r->segments[segment];
  if (!w->ops[segment]) w->ops[segment] = xlm_estimate_instrs(w->c, w->p, r, g, w->a);
  for (uint32_t i = 0; i < g->n; i++) {
    const xlm_interval *at = &w->ops[segment][i];
    const xlm_instr *in = &r->instrs[g->first + i];
    xlm_trace_instr(w->j, XLM_TRACE_PLANNED, rank_of(w, stage), in->stream, w->p, in, start + at->start,
                    start + at->end);
  }
}

static void slices(tracer *w, int stage) {
  const xlm_rank_plan *r = w->stage[stage];
  const xlm_schedule_plan *s = w->e->schedule;
  w->ops = XLM_NEW_N(w->a, xlm_interval *, r->n_segments);
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    uint32_t segment = r->schedule[i].segment;
    const xlm_segment *g = &r->segments[segment];
    xlm_interval at = w->e->times[stage][i];
    if (g->kind <= XLM_SEG_B)
      w->ran[g->kind][(g->chunk * s->stages + stage) * s->microbatches + r->schedule[i].microbatch] = at;
    xlm_trace_slice(w->j, XLM_TRACE_PLANNED, rank_of(w, stage), g, r->schedule[i].microbatch, s->chunks,
                    at.start, at.end);
    if (w->with_ops) ops(w, stage, segment, at.start);
  }
}

static void message(tracer *w, int from, double sent, int to, double received) {
  xlm_trace_message(w->j, XLM_TRACE_PLANNED, w->messages++,
                    (xlm_trace_point){rank_of(w, from), XLM_STREAM_KERNELS, sent - 1e-9},
                    (xlm_trace_point){rank_of(w, to), XLM_STREAM_KERNELS, received});
}

static void messages(tracer *w, int part) { // between `part` and the next, in both directions
  const xlm_schedule_plan *s = w->e->schedule;
  int low = part % s->stages, high = (part + 1) % s->stages;
  for (int64_t m = 0; m < s->microbatches; m++) {
    xlm_interval *f = &w->ran[XLM_SEG_F][part * s->microbatches + m],
                 *b = &w->ran[XLM_SEG_B][part * s->microbatches + m];
    message(w, low, f->end, high, f[s->microbatches].start);
    message(w, high, b[s->microbatches].end, low, b->start);
  }
}

static uint64_t count_ops(const tracer *w, int stages) {
  uint64_t n = 0;
  for (int st = 0; st < stages; st++)
    for (uint32_t i = 0; i < w->stage[st]->n_schedule; i++)
      n += w->stage[st]->segments[w->stage[st]->schedule[i].segment].n;
  return n;
}

void xlm_report_trace_events(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_arena *a,
                             xlm_json *out) {
  const xlm_schedule_plan *s = e->schedule;
  int parts = s->stages * s->chunks;
  tracer w = {
      .p = p, .c = c, .e = e, .a = a, .j = out, .stage = XLM_NEW_N(a, const xlm_rank_plan *, s->stages)};
  for (int k = 0; k < 2; k++) w.ran[k] = XLM_NEW_N(a, xlm_interval, parts * s->microbatches);
  for (uint32_t k = p->n_rank_plans; k-- > 0;)
    w.stage[p->rank_plans[k]->stage] = p->rank_plans[k]; // the first of each
  w.with_ops = count_ops(&w, s->stages) <= XLM_REPORT_TRACE_OPS;
  xlm_trace_process(out, XLM_TRACE_PLANNED, p->model);
  for (int st = 0; st < s->stages; st++) tracks(&w, st);
  for (int st = 0; st < s->stages; st++) slices(&w, st);
  for (int part = 0; part + 1 < parts && s->stages > 1; part++) messages(&w, part);
}

void xlm_report_trace(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_text *out) {
  xlm_json j;
  xlm_json_to_text(&j, out);
  xlm_trace_open(&j);
  xlm_report_trace_events(p, c, e, out->arena, &j);
  xlm_trace_close(&j);
  xlm_text_add(out, "\n");
}
