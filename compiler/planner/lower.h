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

// A rank plan under construction: growing tables, and data for placing.
typedef struct xlm_lifetime {
  uint32_t begin, end; // positions on its program's timeline, both included; end = UINT32_MAX: never freed
  uint8_t program;     // xlm_program_id
  bool placed;         // is placed by lifetime (otherwise: STATE, IO, or a view)
} xlm_lifetime;

typedef struct xlm_lowering {
  xlm_arena *arena;   // of the plan
  xlm_arena *scratch; // of lowering: growing tables are copied from it when complete
  xlm_lower_options options;
  xlm_rank_plan *plan;
  xlm_dim_info *dims;
  xlm_tensor *tensors;
  xlm_lifetime *life; // parallel to tensors
  uint32_t *root;     // parallel to tensors: the tensor that owns its memory
  xlm_instr *instrs;
  uint32_t *scratch_end;     // parallel to instrs: the last position at which the workspace is in use
  bool *once, *sums;         // parallel to instrs: runs for the last microbatch only; adds to a sum over
                             // microbatches
  xlm_segment_run *schedule; // the plan's
  xlm_plan_state *states;
  xlm_plan_input *inputs;
  xlm_plan_output *outputs;
  xlm_segment *segments;
  xlm_dict state_of; // name -> its index in states + 1
  uint32_t n_dims, cap_dims, n_tensors, cap_tensors, cap_life, n_life, n_root, cap_root, n_instrs, cap_instrs,
      n_states, cap_states, n_inputs, cap_inputs, n_outputs, cap_outputs, n_segments, cap_segments, n_scratch,
      cap_scratch, n_once, cap_once, n_sums, cap_sums;
} xlm_lowering;

// graphs: the fused graph of each program; NULL = the plan does not have it. Fails with XLM_USER when the
// backend lacks a kernel (*at: the source of the op), with XLM_ENV when out of memory.
xlm_status xlm_lower(xlm_arena *a, const xlm_graph *const graphs[XLM_PROGRAMS], const xlm_lower_options *o,
                     xlm_rank_plan **out, xlm_span *at, xlm_error *err) XLM_MUST_CHECK;

// The tensor that owns the memory of t.
static inline uint32_t xlm_lower_root(const xlm_lowering *l, uint32_t t) {
  return l->root[t];
}

// Parts of lowering, in order.
// Extends the lifetimes of what communication in a segment reads over the kernels that run concurrently.
// first_instr: where the timeline of its program begins.
void xlm_lower_hold(xlm_lowering *l, const xlm_segment *s, uint32_t first_instr, uint8_t program);
// Gives every tensor its area and offset and fills the plan's memory figures.
void xlm_place(xlm_lowering *l);
// Reserves capacity for more instructions. They are the bulk of a plan, and growing by doubling leaves old
// copies in the arena.
void xlm_lower_reserve(xlm_lowering *l, uint32_t more);
// An instruction that sums over microbatches, as it runs in the first of them.
xlm_instr xlm_lower_stored(const xlm_lowering *l, xlm_instr in);
// After placing: makes segment variants for the first, middle and last microbatch (xlm_segment_variant).
void xlm_lower_variants(xlm_lowering *l);
// After that: fills `after` (runtime/plan/streams.h).
void xlm_lower_order(xlm_lowering *l);

#endif
