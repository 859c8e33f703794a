// Lowering turns graphs into instructions on tensors; placing assigns the tensors offsets in one arena.
// Together they make a rank plan.
#ifndef XLM_PLANNER_LOWER_H
#define XLM_PLANNER_LOWER_H

#include "compiler/ir/graph.h"
#include "runtime/base/dict.h"
#include "runtime/plan/plan.h"

typedef struct xlm_lower_options {
  int64_t microbatches;
  const xlm_mesh *mesh; // NULL: one rank
  xlm_target target;
  bool wide; // every floating-point tensor is f64, whatever the graph says: the reference backend supports no
             // other type
  const xlm_backend_info *backend;
  const struct xlm_schedule_plan
      *schedule; // of the pipeline; NULL: one stage, F and B of each microbatch in turn
  int stage;
} xlm_lower_options;

// graphs: the fused graph of each program; NULL = the plan does not have it. Fails with XLM_USER when the
// backend lacks a kernel (*at: the source of the op), with XLM_ENV when out of memory.
xlm_status xlm_lower(xlm_arena *a, const xlm_graph *const graphs[XLM_PROGRAMS], const xlm_lower_options *o,
                     xlm_rank_plan **out, xlm_span *at, xlm_error *err) XLM_MUST_CHECK;

#endif
