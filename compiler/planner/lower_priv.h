// The parts of lowering, and the rank plan under construction that they share.
#ifndef XLM_PLANNER_LOWER_PRIV_H
#define XLM_PLANNER_LOWER_PRIV_H

#include "compiler/planner/lower.h"
#include "runtime/base/dict.h"

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

// The tensor that owns the memory of t.
static inline uint32_t xlm_lower_root(const xlm_lowering *l, uint32_t t) {
  return l->root[t];
}

// One graph that is being lowered, with the maps from it to the plan.
typedef struct xlm_lower_context {
  xlm_lowering l;
  const xlm_graph *g; // the graph being lowered
  xlm_program_id program;
  xlm_dim *dim_map;        // g's dims -> plan's
  uint32_t *tensor;        // g's values -> plan's tensors
  xlm_val *view_root;      // value -> the value whose memory it views; itself if it is not a view
  uint32_t *last_use;      // view root -> the node that uses it or a view of it last, in execution order
  const xlm_val *assigned; // value -> the state in whose memory it may be computed (assigned.h)
  uint32_t first_instr;
  uint32_t chunk_begin; // position at which the current chunk begins
  int16_t chunk, last_chunk;
  xlm_span at; // source of the current node
} xlm_lower_context;

// ---- lower_types.c ----

uint32_t xlm_lower_line(const xlm_lower_context *w, xlm_span span); // of the model text; 0: none
void xlm_lower_dims(xlm_lower_context *w);                          // adds the graph's; fills dim_map
xlm_type xlm_lower_type(const xlm_lower_context *w, const xlm_type *t);
xlm_attrs xlm_lower_attrs(xlm_lower_context *w, const xlm_attrs *as);
// Adds t, with its bytes; returns its index. t.view_of != 0: it has that one's memory.
uint32_t xlm_lower_tensor(xlm_lower_context *w, xlm_tensor t, xlm_lifetime life);

// ---- lower_leaves.c ----

// The tensor of a state, which programs share by name.
void xlm_lower_state(xlm_lower_context *w, const xlm_node_info *n);
// Tensors for the leaves that n reads first.
void xlm_lower_leaves(xlm_lower_context *w, const xlm_node_info *n);
// At the beginning of a chunk: where data is in slots, what the chunk reads of it gets tensors of its own.
void xlm_lower_forget_inputs(xlm_lower_context *w);

// ---- lower_node.c ----

// Adds node id, with the tensors of its leaves and results, to the last segment. Fails with XLM_USER when the
// backend has no kernel for it.
xlm_status xlm_lower_node(xlm_lower_context *w, xlm_node id, xlm_error *err) XLM_MUST_CHECK;

// Chooses the kernel of an instruction; sums: the workspace is also that of its overwriting form.
xlm_status xlm_lower_choose(const xlm_lowering *l, xlm_instr *in, bool sums, xlm_error *err) XLM_MUST_CHECK;

// ---- panels.c ----

// When all instructions are there: parameters in panels. For plans that do not change parameters.
xlm_status xlm_lower_panels(xlm_lowering *l, xlm_error *err) XLM_MUST_CHECK;

// ---- lower_schedule.c ----

// The chunk whose backward is the last of the step; 0 without a schedule.
int16_t xlm_lower_last_chunk(const xlm_lower_context *w);
// The order of the segments that the training step has so far; xlm_place assigns their slots.
void xlm_lower_schedule(xlm_lower_context *w);
// Puts the prologue first, after slots are assigned, which only microbatches have.
void xlm_lower_prologue(xlm_lower_context *w);

// ---- lower_streams.c and place.c, in order ----

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
