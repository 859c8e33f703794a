// Verifies a whole plan before launch by simulating all ranks as one program; only descriptions of messages
// are exchanged.
#ifndef XLM_VERIFY_VERIFY_PLAN_H
#define XLM_VERIFY_VERIFY_PLAN_H

#include "runtime/plan/plan.h"

typedef struct xlm_plan_check {
  int64_t operations; // sends, receives and collective entries matched, over all ranks
  const char *text;   // NULL = sound; else the error: the two ranks, the two operations, the model lines
} xlm_plan_check;

// Checks that every send has a receive of the same bytes; that all members of a group enter its collectives
// in the same order, with matching sizes; that there is no deadlock; that no instruction reads a tensor that
// was not written before (in its segment, an earlier segment of the same microbatch, or a state). Ranks with
// the same plan are simulated once if their partners agree, so the cost grows with the number of distinct
// plans, not of ranks.
xlm_plan_check xlm_plan_verify(const xlm_plan *p, xlm_arena *a);

// The same for a plan that was read from a file, and also what holds for compiled plans by construction:
// dimensions fit the mesh, instructions obey the rules of their ops, and states, inputs, outputs and weights
// are usable.
xlm_plan_check xlm_plan_verify_saved(const xlm_plan *p, xlm_arena *a);

#endif
