// Chooses the number of rounds to recompute; see recompute_rounds.h.
//
// The memory of all stages is estimated for every number of rounds from one analysis (pass/round_memory.h).
// The fewest rounds with which the estimates fit are then planned, the stage with the largest estimate first,
// and the difference between plan and estimate corrects the estimates of that stage; if fewer rounds fit
// then, they are planned instead. This repeats until a number fits on all stages, and one round fewer does
// not on one of them. Rounds of repeats outside of the pipeline are recomputed after all of its own; of these
// there are no estimates, only plans, by bisection. Rank plans made on the way are stored (rank_plans.c) and
// reused by planning if they have the right number of rounds.
#include "compiler/driver/recompute_rounds.h"

#include <string.h>

#include "compiler/driver/rank_plans.h"
#include "compiler/driver/times.h"
#include "compiler/pass/round_memory.h"
#include "runtime/base/clock.h"

typedef struct place {
  int32_t coord[XLM_MAX_AXES];
  int64_t correction; // plan minus estimate
  bool planned;
} place;

typedef struct chooser {
  xlm_pass_context c; // a copy
  const xlm_pass_id *memory_passes, *rank_passes;
  const xlm_graph *step;
  const xlm_graph *graphs[XLM_PROGRAMS]; // train: with c.recompute_rounds
  xlm_graph *train; // with c.recompute_rounds
  bool prepared;    // for all ranks
  int32_t rounds;   // of the model: first those of the pipeline
  int32_t piped;    // how many these are
  uint64_t limit;
  xlm_round_costs costs[2]; // no round recomputed, all
  xlm_round_memory *memory;
  const int32_t **first; // by number of rounds recomputed: the cut of the pipeline
  place *places;         // one per distinct rank plan
  uint32_t n_places;
  int64_t correction; // of places that are not planned yet: the largest so far
  bool failed;        // a rank plan cannot be made, which planning will report
} chooser;

// ---- plans ----

static bool recompute(chooser *s, int32_t rounds) {
  s->c.recompute_rounds = rounds;
  s->c.program = XLM_PROGRAM_TRAIN;
  s->prepared = false;
  if (s->train) xlm_graph_free(s->train);
  s->graphs[XLM_PROGRAM_TRAIN] = s->train = xlm_passes_run(&s->c, s->memory_passes, s->step);
  return s->train != NULL;
}

// Prepares the training step with this many rounds recomputed, for all ranks.
static bool set_rounds(chooser *s, int32_t rounds) {
  xlm_pass_context *c = &s->c;
  if (s->prepared && c->recompute_rounds == rounds) return true;
  c->pipeline.stages = 0; // is cut again
  xlm_passes_forget(c, XLM_PROGRAM_TRAIN);
  if (!recompute(s, rounds)) return false;
  return s->prepared = xlm_passes_prepare(c, s->rank_passes, s->train);
}

static bool prepare_others(chooser *s) {
  for (int p = XLM_PROGRAM_TRAIN + 1; p < XLM_PROGRAMS; p++) {
    s->c.program = (xlm_program_id)p;
    if (s->graphs[p] && !xlm_passes_prepare(&s->c, s->rank_passes, s->graphs[p])) return false;
  }
  return true;
}

// Bytes of the rank plan at this coordinate; 0: it cannot be made.
static uint64_t plan(chooser *s, const int32_t *coord, int32_t rounds) {
  if (!set_rounds(s, rounds)) return 0;
  memcpy(s->c.coord, coord, sizeof s->c.coord);
  const xlm_rank_plan *r = xlm_rank_plan_make(&s->c, s->rank_passes, s->graphs);
  return r ? r->arena_bytes : 0;
}

// ---- estimates ----

static const int32_t *cut(chooser *s, int32_t rounds) {
  const xlm_compile_options *o = s->c.options;
  xlm_round_costs c = s->costs[0];
  xlm_pipeline p;
  xlm_error err;
  if (s->first[rounds]) return s->first[rounds];
  c.round = XLM_NEW_N(s->c.arena, double, c.rounds);
  for (int32_t r = 0; r < c.rounds; r++) c.round[r] = s->costs[r < rounds].round[r];
  xlm_status status = xlm_pipeline_cut(&c, s->c.arena, s->c.pipeline.stages, s->c.pipeline.chunks,
                                       o->stage_rounds, o->n_stage_rounds, &p, &err);
  XLM_ASSERT(status == XLM_OK, "a pipeline that was cut before: %s", err.text);
  return s->first[rounds] = p.first;
}

static uint64_t slots(chooser *s, int stage, xlm_area area, const uint64_t *bytes) {
  static const xlm_segment_kind from[] = {XLM_SEG_F, XLM_SEG_F, XLM_SEG_B},
                                to[] = {XLM_SEG_B, XLM_SEG_W, XLM_SEG_W};
  int k = area - XLM_FIRST_SLOT_AREA;
  uint64_t all = 0;
  xlm_arena *scratch = xlm_arena_child(s->c.arena);
  xlm_schedule_held held = xlm_schedule_slots(s->c.schedule, stage, from[k], to[k], bytes, scratch);
  for (int32_t i = 0; i < held.n; i++) all += bytes[held.chunk[i]];
  xlm_arena_free(scratch);
  return all;
}

static uint64_t estimate_stage(chooser *s, int stage, int32_t rounds) {
  const xlm_pipeline *p = &s->c.pipeline;
  const int32_t *first = cut(s, rounds) + stage;
  uint64_t bytes = 0, temporary = 0, *stored = XLM_NEW_N(s->c.arena, uint64_t, p->chunks);
  for (int k = 0; k < p->chunks; k++) {
    const int32_t *part = first + k * p->stages;
    uint64_t most = xlm_round_memory_temporary(s->memory, part[0], part[1], rounds);
    bytes += xlm_round_memory_states(s->memory, part[0], part[1]);
    temporary = most > temporary ? most : temporary;
  }
  for (xlm_area area = XLM_AREA_FB; xlm_area_has_slots(area); area++) {
    for (int k = 0; k < p->chunks; k++) {
      const int32_t *part = first + k * p->stages;
      stored[k] = xlm_round_memory_stored(s->memory, area, part[0], part[1], rounds);
    }
    bytes += slots(s, stage, area, stored);
  }
  return bytes + temporary;
}

static int64_t estimate(chooser *s, const place *at, int32_t rounds) {
  const xlm_pipeline *p = &s->c.pipeline;
  int32_t known = rounds < s->piped ? rounds : s->piped;
  uint64_t bytes = 0;
  if (p->stages > 1)
    bytes = estimate_stage(s, at->coord[p->pp_axis], known);
  else if (s->piped)
    bytes = xlm_round_memory_states(s->memory, 0, s->piped) + xlm_round_memory_peak(s->memory, known);
  return (int64_t)bytes + (at->planned ? at->correction : s->correction);
}

// The fewest rounds above `low` with which all estimates fit; `high`, if there are none below it.
static int32_t fewest(chooser *s, int32_t low, int32_t high) {
  while (high - low > 1) {
    int32_t middle = low + (high - low) / 2;
    bool fit = true;
    for (uint32_t i = 0; i < s->n_places && fit; i++)
      fit = estimate(s, &s->places[i], middle) <= (int64_t)s->limit;
    *(fit ? &high : &low) = middle;
  }
  return high;
}

// ---- the search ----

static bool fits(chooser *s, place *at, int32_t rounds) {
  int64_t expected = estimate(s, at, rounds) - (at->planned ? at->correction : s->correction);
  uint64_t bytes = plan(s, at->coord, rounds);
  s->failed = !bytes;
  at->planned = true;
  at->correction = (int64_t)bytes - expected;
  if (at->correction > s->correction) s->correction = at->correction;
  return bytes <= s->limit;
}

static place *largest(chooser *s, int32_t rounds, const bool *except) {
  place *most = NULL;
  int64_t bytes = 0;
  for (uint32_t i = 0; i < s->n_places; i++) {
    int64_t b = except[i] ? INT64_MIN : estimate(s, &s->places[i], rounds);
    if (!except[i] && (!most || b > bytes)) most = &s->places[i], bytes = b;
  }
  return most;
}

typedef enum outcome { FIT, DO_NOT_FIT, FEWER_MAY } outcome;

// Plans the stages, the largest estimates first, until one does not fit or, if `guess`, fewer rounds above
// `low` fit by the estimates.
static outcome try_rounds(chooser *s, int32_t low, int32_t rounds, bool guess) {
  bool *done = XLM_NEW_N(s->c.arena, bool, s->n_places);
  for (uint32_t n = 0; n < s->n_places && !s->failed; n++) {
    place *at = largest(s, rounds, done);
    done[at - s->places] = true;
    if (!fits(s, at, rounds)) return DO_NOT_FIT;
    if (guess && fewest(s, low, rounds) < rounds) return FEWER_MAY;
  }
  return FIT;
}

enum { GUESSES = 8 }; // then bisection

static int32_t search(chooser *s) {
  int32_t low = -1, high = s->rounds; // too few; enough, or all
  for (int tries = 0; high - low > 1 && !s->failed; tries++) {
    bool guess = tries < GUESSES && low < s->piped;
    int32_t r = guess ? fewest(s, low, high) : low + (high - low) / 2;
    if (r == high)
      r = s->piped > low && s->piped < high ? s->piped : r - 1; // plans show that this does not fit
    outcome o = try_rounds(s, low, r, guess);
    if (o == FIT) high = r;
    if (o == DO_NOT_FIT) low = r;
  }
  return high;
}

// ---- what estimates are made of ----

static bool measure_rounds(chooser *s) {
  if (!recompute(s, s->rounds)) return false;
  s->costs[1] = xlm_pipeline_costs(s->train, s->c.arena);
  if (!set_rounds(s, 0)) return false;
  s->costs[0] = xlm_pipeline_costs(s->train, s->c.arena);
  s->first = XLM_NEW_N(s->c.arena, const int32_t *, s->rounds + 1);
  return true;
}

static void list_places(chooser *s) {
  const xlm_rank_place *distinct = xlm_rank_plans_distinct(&s->c, &s->n_places);
  s->places = XLM_NEW_N(s->c.arena, place, s->n_places);
  for (uint32_t i = 0; i < s->n_places; i++)
    memcpy(s->places[i].coord, distinct[i].coord, sizeof s->places[i].coord);
}

static bool measure_memory(chooser *s) {
  static const xlm_pass_id until_partition[] = {XLM_PASS_PARTITION, XLM_PASS_END};
  xlm_pass_context *c = &s->c;
  if (!s->piped) return true;
  memcpy(c->coord, s->places[0].coord, sizeof c->coord);
  c->program = XLM_PROGRAM_TRAIN;
  xlm_graph *g = xlm_passes_run(c, until_partition, s->train);
  if (!g) return false;
  double start = xlm_clock_seconds();
  s->memory = xlm_round_memory_new(g, c->arena, c->schedule && c->schedule->split_weights);
  xlm_times_add(c->options->times, "round memory", 1, g->n_nodes, xlm_clock_seconds() - start);
  if (g != s->train) xlm_passes_release(c, g);
  return true;
}

int32_t xlm_recompute_rounds(xlm_pass_context *c, const xlm_pass_id *memory_passes,
                             const xlm_pass_id *rank_passes, const xlm_graph *step,
                             const xlm_graph *const others[XLM_PROGRAMS]) {
  chooser s = {.c = *c,
               .memory_passes = memory_passes,
               .rank_passes = rank_passes,
               .step = step,
               .limit = c->options->memory_limit};
  xlm_diags quiet; // planning reports the errors
  int32_t rounds = 0;
  s.rounds = xlm_pass_rounds(step, &s.piped);
  if (!s.limit || !s.rounds || !c->options->backend) return 0;
  for (int p = XLM_PROGRAM_TRAIN + 1; p < XLM_PROGRAMS; p++) s.graphs[p] = others[p];
  xlm_diags_init(&quiet, c->arena, step->source);
  s.c.diags = &quiet;
  s.c.stop_after = XLM_PASS_END;
  if (!measure_rounds(&s) || !prepare_others(&s)) return 0;
  list_places(&s);
  if (measure_memory(&s)) rounds = search(&s);
  xlm_passes_forget_all(&s.c);
  if (s.train) xlm_graph_free(s.train);
  c->made = s.c.made, c->n_made = s.c.n_made, c->cap_made = s.c.cap_made;
  return rounds;
}
