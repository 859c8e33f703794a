// Verification of a whole plan before launch: all ranks are run as one program, moving only the meaning of
// messages.
#ifndef XLM_VERIFY_VERIFY_PLAN_H
#define XLM_VERIFY_VERIFY_PLAN_H

#include "runtime/plan/plan.h"

typedef struct xlm_plan_check {
  int64_t operations; // sends, receives and collective entries matched, over all ranks
  const char *text;   // NULL = sound; else what is wrong: the two ranks, the two operations, the model lines
} xlm_plan_check;

// Every send has its receive with the same bytes; collectives are entered in one order by all members of
// their group, with sizes that fit; nothing waits on itself; no instruction reads a tensor that nothing wrote
// before (in its segment, an earlier segment of the same microbatch, or a state). Ranks with one plan are
// simulated once where their partners agree, so the cost grows with distinct plans, not with ranks.
xlm_plan_check xlm_plan_verify(const xlm_plan *p, xlm_arena *a);

// The same of a plan that was read from a file, and what a compiled one has by construction: dimensions fit
// the mesh, instructions the rules of their ops, and states, inputs, outputs and weights what is done with
// them.
xlm_plan_check xlm_plan_verify_saved(const xlm_plan *p, xlm_arena *a);

#endif
