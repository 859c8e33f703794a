// Estimates of memory for any number of recomputed rounds and any cut of the pipeline, from one analysis of
// live values. Workspaces, gaps between tensors and the evaluation program are not included, so an estimate
// is corrected by the difference to a real plan.
//
// Nodes before the rounds count as part of the first, nodes after them as part of the last.
#ifndef XLM_PASS_ROUND_MEMORY_H
#define XLM_PASS_ROUND_MEMORY_H

#include "compiler/ir/graph.h"
#include "runtime/plan/plan.h"

typedef struct xlm_round_memory xlm_round_memory;

// g: the training step of a rank coordinate with no rounds recomputed, not cut into stages, not fused.
// split_weights: gradients of weights are computed in segments of their own.
xlm_round_memory *xlm_round_memory_new(const xlm_graph *g, xlm_arena *a, bool split_weights);

// Bytes for rounds [first, end), of which those below `recomputed` are recomputed.
// Parameters, gradients and states of the optimizer that these rounds use.
uint64_t xlm_round_memory_states(const xlm_round_memory *m, int32_t first, int32_t end);
// Per microbatch in flight, in one of the areas with slots.
uint64_t xlm_round_memory_stored(const xlm_round_memory *m, xlm_area area, int32_t first, int32_t end,
                                 int32_t recomputed);
// At most within one forward or backward, besides what is stored.
uint64_t xlm_round_memory_temporary(const xlm_round_memory *m, int32_t first, int32_t end,
                                    int32_t recomputed);
// Without a pipeline: at most of both, as a round's values are released when its backward is done.
uint64_t xlm_round_memory_peak(const xlm_round_memory *m, int32_t recomputed);

#endif
