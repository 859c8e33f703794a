// How many rounds to compute again so that every rank stays within its memory: --recompute auto.
#ifndef XLM_DRIVER_RECOMPUTE_ROUNDS_H
#define XLM_DRIVER_RECOMPUTE_ROUNDS_H

#include "compiler/driver/passes.h"

// The fewest rounds with which every rank's arena has at most options->memory_limit bytes; when none is
// enough, all. step: the training step before recompute; eval may be NULL. `memory_passes` take the step to
// the graph whose ranks `rank_passes` make. c keeps the rank plans that were made on the way, and is
// otherwise left as it was.
int32_t xlm_recompute_rounds(xlm_pass_context *c, const xlm_pass_id *memory_passes,
                             const xlm_pass_id *rank_passes, const xlm_graph *step, const xlm_graph *eval);

#endif
