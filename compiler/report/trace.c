// The planned step as a trace: the times that the estimate's schedule gives, with the messages between
// neighbouring parts.
#include "compiler/report/trace.h"

#include "runtime/plan/mesh.h"

typedef struct tracer {
  const xlm_plan *p;
  const xlm_estimate *e;
  xlm_text *t;
  const xlm_rank_plan **stage; // one class of each
  xlm_slot_time *ran[2];       // F and B: [part * microbatches + microbatch]
  int64_t messages;
} tracer;

static int64_t rank_of(const tracer *w, int stage) {
  return xlm_mesh_rank(&w->p->mesh, w->stage[stage]->coord);
}

static void slices(tracer *w, int stage, double pipeline_end) {
  const xlm_rank_plan *r = w->stage[stage];
  const xlm_schedule_plan *s = w->e->schedule;
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *g = &r->segments[r->schedule[i].segment];
    xlm_slot_time at = w->e->times[stage][i];
    if (g->kind == XLM_SEG_STEP) at = (xlm_slot_time){pipeline_end, pipeline_end + w->e->optimizer[stage]};
    if (g->kind <= XLM_SEG_B)
      w->ran[g->kind][(g->chunk * s->stages + stage) * s->microbatches + r->schedule[i].microbatch] = at;
    xlm_trace_slice(w->t, XLM_TRACE_PLANNED, rank_of(w, stage), g, r->schedule[i].microbatch, s->chunks,
                    at.start, at.end);
  }
}

static void messages(tracer *w, int part) { // between `part` and the next, there and back
  const xlm_schedule_plan *s = w->e->schedule;
  int64_t low = rank_of(w, part % s->stages), high = rank_of(w, (part + 1) % s->stages);
  for (int64_t m = 0; m < s->microbatches; m++) {
    xlm_slot_time *f = &w->ran[XLM_SEG_F][part * s->microbatches + m],
                  *b = &w->ran[XLM_SEG_B][part * s->microbatches + m];
    xlm_trace_message(w->t, XLM_TRACE_PLANNED, w->messages++, low, f->end, high, f[s->microbatches].start);
    xlm_trace_message(w->t, XLM_TRACE_PLANNED, w->messages++, high, b[s->microbatches].end, low, b->start);
  }
}

void xlm_report_trace(const xlm_plan *p, const xlm_estimate *e, xlm_text *out) {
  const xlm_schedule_plan *s = e->schedule;
  int parts = s->stages * s->chunks;
  tracer w = {.p = p, .e = e, .t = out, .stage = XLM_NEW_N(out->arena, const xlm_rank_plan *, s->stages)};
  for (int k = 0; k < 2; k++) w.ran[k] = XLM_NEW_N(out->arena, xlm_slot_time, parts * s->microbatches);
  for (uint32_t c = p->n_classes; c-- > 0;)
    w.stage[p->classes[c]->stage] = p->classes[c]; // the first of each
  double end = 0;
  for (int st = 0; st < s->stages; st++)
    for (uint32_t i = 0; i < s->stage[st].n; i++)
      if (e->times[st][i].end > end) end = e->times[st][i].end;
  xlm_trace_open(out, XLM_TRACE_PLANNED, p->model);
  for (int st = 0; st < s->stages; st++) xlm_trace_track(out, XLM_TRACE_PLANNED, rank_of(&w, st), st);
  for (int st = 0; st < s->stages; st++) slices(&w, st, end);
  for (int part = 0; part + 1 < parts && s->stages > 1; part++) messages(&w, part);
  xlm_trace_close(out);
}
