// Estimates one run of a program without a schedule: an evaluation, or a token or a chunk of decoding. The
// stages of a pipeline follow each other, since the next token depends on this one.
#include "compiler/cost/estimate.h"

static double tokens_of(const xlm_plan *p, xlm_program_id program) {
  int64_t each = program == XLM_PROGRAM_DECODE ? 1 : program == XLM_PROGRAM_PREFILL ? p->chunk : p->seq;
  return (double)p->batch * (double)each;
}

static double floor_of(const xlm_cluster *c, const xlm_rank_plan *r, const xlm_segment *g) {
  double seconds = 0;
  for (uint32_t i = g->first; i < g->first + g->n; i++) seconds += xlm_estimate_floor(c, r, &r->instrs[i]);
  return seconds;
}

// Adds the slowest rank of a stage; false: there is no such stage.
static bool add_stage(xlm_run_estimate *e, const xlm_plan *p, const xlm_cluster *c, xlm_program_id program,
                      int stage, xlm_arena *a) {
  xlm_segment_cost slowest = {0};
  double floor = 0;
  bool found = false;
  for (uint32_t k = 0; k < p->n_rank_plans; k++) {
    const xlm_rank_plan *r = p->rank_plans[k];
    if (r->stage != stage || r->segment_of[program] < 0) continue;
    const xlm_segment *g = &r->segments[r->segment_of[program]];
    xlm_segment_cost cost = xlm_estimate_segment(c, p, r, g, a);
    if (found && cost.total + cost.message <= slowest.total + slowest.message) continue;
    slowest = cost, floor = floor_of(c, r, g);
    found = true;
  }
  e->seconds += slowest.total + slowest.message;
  e->compute += slowest.compute;
  e->communication += slowest.communication + slowest.message;
  e->floor += floor;
  return found;
}

xlm_run_estimate xlm_estimate_run(const xlm_plan *p, const xlm_cluster *c, xlm_program_id program,
                                  xlm_arena *a) {
  xlm_run_estimate e = {.tokens = tokens_of(p, program)};
  for (int stage = 0; add_stage(&e, p, c, program, stage, a); stage++) continue;
  if (e.seconds > 0) e.tokens_per_second = e.tokens / e.seconds;
  return e;
}
