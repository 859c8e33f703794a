// Start and end of each run of a segment: the plan's schedule, simulated with the dependencies between
// stages. With an estimate in seconds; without one the unit is the forward of an average part, and parts are
// weighted by their FLOPs, so that an unbalanced cut is visible.
#include <string.h>

#include "compiler/schedule/schedule.h"
#include "compiler/report/html_priv.h"

static const xlm_rank_plan *at_stage(const xlm_plan *p, const xlm_html_stages *stages, int s) {
  return p->rank_plans[stages->rank_plan[s]];
}

static int count_chunks(const xlm_plan *p, const xlm_html_stages *stages) {
  int chunks = 1;
  for (int s = 0; s < stages->n; s++)
    for (uint32_t i = 0; i < at_stage(p, stages, s)->n_segments; i++) {
      int chunk = at_stage(p, stages, s)->segments[i].chunk;
      if (chunk >= chunks) chunks = chunk + 1;
    }
  return chunks;
}

// The planner's schedule, reconstructed from the plan of each stage.
static xlm_schedule_plan *read_schedule(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages) {
  xlm_schedule_plan *s = XLM_NEW(h->a, xlm_schedule_plan);
  *s = (xlm_schedule_plan){.name = "",
                           .stages = stages->n,
                           .chunks = count_chunks(p, stages),
                           .microbatches = p->microbatches,
                           .stage = XLM_NEW_N(h->a, xlm_stage_schedule, stages->n)};
  for (int st = 0; st < stages->n; st++) {
    const xlm_rank_plan *r = at_stage(p, stages, st);
    for (uint32_t i = 0; i < r->n_schedule; i++) {
      const xlm_segment *g = &r->segments[r->schedule[i].segment];
      xlm_pipeline_action op = {g->kind, xlm_segment_is_once(g->kind) ? 0 : g->chunk, r->schedule[i].microbatch};
      s->split_weights |= g->kind == XLM_SEG_W;
      XLM_PUSH(h->a, s->stage[st].at, s->stage[st].n, s->stage[st].cap, op);
    }
  }
  return s;
}

static double segment_flops(const xlm_rank_plan *r, const xlm_segment *g) {
  double flops = 0;
  for (uint32_t i = g->first; i < g->first + g->n; i++) flops += r->instrs[i].flops;
  return flops;
}

static xlm_part_cost *weigh(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages,
                            const xlm_schedule_plan *s) {
  int parts = s->stages * s->chunks;
  xlm_part_cost *cost = XLM_NEW_N(h->a, xlm_part_cost, parts);
  double forward = 0;
  for (int st = 0; st < stages->n; st++)
    for (uint32_t i = 0; i < at_stage(p, stages, st)->n_segments; i++) {
      const xlm_rank_plan *r = at_stage(p, stages, st);
      const xlm_segment *g = &r->segments[i];
      xlm_part_cost *c = &cost[g->chunk * s->stages + st];
      double flops = segment_flops(r, g);
      if (g->kind == XLM_SEG_F) c->f = flops, forward += flops / parts;
      if (g->kind == XLM_SEG_B) c->b = flops;
      if (g->kind == XLM_SEG_W) c->w = flops;
    }
  for (int k = 0; k < parts; k++) {
    xlm_part_cost *c = &cost[k];
    if (forward > 0)
      *c = (xlm_part_cost){.f = c->f / forward, .b = c->b / forward, .w = c->w / forward};
    else
      *c = (xlm_part_cost){.f = 1, .b = s->split_weights ? 1 : 2, .w = s->split_weights ? 1 : 0};
  }
  return cost;
}

static void write_times(xlm_html *h, const xlm_schedule_plan *s, xlm_interval *const *times) {
  xlm_html_open(h, "times", "[");
  for (int st = 0; st < s->stages; st++) {
    xlm_html_open(h, NULL, "[");
    for (uint32_t i = 0; i < s->stage[st].n; i++) {
      xlm_html_open(h, NULL, "[");
      xlm_html_number(h, NULL, times[st][i].start);
      xlm_html_number(h, NULL, times[st][i].end);
      xlm_html_close(h, "]");
    }
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

void xlm_html_times(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages, const xlm_estimate *e) {
  double bubble = 0;
  if (h->program != XLM_PROGRAM_TRAIN) return;
  if (e) {
    xlm_html_number(h, "length", e->step);
    xlm_html_number(h, "bubble", e->bubble);
    write_times(h, e->schedule, e->times);
    return;
  }
  xlm_schedule_plan *s = read_schedule(h, p, stages);
  xlm_interval **times = XLM_NEW_N(h->a, xlm_interval *, stages->n);
  double length = xlm_schedule_simulate(s, weigh(h, p, stages, s), h->a, times, &bubble);
  xlm_html_number(h, "length", length);
  xlm_html_number(h, "bubble", bubble);
  write_times(h, s, times);
}
