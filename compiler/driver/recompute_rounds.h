// --recompute auto: the number of rounds to recompute so that every rank stays within its memory.
#ifndef XLM_DRIVER_RECOMPUTE_ROUNDS_H
#define XLM_DRIVER_RECOMPUTE_ROUNDS_H

#include "compiler/driver/passes.h"

// The smallest number of rounds with which every rank's arena has at most options->memory_limit bytes, or all
// rounds if none suffices. step: the training step before recompute; others: the graphs of the other
// programs, or NULL. `memory_passes` lead from the step to the graph that `rank_passes` run on. Rank plans
// made on the way remain in c for reuse; c is otherwise unchanged.
int32_t xlm_recompute_rounds(xlm_pass_context *c, const xlm_pass_id *memory_passes,
                             const xlm_pass_id *rank_passes, const xlm_graph *step,
                             const xlm_graph *const others[XLM_PROGRAMS]);

#endif
