// The plans of all ranks, from the graphs of both programs. Ranks whose graphs differ in offsets only share
// one, so the work grows with distinct stages and uneven pieces, not with ranks.
#ifndef XLM_DRIVER_RANK_PLANS_H
#define XLM_DRIVER_RANK_PLANS_H

#include "compiler/driver/passes.h"

typedef struct xlm_rank_plans {
  uint32_t n_ranks, n_rank_plans;
  uint32_t *rank_plan_of; // [n_ranks]
  xlm_rank_plan **rank_plans;
} xlm_rank_plans;

// Runs `passes`, which were prepared, for every distinct rank, and lowers what they give. train and eval:
// graphs of all ranks, either may be NULL. false: a diagnostic was pushed.
bool xlm_rank_plans_make(xlm_pass_context *c, const xlm_pass_id *passes, const xlm_graph *train,
                         const xlm_graph *eval, xlm_rank_plans *out);

#endif
