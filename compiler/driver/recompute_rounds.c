// How many rounds to compute again; see recompute_rounds.h.
#include "compiler/driver/recompute_rounds.h"

#include "compiler/driver/rank_plans.h"

static int32_t count_rounds(const xlm_graph *g) {
  int32_t rounds = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].round >= rounds) rounds = g->nodes[n].round + 1;
  return rounds;
}

static uint64_t largest_arena(const xlm_rank_plans *p) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < p->n_rank_plans; i++)
    if (p->rank_plans[i]->arena_bytes > most) most = p->rank_plans[i]->arena_bytes;
  return most;
}

typedef struct chooser {
  const xlm_pass_context *c;
  const xlm_pass_id *memory_passes, *rank_passes;
  const xlm_graph *step, *eval;
} chooser;

static bool fits(const chooser *s, int32_t rounds) {
  xlm_pass_context c = *s->c;
  xlm_diags quiet; // what is wrong is said when it is planned
  xlm_rank_plans ranks;
  xlm_diags_init(&quiet, c.arena, s->step->source);
  c.diags = &quiet;
  c.stop_after = XLM_PASS_END;
  c.recompute_rounds = rounds;
  c.program = XLM_PROGRAM_TRAIN;
  const xlm_graph *train = xlm_passes_run(&c, s->memory_passes, s->step);
  if (!train || !xlm_passes_prepare(&c, s->rank_passes, train)) return true;
  c.program = XLM_PROGRAM_EVAL;
  if (s->eval && !xlm_passes_prepare(&c, s->rank_passes, s->eval)) return true;
  return !xlm_rank_plans_make(&c, s->rank_passes, train, s->eval, &ranks) ||
         largest_arena(&ranks) <= c.options->memory_limit;
}

int32_t xlm_recompute_rounds(const xlm_pass_context *c, const xlm_pass_id *memory_passes,
                             const xlm_pass_id *rank_passes, const xlm_graph *step, const xlm_graph *eval) {
  chooser s = {c, memory_passes, rank_passes, step, eval};
  int32_t low = 0, high = count_rounds(step);
  if (!c->options->memory_limit || !c->options->backend || fits(&s, 0)) return 0;
  while (high - low > 1) { // too much with low, not known with high
    int32_t middle = low + (high - low) / 2;
    *(fits(&s, middle) ? &high : &low) = middle;
  }
  return high;
}
