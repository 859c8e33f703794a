// Values that may be computed directly in the memory of a state.
#ifndef XLM_PLANNER_ASSIGNED_H
#define XLM_PLANNER_ASSIGNED_H

#include "compiler/ir/graph.h"

// By value: the state (its value until then) to which an `assign` copies it, if the copy can be left out: the
// value has no other reader, and nothing reads the state between its computation and the assignment. The
// node that computes it may still read the state: the caller must know that it works in place. 0: none.
// [n_values], in a.
const xlm_val *xlm_find_assigned(const xlm_graph *g, xlm_arena *a);

#endif
