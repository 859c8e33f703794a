// Spread: from the logical graphs to the plans of all ranks. Partition per rank class, pipeline per stage,
// fuse, overlap, lower.
#ifndef XLM_PLANNER_SPREAD_H
#define XLM_PLANNER_SPREAD_H

#include "compiler/planner/compile.h"

typedef struct xlm_spread {
  uint32_t n_ranks, n_classes;
  uint32_t *class_of; // [n_ranks]
  xlm_rank_plan **classes;
  const xlm_graph *first_train, *first_eval; // of the shown rank, as lowered, for dumps
  const xlm_graph *first_partition;          // what was fused into the first of them
  const xlm_graph *first_fused;              // and not yet reordered; NULL with one rank
} xlm_spread;

// train and eval: simplified logical graphs, either may be NULL. Mistakes (sizes, conflicts, schedules) go to
// d; false then.
bool xlm_spread_plan(xlm_arena *a, const xlm_graph *train, const xlm_graph *eval,
                     const xlm_compile_options *o, xlm_diags *d, xlm_spread *out);

#endif
