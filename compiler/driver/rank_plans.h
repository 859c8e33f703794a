// The plans of all ranks, from the graphs of all programs. Ranks whose graphs differ only in offsets share
// one, so the work grows with the number of distinct stages and uneven pieces, not of ranks.
#ifndef XLM_DRIVER_RANK_PLANS_H
#define XLM_DRIVER_RANK_PLANS_H

#include "compiler/driver/passes.h"

typedef struct xlm_rank_plans {
  uint32_t n_ranks, n_rank_plans;
  uint32_t *rank_plan_of; // [n_ranks]
  xlm_rank_plan **rank_plans;
} xlm_rank_plans;

typedef struct xlm_rank_place { // the first rank of a distinct rank plan
  uint64_t signature;
  int32_t coord[XLM_MAX_AXES];
} xlm_rank_place;

// The distinct rank plans, after `prepare`, in the order of their first ranks.
xlm_rank_place *xlm_rank_plans_distinct(xlm_pass_context *c, uint32_t *n);
// The plan of the rank at c->coord, possibly an existing one (c->made). NULL: a diagnostic was pushed.
xlm_rank_plan *xlm_rank_plan_make(xlm_pass_context *c, const xlm_pass_id *passes,
                                  const xlm_graph *const graphs[XLM_PROGRAMS]);

// Runs `passes`, already prepared, for every distinct rank and lowers the results. graphs: of all ranks, by
// program; NULL = the plan does not have it. false: a diagnostic was pushed.
bool xlm_rank_plans_make(xlm_pass_context *c, const xlm_pass_id *passes,
                         const xlm_graph *const graphs[XLM_PROGRAMS], xlm_rank_plans *out);

#endif
