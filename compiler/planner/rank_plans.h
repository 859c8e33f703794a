// Plans of all ranks: from the logical graphs to the plans of all ranks. Partition per rank plan, pipeline per stage,
// fuse, overlap, lower.
#ifndef XLM_PLANNER_RANK_PLANS_H
#define XLM_PLANNER_RANK_PLANS_H

#include "compiler/driver/compile.h"

typedef struct xlm_rank_plans {
  uint32_t n_ranks, n_rank_plans;
  uint32_t *rank_plan_of; // [n_ranks]
  xlm_rank_plan **rank_plans;
  const xlm_graph *first_train, *first_eval; // of the shown rank, as lowered, for dumps
  const xlm_graph *first_partition;          // what was fused into the first of them
  const xlm_graph *first_fused;              // and not yet reordered; NULL with one rank
} xlm_rank_plans;

// train and eval: simplified logical graphs, either may be NULL. Mistakes (sizes, conflicts, schedules) go to
// d; false then.
bool xlm_plan_ranks(xlm_arena *a, const xlm_graph *train, const xlm_graph *eval,
                     const xlm_compile_options *o, xlm_diags *d, xlm_rank_plans *out);

#endif
