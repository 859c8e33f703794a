// Chooses the number of rounds to recompute; see recompute_rounds.h.
//
// Rank plans are made one after the other with the rounds found so far, the last stage first: the first
// rounds are the ones recomputed, so what is enough for a later stage also helps all before it. When a rank
// plan does not fit, the search for the fewest rounds runs on it alone. Its bytes fall roughly linearly with
// each of its own rounds, so the number is interpolated from two others, and a few guesses suffice. Rank
// plans made on the way are stored (rank_plans.c) and reused by planning if they have the right number of
// rounds.
#include "compiler/driver/recompute_rounds.h"

#include <string.h>

#include "compiler/driver/rank_plans.h"

typedef struct chooser {
  xlm_pass_context c; // a copy
  const xlm_pass_id *memory_passes, *rank_passes;
  const xlm_graph *step, *eval;
  xlm_graph *train;     // with c.recompute_rounds
  int32_t rounds;                       // of the model
  uint64_t limit;
} chooser;

static int32_t count_rounds(const xlm_graph *g) {
  int32_t rounds = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].round >= rounds) rounds = g->nodes[n].round + 1;
  return rounds;
}

// Prepares the training step with this many rounds recomputed, for all ranks.
static bool set_rounds(chooser *s, int32_t rounds) {
  xlm_pass_context *c = &s->c;
  if (s->train && c->recompute_rounds == rounds) return true;
  c->recompute_rounds = rounds;
  c->program = XLM_PROGRAM_TRAIN;
  c->pipeline.stages = 0; // is cut again
  xlm_passes_forget(c, XLM_PROGRAM_TRAIN);
  if (s->train) xlm_graph_free(s->train);
  s->train = xlm_passes_run(c, s->memory_passes, s->step);
  return s->train && xlm_passes_prepare(c, s->rank_passes, s->train);
}

static bool prepare_eval(chooser *s) {
  s->c.program = XLM_PROGRAM_EVAL;
  return !s->eval || xlm_passes_prepare(&s->c, s->rank_passes, s->eval);
}

// Bytes of the rank plan at this coordinate; 0: it cannot be made, which planning will report.
static uint64_t bytes_with(chooser *s, const int32_t *coord, int32_t rounds) {
  if (!set_rounds(s, rounds)) return 0;
  memcpy(s->c.coord, coord, sizeof s->c.coord);
  const xlm_rank_plan *r = xlm_rank_plan_make(&s->c, s->rank_passes, s->train, s->eval);
  return r ? r->arena_bytes : 0;
}

// How many of the first `rounds` rounds are on the stage of this coordinate.
static int32_t own(const chooser *s, const int32_t *coord, int32_t rounds) {
  const xlm_pipeline *p = &s->c.pipeline;
  int32_t n = 0;
  if (p->stages < 2) return rounds;
  for (int k = coord[p->pp_axis]; k < p->stages * p->chunks; k += p->stages) {
    int32_t here = rounds < p->first[k + 1] ? rounds : p->first[k + 1];
    if (here > p->first[k]) n += here - p->first[k];
  }
  return n;
}

typedef struct bracket { // `low` rounds are too few, `high` fit
  int32_t low, high;
  uint64_t low_bytes, high_bytes;
} bracket;

enum { GUESSES = 6 }; // then bisection

static int32_t guess(const chooser *s, const int32_t *coord, const bracket *b, int tries) {
  int32_t k_low = own(s, coord, b->low), k_high = own(s, coord, b->high), r = b->low + 1;
  if (tries >= GUESSES || b->low_bytes <= b->high_bytes) return b->low + (b->high - b->low) / 2;
  double part = (double)(b->low_bytes - s->limit) / (double)(b->low_bytes - b->high_bytes);
  int32_t k =
      k_low + (int32_t)(part * (k_high - k_low)); // rounded up below, to the first round that has an effect
  while (r < b->high - 1 && own(s, coord, r) <= k && own(s, coord, r) < k_high) r++;
  return r;
}

// The fewest rounds above `low`, which are too few, with which this rank plan fits; all, if none do.
static int32_t fewest(chooser *s, const int32_t *coord, int32_t low, uint64_t low_bytes) {
  bracket b = {low, s->rounds, low_bytes, bytes_with(s, coord, s->rounds)};
  if (b.high_bytes > s->limit) return s->rounds;
  for (int tries = 0; b.high - b.low > 1; tries++) {
    int32_t r = guess(s, coord, &b, tries);
    uint64_t bytes = bytes_with(s, coord, r);
    if (bytes > s->limit)
      b.low = r, b.low_bytes = bytes;
    else
      b.high = r, b.high_bytes = bytes;
  }
  return b.high;
}

int32_t xlm_recompute_rounds(xlm_pass_context *c, const xlm_pass_id *memory_passes,
                             const xlm_pass_id *rank_passes, const xlm_graph *step, const xlm_graph *eval) {
  chooser s = {*c,   memory_passes, rank_passes,        step,
               eval, NULL,          count_rounds(step), c->options->memory_limit};
  xlm_diags quiet; // planning reports the errors
  int32_t rounds = 0;
  if (!s.limit || !c->options->backend) return 0;
  xlm_diags_init(&quiet, c->arena, step->source);
  s.c.diags = &quiet;
  s.c.stop_after = XLM_PASS_END;
  if (!set_rounds(&s, 0) || !prepare_eval(&s)) return 0;
  uint32_t n;
  const xlm_rank_place *distinct = xlm_rank_plans_distinct(&s.c, &n);
  for (uint32_t i = n; i-- > 0 && rounds < s.rounds;) {
    uint64_t bytes = bytes_with(&s, distinct[i].coord, rounds);
    if (!bytes) break;
    if (bytes <= s.limit) continue;
    rounds = fewest(&s, distinct[i].coord, rounds, bytes);
    i = n; // the cuts have moved: the later stages first, as what they need helps all before them
  }
  for (int p = 0; p < XLM_PROGRAMS; p++) xlm_passes_forget(&s.c, p);
  if (s.train) xlm_graph_free(s.train);
  c->made = s.c.made, c->n_made = s.c.n_made, c->cap_made = s.c.cap_made;
  return rounds;
}
