// The graph: typed values with named dimensions, produced by nodes in execution order.
//
// Handles are 32-bit indices into the graph's tables, 0 = none; pointers into a table are not valid across an
// append. The order of the node table is the execution order; every operand is defined before its use. A pass
// reads one graph and writes another (xlm_graph_new + builder); only passes like differentiate append to the
// graph they copied.
#ifndef XLM_IR_GRAPH_H
#define XLM_IR_GRAPH_H

#include "runtime/base/arena.h"
#include "runtime/base/text.h"
#include "runtime/plan/external.h"
#include "runtime/plan/op.h"
#include "runtime/plan/span.h"
#include "runtime/plan/attr.h"

typedef uint32_t xlm_val;
typedef uint32_t xlm_node;

// When a node runs. FWD, BWD and WGT run once per microbatch (WGT: gradients of weights, separate so that
// schedules can move them). LAST runs once per optimizer step, within the backward of the last microbatch
// (gradients are reduced as they become complete). STEP runs once, after it. PROLOGUE runs once, before the
// first microbatch, on the inputs of all microbatches of the step.
typedef enum xlm_phase {
  XLM_PHASE_FWD,
  XLM_PHASE_BWD,
  XLM_PHASE_WGT,
  XLM_PHASE_LAST,
  XLM_PHASE_STEP,
  XLM_PHASE_PROLOGUE,
  XLM_PHASES
} xlm_phase;
const char *xlm_phase_name(xlm_phase p); // "fwd", "bwd", "wgt", "last", "step", "prologue"
static inline bool xlm_phase_is_once(xlm_phase p) { // once per optimizer step, not per microbatch
  return p >= XLM_PHASE_LAST;
}

typedef struct xlm_value {
  xlm_type type;
  xlm_node def;
  uint32_t partial;  // mesh axes over which the value is a partial sum
  xlm_val ragged_by; // the i32 offsets [experts + 1] of each expert's rows; 0 unless a dim is ragged
  const char *name;  // for display: "layers.0.attention.q"; may be NULL
} xlm_value;

typedef struct xlm_node_info {
  xlm_op_id op;
  xlm_phase phase;
  uint16_t n_in, n_out;
  const xlm_val *in;
  xlm_val out; // the first output; outputs are out .. out + n_out - 1
  xlm_attrs attrs;
  xlm_span span;     // the expression in the model text
  const char *scope; // "layers.3.attention"; "" at top level; never NULL
  int32_t round;     // index of the `repeat .. over pp` round, -1 outside
  int16_t stage;     // pipeline stage, after the pipeline pass
  bool recompute;    // marked `recompute`: computed again in the backward pass instead of being stored
} xlm_node_info;

static inline bool xlm_node_is(const xlm_node_info *n, xlm_leaf leaf) {
  return xlm_op_facts_of(n->op)->leaf == leaf;
}

typedef struct xlm_named_val {
  const char *name;
  xlm_val val;
  xlm_span span;
} xlm_named_val;

// The value of a state after the step (or, in FWD phase, after the microbatch). `val` is the result of an op
// that updates in place (accumulate, adamw, sgd, assign), starting at `state`.
typedef struct xlm_update {
  xlm_val state, val;
} xlm_update;

typedef struct xlm_vals {
  xlm_named_val *at;
  uint32_t n, cap;
} xlm_vals;

typedef struct xlm_shard_rule { // shard D over A; D and A are names of dims and of mesh axes
  const char *dim;
  uint8_t n_axes;
  const char *axis[XLM_MAX_AXES];
  bool where_free;
  xlm_span span;
} xlm_shard_rule;

typedef enum xlm_frozen { XLM_FROZEN_UNSET, XLM_FROZEN_YES, XLM_FROZEN_NO } xlm_frozen;

typedef struct xlm_param_group { // settings for the parameters it matches
  const char *match;       // pattern over their paths, `*` = any characters; NULL: all
  int rank;                // number of dimensions; -1 = any
  double lr, weight_decay; // lr: factor on the learning rate; NaN: not set
  const char *optimizer;   // NULL: not set
  xlm_frozen frozen;       // no gradient, no update
  const char *where;       // "run.yaml:12" for those of a run file; NULL: see span
  xlm_span span;
} xlm_param_group;

// Properties of a graph established by passes: a set of bits.
typedef enum xlm_property_id {
#define XLM_PROPERTY(name, NAME, meaning) XLM_IS_##NAME,
#include "compiler/ir/property.def"
#undef XLM_PROPERTY
  XLM_PROPERTIES
} xlm_property_id;
enum {
#define XLM_PROPERTY(name, NAME, meaning) XLM_##NAME = 1 << XLM_IS_##NAME,
#include "compiler/ir/property.def"
#undef XLM_PROPERTY
};
const char *xlm_property_name(xlm_property_id p);
const char *xlm_properties_text(xlm_arena *a, uint32_t set, const char *between); // "simplified, fused"

typedef struct xlm_graph {
  xlm_arena *arena;  // for data that graphs derived from this one and plans refer to: names, attributes, rules
  xlm_arena *tables; // for the rest: dims, values, nodes and their operands, lists
  const xlm_source *source;
  const char *model, *preset; // preset may be NULL
  uint32_t properties;        // maintained by compiler/driver/run_passes.c
  xlm_dim_info *dims;
  uint32_t n_dims, cap_dims; // entry 0 unused
  xlm_value *values;
  uint32_t n_values, cap_values; // entry 0 unused
  xlm_node_info *nodes;
  uint32_t n_nodes, cap_nodes;       // entry 0 unused
  xlm_vals outputs, metrics, losses; // losses: scalars whose sum is minimised (weights already applied)
  xlm_update *updates;
  uint32_t n_updates, cap_updates;
  const char *weights_name; // of the section: "huggingface"; NULL without one
  xlm_plan_weight *weights;
  uint32_t n_weights, cap_weights;
  xlm_shard_rule *rules;
  uint32_t n_rules, cap_rules;
  xlm_plan_config *config; // dims and lets, for flags and config.json
  uint32_t n_config, cap_config;
  xlm_plan_key *keys; // of the config section
  uint32_t n_keys, cap_keys;
  xlm_param_group *groups; // of the model text; the first that matches a parameter applies
  uint32_t n_groups, cap_groups;
} xlm_graph;

xlm_graph *xlm_graph_new(xlm_arena *a, const xlm_source *source, const char *model);
// A new graph with the same dims, rules, weights, config and properties, and no values, nodes or lists.
xlm_graph *xlm_graph_like(const xlm_graph *g);
// Frees the tables of a graph after its last use.
void xlm_graph_free(xlm_graph *g);
// Reserves room for this many more nodes and values: tables that grow by doubling leave as much unused memory.
void xlm_graph_reserve(xlm_graph *g, uint32_t nodes, uint32_t values);

// The dimension of this name and not split, created at first use. Its size must equal that of an existing
// one.
xlm_dim xlm_graph_dim(xlm_graph *g, const char *name, int64_t size);
xlm_dim xlm_graph_dim_find(const xlm_graph *g, const char *name, uint32_t axes); // 0 when absent
xlm_dim xlm_graph_dim_add(xlm_graph *g, xlm_dim_info info); // name and axes must be new

static inline xlm_node_info *xlm_node_at(const xlm_graph *g, xlm_node n) {
  return &g->nodes[n];
}
static inline xlm_value *xlm_val_at(const xlm_graph *g, xlm_val v) {
  return &g->values[v];
}
static inline xlm_role xlm_state_role(const xlm_node_info *n) { // of a `param` or `state`
  int unset = xlm_node_is(n, XLM_LEAF_PARAMETER) ? XLM_ROLE_PARAMETER : XLM_ROLE_STATE;
  return (xlm_role)xlm_attr_enum(&n->attrs, XLM_A_role, unset);
}
static inline const xlm_type *xlm_val_type(const xlm_graph *g, xlm_val v) {
  return &g->values[v].type;
}
static inline xlm_node_info *xlm_val_node(const xlm_graph *g, xlm_val v) {
  return &g->nodes[g->values[v].def];
}

void xlm_vals_add(xlm_graph *g, xlm_vals *list, const char *name, xlm_val val, xlm_span span);
void xlm_graph_update(xlm_graph *g, xlm_val state, xlm_val val);

// use_count[v] for every value: operands, outputs, metrics, losses, updates. [n_values], in `a`.
uint32_t *xlm_graph_uses(const xlm_graph *g, xlm_arena *a);

// The text form (one line per node; grammar in compiler/ir/README.md). The reader accepts exactly what the
// writer prints, plus blanks and comments; it validates all input.
void xlm_graph_print(const xlm_graph *g, xlm_text *out);
xlm_graph *xlm_graph_read(xlm_arena *a, const char *text, size_t n, xlm_error *err);

// NULL when the graph's invariants hold, else a sentence naming the node (a bug of the compiler, not of the
// user).
const char *xlm_graph_verify(const xlm_graph *g, xlm_arena *a);

#endif
