// Lowering: every node with a kernel becomes an instruction, every value a tensor. Views and in-place results
// share their operand's memory (view_of). States of the same name in the graphs of several programs are the
// same tensor; inputs of the same name are one entry with a tensor for each.
#include "compiler/planner/lower.h"

#include <string.h>

#include "compiler/diagnose/source.h"
#include "compiler/ir/op.h"
#include "compiler/planner/assigned.h"
#include "compiler/schedule/schedule.h"
#include "runtime/plan/streams.h"

typedef struct lower {
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
} lower;

// Several microbatches are in flight, so activations have slots.
static bool in_slots(const lower *w) {
  return w->program == XLM_PROGRAM_TRAIN && w->l.options.schedule;
}

static uint32_t line_of(const lower *w, xlm_span span) {
  if (!w->g->source || span.begin == span.end) return 0;
  return xlm_source_line(w->g->source, span.begin);
}

static bool same_dim(const xlm_dim_info *a, const xlm_dim_info *b) {
  return a->axes == b->axes && a->size == b->size && a->full == b->full && a->offset == b->offset &&
         a->tail == b->tail && a->tail_offset == b->tail_offset && a->mirrored == b->mirrored &&
         a->ragged == b->ragged && !strcmp(a->name, b->name);
}

static void map_dims(lower *w) {
  xlm_lowering *l = &w->l;
  w->dim_map = XLM_NEW_N(l->scratch, xlm_dim, w->g->n_dims);
  for (uint32_t i = 1; i < w->g->n_dims; i++) {
    uint32_t j = 1;
    while (j < l->n_dims && !same_dim(&l->dims[j], &w->g->dims[i])) j++;
    if (j >= l->n_dims) XLM_PUSH(l->scratch, l->dims, l->n_dims, l->cap_dims, w->g->dims[i]);
    w->dim_map[i] = j;
  }
}

static xlm_type map_type(const lower *w, const xlm_type *t) {
  xlm_type out = *t;
  for (int i = 0; i < t->rank; i++) out.dim[i] = w->dim_map[t->dim[i]];
  if (w->l.options.wide && xlm_dtype_is_float(out.dtype)) out.dtype = XLM_F64;
  return out;
}

static bool has_dims(const xlm_attrs *as) {
  for (int i = 0; i < as->n; i++)
    if (xlm_attr_kind_of(as->at[i].key) == XLM_ATTR_DIMS) return true;
  return false;
}

static xlm_attrs map_attrs(lower *w, const xlm_attrs *as) {
  if (!has_dims(as)) return *as; // the graph's attributes outlive the plan's construction
  xlm_attr *at = as->n ? XLM_NEW_N(w->l.arena, xlm_attr, as->n) : NULL;
  for (int i = 0; i < as->n; i++) {
    at[i] = as->at[i];
    if (xlm_attr_kind_of(at[i].key) != XLM_ATTR_DIMS) continue;
    for (uint32_t k = 0; k < at[i].n; k++) at[i].dims[k] = w->dim_map[at[i].dims[k]];
  }
  return (xlm_attrs){.n = as->n, .at = at};
}

static uint32_t add_tensor(lower *w, xlm_tensor t, xlm_lifetime life) {
  xlm_lowering *l = &w->l;
  t.bytes = xlm_type_bytes(&t.type, l->dims);
  XLM_PUSH(l->scratch, l->tensors, l->n_tensors, l->cap_tensors, t);
  XLM_PUSH(l->scratch, l->life, l->n_life, l->cap_life, life);
  uint32_t root = t.view_of ? l->root[t.view_of] : l->n_root;
  XLM_PUSH(l->scratch, l->root, l->n_root, l->cap_root, root);
  return l->n_tensors - 1;
}

// ---- leaves ----

static const struct {
  xlm_category category;
  bool saved; // is part of a checkpoint
} by_role[XLM_ROLES] = {
    [XLM_ROLE_STATE] = {XLM_CATEGORY_STATE, true},
    [XLM_ROLE_PARAMETER] = {XLM_CATEGORY_PARAMETER, true},
    [XLM_ROLE_GRADIENT] = {XLM_CATEGORY_GRADIENT, false},
    [XLM_ROLE_OPTIMIZER] = {XLM_CATEGORY_OPTIMIZER, true},
    [XLM_ROLE_COUNT] = {XLM_CATEGORY_IO, false},
    [XLM_ROLE_CAST] = {XLM_CATEGORY_PARAMETER, false},
    [XLM_ROLE_CACHE] = {XLM_CATEGORY_CACHE, false},
};

static void lower_state(lower *w, const xlm_node_info *n) {
  xlm_lowering *l = &w->l;
  const char *name = xlm_attr_text(&n->attrs, XLM_A_name, "");
  const xlm_attr *init = xlm_attr_find(&n->attrs, XLM_A_init);
  xlm_role role = xlm_state_role(n);
  uintptr_t known = (uintptr_t)xlm_dict_get(&l->state_of, name);
  if (known) {
    w->tensor[n->out] = l->states[known - 1].tensor;
    return;
  }
  xlm_tensor t = {.name = name,
                  .type = map_type(w, xlm_val_type(w->g, n->out)),
                  .category = by_role[role].category,
                  .area = XLM_AREA_STATE,
                  .line = line_of(w, n->span)};
  w->tensor[n->out] = add_tensor(w, t, (xlm_lifetime){0});
  xlm_plan_state s = {.name = name,
                      .role = role,
                      .init = init ? init->init : (xlm_init){XLM_INIT_ZEROS},
                      .tensor = w->tensor[n->out],
                      .saved = by_role[role].saved};
  XLM_PUSH(l->arena, l->states, l->n_states, l->cap_states, s);
  xlm_dict_put(l->scratch, &l->state_of, name, (void *)(uintptr_t)l->n_states);
}

static xlm_input_role input_role(const xlm_node_info *n) {
  return (xlm_input_role)xlm_attr_enum(&n->attrs, XLM_A_feed, XLM_INPUT_TOKENS);
}

static void lower_input(lower *w, const xlm_node_info *n) {
  xlm_lowering *l = &w->l;
  const char *name = xlm_attr_text(&n->attrs, XLM_A_name, "");
  xlm_input_role role = input_role(n);
  bool data = xlm_input_is_data(role), whole_step = data && n->phase == XLM_PHASE_PROLOGUE;
  xlm_tensor t = {.name = name,
                  .type = map_type(w, xlm_val_type(w->g, n->out)),
                  .category = XLM_CATEGORY_IO,
                  .area = XLM_AREA_IO,
                  .line = line_of(w, n->span)};
  // Data belongs to a microbatch: with several in flight it is in its slot, from the start of its chunk's
  // forward.
  xlm_lifetime life = {0};
  if (in_slots(w) && data && !whole_step) life = (xlm_lifetime){w->chunk_begin, w->chunk_begin, 0, true};
  uint32_t id = w->tensor[n->out] = add_tensor(w, t, life);
  for (uint32_t i = 0; w->program != XLM_PROGRAM_TRAIN && i < l->n_inputs; i++)
    if (!strcmp(l->inputs[i].name, name)) { // of an earlier program
      l->inputs[i].tensor[w->program] = id;
      return;
    }
  xlm_dim vocab[XLM_MAX_RANK];
  int64_t bound = xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab) ? w->g->dims[vocab[0]].full : 0;
  xlm_plan_input in = {.name = name,
                       .role = role,
                       .source = data ? xlm_attr_text(&n->attrs, XLM_A_source, "tokens") : "",
                       .shift = xlm_attr_int(&n->attrs, XLM_A_start, 0),
                       .whole_step = whole_step,
                       .vocab = bound,
                       .chunk = life.placed ? w->chunk : -1};
  in.tensor[w->program] = id;
  XLM_PUSH(l->arena, l->inputs, l->n_inputs, l->cap_inputs, in);
}

// ---- instructions ----

static xlm_category category_of_value(const lower *w, const xlm_node_info *n, xlm_val v) {
  if (xlm_op_facts_of(n->op)->converts_layout) return XLM_CATEGORY_COMM;
  bool backward = n->phase == XLM_PHASE_BWD || n->phase == XLM_PHASE_WGT;
  bool gradient = backward && w->last_use[v] < w->g->n_nodes && w->last_use[v] &&
                  xlm_phase_is_once(w->g->nodes[w->last_use[v]].phase);
  return gradient ? XLM_CATEGORY_GRADIENT : XLM_CATEGORY_ACTIVATION;
}

static bool same_storage(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

// A sum over the microbatches of a step, which starts again in the next step.
static bool is_summed_up(const lower *w, const xlm_node_info *n, uint32_t tensor) {
  return xlm_phase_is_once(n->phase) && w->l.tensors[tensor].category == XLM_CATEGORY_GRADIENT &&
         w->l.tensors[tensor].area == XLM_AREA_STATE;
}

// Result k of a program is summed while its operands are still being read.
static bool is_summed(const xlm_node_info *n, int k) {
  const xlm_attr *code = xlm_attr_find(&n->attrs, XLM_A_code);
  return code && k >= n->n_out - code->code->n_summed;
}

// The operand whose memory result k reuses; 0 = none. The operand must not be used afterwards, nor be read
// twice through views.
static uint32_t in_place_operand(lower *w, const xlm_node_info *n, xlm_node id, int k) {
  xlm_lowering *l = &w->l;
  const xlm_op *op = xlm_op_at(n->op);
  if (is_summed(n, k)) return 0;
  for (int i = 0; i < n->n_in && i < 32 && !l->options.wide; i++) { // reference kernels do not work in place
    if (!(op->in_place >> i & 1)) continue;
    uint32_t t = w->tensor[n->in[i]], r = xlm_lower_root(l, t);
    bool mine = l->life[r].placed ? l->life[r].program == w->program : is_summed_up(w, n, r);
    if (!mine || w->last_use[w->view_root[n->in[i]]] != id) continue;
    if (!same_storage(xlm_val_type(w->g, n->in[i]), xlm_val_type(w->g, n->out + (xlm_val)k))) continue;
    bool taken = false; // reused by an earlier result of this node, or read through another view
    for (int j = 0; j < k; j++) taken |= xlm_lower_root(l, w->tensor[n->out + (xlm_val)j]) == r;
    for (int j = 0; j < n->n_in; j++)
      taken |= j != i && n->in[j] != n->in[i] && xlm_lower_root(l, w->tensor[n->in[j]]) == r;
    if (!taken) return t;
  }
  return 0;
}

// The state to which result k of n is only assigned, if n can compute it there; 0 = none. An operand in the
// same memory must be the state itself, read element by element.
static uint32_t assigned_state(lower *w, const xlm_node_info *n, int k) {
  xlm_val v = n->out + (xlm_val)k;
  xlm_val s = w->assigned[v];
  if (!s) return 0;
  if (!w->tensor[s]) lower_state(w, xlm_val_node(w->g, s));
  uint32_t t = w->tensor[s], r = xlm_lower_root(&w->l, t);
  bool in_place =
      !w->l.options.wide && !is_summed(n, k) && same_storage(xlm_val_type(w->g, s), xlm_val_type(w->g, v));
  for (int j = 0; j < n->n_in; j++) {
    if (xlm_lower_root(&w->l, w->tensor[n->in[j]]) != r) continue;
    if (!in_place || n->in[j] != s || j >= 32 || !(xlm_op_at(n->op)->in_place >> j & 1)) return 0;
  }
  return t;
}

static bool is_in_its_state(const lower *w, const xlm_node_info *n) {
  int stored = xlm_op_facts_of(n->op)->stored;
  return stored &&
         xlm_lower_root(&w->l, w->tensor[n->in[stored - 1]]) == xlm_lower_root(&w->l, w->tensor[n->in[0]]);
}

static void lower_results(lower *w, const xlm_node_info *n, xlm_node id, uint32_t position) {
  const xlm_op *op = xlm_op_at(n->op);
  for (int k = 0; k < n->n_out; k++) {
    xlm_val v = n->out + (xlm_val)k;
    uint32_t shares = 0;
    if (k < op->n_alias && is_in_its_state(w, n)) // an assignment that is left out: what was made there
      shares = w->tensor[n->in[xlm_op_facts_of(n->op)->stored - 1]];
    else if (k < op->n_alias || (op->flags & XLM_OPF_VIEW))
      shares = w->tensor[n->in[k]];
    else if (!(shares = assigned_state(w, n, k)))
      shares = in_place_operand(w, n, id, k);
    xlm_tensor t = {.name = w->g->values[v].name,
                    .type = map_type(w, &w->g->values[v].type),
                    .view_of = shares,
                    .area = XLM_AREA_TEMP,
                    .partial = w->g->values[v].partial,
                    .line = line_of(w, n->span)};
    t.category = shares ? w->l.tensors[xlm_lower_root(&w->l, shares)].category : category_of_value(w, n, v);
    w->tensor[v] = add_tensor(w, t, (xlm_lifetime){position, position, (uint8_t)w->program, !shares});
  }
}

static void extend_life(lower *w, xlm_val v, uint32_t position) {
  xlm_lifetime *life = &w->l.life[xlm_lower_root(&w->l, w->tensor[v])];
  if (life->end < position) life->end = position;
}

static const uint32_t *tensor_list(lower *w, const xlm_val *vals, xlm_val first, int n) {
  uint32_t *list = XLM_NEW_N(w->l.arena, uint32_t, n);
  for (int i = 0; i < n; i++) list[i] = w->tensor[vals ? vals[i] : first + (xlm_val)i];
  return list;
}

static xlm_status ask(const lower *w, const xlm_instr *in, xlm_kernel_choice *out, xlm_error *err) {
  const xlm_lowering *l = &w->l;
  const xlm_backend_info *b = l->options.backend;
  xlm_planned p = b->plan(in, l->tensors, l->dims, l->options.mesh, &l->options.target, out);
  if (p == XLM_NO_MEMORY) return xlm_fail(err, XLM_ENV, "no memory to plan `%s`", xlm_op_name(in->op));
  if (p == XLM_NO_KERNEL)
    return xlm_fail(err, XLM_USER, "the %s backend has no kernel for `%s`", b->name, xlm_op_name(in->op));
  return XLM_OK;
}

// The overwriting and the adding form of a sum share one workspace.
static xlm_status choose_kernel(lower *w, xlm_instr *in, bool sums, xlm_error *err) {
  xlm_kernel_choice choice, of_store = {0};
  XLM_TRY(ask(w, in, &choice, err));
  if (sums) {
    xlm_instr store = xlm_lower_stored(&w->l, *in);
    XLM_TRY(ask(w, &store, &of_store, err));
  }
  in->variant = choice.variant;
  in->workspace = choice.workspace > of_store.workspace ? choice.workspace : of_store.workspace;
  return XLM_OK;
}

static xlm_status lower_kernel(lower *w, xlm_node id, xlm_error *err) {
  xlm_lowering *l = &w->l;
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_cost cost;
  xlm_op_cost(w->g, id, &cost);
  xlm_instr in = {.op = n->op,
                  .stream = xlm_stream_of(n->op),
                  .n_in = n->n_in,
                  .n_out = n->n_out,
                  .in = tensor_list(w, n->in, 0, n->n_in),
                  .out = tensor_list(w, NULL, n->out, n->n_out),
                  .attrs = map_attrs(w, &n->attrs),
                  .flops = cost.flops,
                  .model_flops = cost.model_flops,
                  .bytes = cost.bytes,
                  .line = line_of(w, n->span),
                  .scope = n->scope};
  bool sums = xlm_op_facts_of(n->op)->sums && xlm_op_is_leaf(xlm_val_node(w->g, n->in[0])->op);
  XLM_TRY(choose_kernel(w, &in, sums, err));
  XLM_PUSH(l->scratch, l->instrs, l->n_instrs, l->cap_instrs, in);
  XLM_PUSH(l->scratch, l->once, l->n_once, l->cap_once, n->phase == XLM_PHASE_LAST);
  XLM_PUSH(l->scratch, l->sums, l->n_sums, l->cap_sums, sums);
  XLM_PUSH(l->scratch, l->scratch_end, l->n_scratch, l->cap_scratch, l->n_instrs - 1 - w->first_instr);
  return XLM_OK;
}

// Leaves become tensors at their first use: an input belongs to the chunk that reads it.
static void lower_leaves(lower *w, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *leaf = xlm_val_node(w->g, n->in[i]);
    if (w->tensor[n->in[i]] || !(xlm_op_is_leaf(leaf->op))) continue;
    (xlm_node_is(leaf, XLM_LEAF_INPUT) ? lower_input : lower_state)(w, leaf);
  }
}

static xlm_status lower_node(lower *w, xlm_node id, xlm_error *err) {
  const xlm_node_info *n = &w->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  uint32_t position = w->l.n_instrs - w->first_instr;
  w->at = n->span;
  lower_leaves(w, n);
  lower_results(w, n, id, position);
  if ((op->flags & XLM_OPF_VIEW) || is_in_its_state(w, n)) return XLM_OK;
  for (int i = 0; i < n->n_in; i++) extend_life(w, n->in[i], position);
  for (int i = 0; i < n->n_out; i++) extend_life(w, n->out + (xlm_val)i, position);
  return lower_kernel(w, id, err);
}

// ---- segments ----

static void find_view_roots(lower *w) {
  w->view_root = XLM_NEW_N(w->l.scratch, xlm_val, w->g->n_values);
  for (xlm_val v = 1; v < w->g->n_values; v++) {
    const xlm_node_info *n = xlm_val_node(w->g, v);
    w->view_root[v] = xlm_op_at(n->op)->flags & XLM_OPF_VIEW ? w->view_root[n->in[0]] : v;
  }
}

// The phase by which a node is ordered: gradients of weights and their reduction are part of the backward
// unless they are separate.
static int runs_in(const lower *w, const xlm_node_info *n) {
  bool split = w->l.options.schedule && w->l.options.schedule->split_weights;
  bool of_weights = n->phase == XLM_PHASE_WGT || n->phase == XLM_PHASE_LAST;
  return of_weights ? split ? XLM_PHASE_WGT : XLM_PHASE_BWD : (int)n->phase;
}

static void find_last_uses(lower *w) {
  const xlm_graph *g = w->g;
  w->last_use = XLM_NEW_N(w->l.scratch, uint32_t, g->n_values);
  static const xlm_phase order[XLM_PHASES] = {XLM_PHASE_PROLOGUE, XLM_PHASE_FWD,  XLM_PHASE_BWD,
                                              XLM_PHASE_WGT,      XLM_PHASE_LAST, XLM_PHASE_STEP};
  for (int k = 0; k < XLM_PHASES; k++) // weight gradients may run after the whole backward
    for (xlm_node n = 1; n < g->n_nodes; n++)
      if (runs_in(w, &g->nodes[n]) == (int)order[k])
        for (int i = 0; i < g->nodes[n].n_in; i++) w->last_use[w->view_root[g->nodes[n].in[i]]] = n;
  const xlm_vals *lists[] = {&g->outputs, &g->metrics, &g->losses};
  for (int k = 0; k < 3; k++)
    for (uint32_t i = 0; i < lists[k]->n; i++) w->last_use[w->view_root[lists[k]->at[i].val]] = UINT32_MAX;
}

static void open_segment(lower *w, xlm_segment_kind kind, int16_t chunk) {
  xlm_lowering *l = &w->l;
  xlm_segment s = {.kind = kind, .chunk = chunk, .stage = (int16_t)l->options.stage, .first = l->n_instrs};
  XLM_PUSH(l->arena, l->segments, l->n_segments, l->cap_segments, s);
}

static void close_segment(lower *w) {
  xlm_segment *s = &w->l.segments[w->l.n_segments - 1];
  s->n = w->l.n_instrs - s->first;
  xlm_lower_hold(&w->l, s, w->first_instr, (uint8_t)w->program);
}

// What the last microbatch does once runs with the chunk whose backward is the last of the step.
static bool belongs(const lower *w, const xlm_node_info *n, uint32_t phases, int16_t chunk) {
  if (!(phases >> n->phase & 1) || xlm_op_is_leaf(n->op)) return false;
  if (w->program != XLM_PROGRAM_TRAIN) return true;
  if (n->phase == XLM_PHASE_LAST) return chunk == w->last_chunk;
  return n->phase == XLM_PHASE_STEP || n->phase == XLM_PHASE_PROLOGUE ||
         (n->stage < 0 ? 0 : n->stage) == chunk;
}

// Lowers all nodes of these phases (a bit set) and this chunk into one segment.
static xlm_status lower_nodes(lower *w, xlm_segment_kind kind, uint32_t phases, int16_t chunk,
                              xlm_error *err) {
  open_segment(w, kind, chunk);
  for (xlm_node n = 1; n < w->g->n_nodes; n++)
    if (belongs(w, &w->g->nodes[n], phases, chunk)) XLM_TRY(lower_node(w, n, err));
  close_segment(w);
  return XLM_OK;
}

static void lower_outputs(lower *w, const xlm_vals *list, xlm_output_role role, const char *prefix) {
  xlm_lowering *l = &w->l;
  for (uint32_t i = 0; i < list->n; i++) {
    uint32_t t = w->tensor[list->at[i].val];
    l->life[xlm_lower_root(l, t)].end = UINT32_MAX;
    bool is_loss = !strcmp(list->at[i].name, "loss"), is_weight = !strncmp(list->at[i].name, "weight/", 7);
    xlm_plan_output o = {.name = xlm_arena_printf(l->arena, "%s%s", prefix, list->at[i].name),
                         .role = is_loss     ? XLM_OUTPUT_LOSS
                                 : is_weight ? XLM_OUTPUT_WEIGHT
                                             : role,
                         .program = w->program,
                         .tensor = t};
    XLM_PUSH(l->arena, l->outputs, l->n_outputs, l->cap_outputs, o);
  }
}

static void begin_graph(lower *w, const xlm_graph *g, xlm_program_id program) {
  w->g = g;
  w->program = program;
  map_dims(w);
  w->tensor = XLM_NEW_N(w->l.scratch, uint32_t, g->n_values);
  find_view_roots(w);
  find_last_uses(w);
  w->assigned = xlm_find_assigned(g, w->l.scratch);
  w->first_instr = w->l.n_instrs;
  xlm_lower_reserve(&w->l, g->n_nodes);
}

enum {
  FWD = 1 << XLM_PHASE_FWD,
  BWD = 1 << XLM_PHASE_BWD,
  WGT = 1 << XLM_PHASE_WGT | 1 << XLM_PHASE_LAST, // xlm_lower_variants separates LAST
  STEP = 1 << XLM_PHASE_STEP,
  PROLOGUE = 1 << XLM_PHASE_PROLOGUE
};

// An input that several chunks of a stage read is in the slots of each: the next chunk gets its own tensor.
static void forget_inputs(lower *w) {
  for (xlm_node n = 1; n < w->g->n_nodes; n++) {
    const xlm_node_info *leaf = &w->g->nodes[n];
    if (xlm_node_is(leaf, XLM_LEAF_INPUT) && leaf->phase != XLM_PHASE_PROLOGUE &&
        xlm_input_is_data(input_role(leaf)))
      w->tensor[leaf->out] = 0;
  }
}

static xlm_status lower_chunk(lower *w, int16_t chunk, bool split_weights, xlm_error *err) {
  if (in_slots(w)) forget_inputs(w);
  w->chunk = chunk;
  w->chunk_begin = w->l.n_instrs - w->first_instr;
  XLM_TRY(lower_nodes(w, XLM_SEG_F, FWD, chunk, err));
  XLM_TRY(lower_nodes(w, XLM_SEG_B, split_weights ? BWD : BWD | WGT, chunk, err));
  return split_weights ? lower_nodes(w, XLM_SEG_W, WGT, chunk, err) : XLM_OK;
}

static uint32_t segment_of(const lower *w, xlm_segment_kind kind, int16_t chunk) {
  for (uint32_t i = 0; i < w->l.n_segments; i++)
    if (w->l.segments[i].kind == kind && (xlm_segment_is_once(kind) || w->l.segments[i].chunk == chunk))
      return i;
  XLM_ASSERT(false, "no segment %s of chunk %d", xlm_segment_name(kind), chunk);
  return 0;
}

// One stage: forward and backward of each microbatch in turn, without slots.
static void plain_schedule(lower *w) {
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, 2 * w->l.options.microbatches + 1);
  uint32_t n = 0;
  for (int32_t m = 0; m < w->l.options.microbatches; m++)
    for (int k = XLM_SEG_F; k <= XLM_SEG_B; k++)
      runs[n++] = (xlm_segment_run){segment_of(w, (xlm_segment_kind)k, 0), m, {-1, -1, -1}};
  runs[n++] = (xlm_segment_run){segment_of(w, XLM_SEG_STEP, 0), -1, {-1, -1, -1}};
  w->l.plan->schedule = w->l.schedule = runs;
  w->l.plan->n_schedule = n;
}

// xlm_place assigns the slots when their sizes are known.
static void pipeline_schedule(lower *w) {
  const xlm_schedule_plan *sp = w->l.options.schedule;
  const xlm_stage_schedule *s = &sp->stage[w->l.options.stage];
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, s->n);
  for (uint32_t i = 0; i < s->n; i++)
    runs[i] =
        (xlm_segment_run){segment_of(w, s->at[i].kind, s->at[i].chunk), s->at[i].microbatch, {-1, -1, -1}};
  w->l.plan->schedule = w->l.schedule = runs;
  w->l.plan->n_schedule = s->n;
}

static int16_t last_chunk(const xlm_stage_schedule *s) {
  int16_t chunk = 0;
  for (uint32_t i = 0; i < s->n; i++)
    if (s->at[i].kind == XLM_SEG_B || s->at[i].kind == XLM_SEG_W) chunk = s->at[i].chunk;
  return chunk;
}

static bool has_prologue(const xlm_graph *g) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].phase == XLM_PHASE_PROLOGUE) return true;
  return false;
}

// Puts the prologue first, after slots are assigned, which only microbatches have.
static void schedule_prologue(lower *w) {
  xlm_rank_plan *p = w->l.plan;
  if (!p->n_schedule || w->l.segments[0].kind != XLM_SEG_PROLOGUE) return;
  xlm_segment_run *runs = XLM_NEW_N(w->l.arena, xlm_segment_run, p->n_schedule + 1);
  runs[0] = (xlm_segment_run){0, -1, {-1, -1, -1}};
  memcpy(runs + 1, p->schedule, p->n_schedule * sizeof *runs);
  p->schedule = w->l.schedule = runs;
  p->n_schedule++;
}

static xlm_status lower_train(lower *w, const xlm_graph *g, xlm_error *err) {
  const xlm_schedule_plan *s = w->l.options.schedule;
  begin_graph(w, g, XLM_PROGRAM_TRAIN);
  if (has_prologue(g)) XLM_TRY(lower_nodes(w, XLM_SEG_PROLOGUE, PROLOGUE, 0, err));
  w->last_chunk = s ? last_chunk(&s->stage[w->l.options.stage]) : 0;
  for (int16_t c = 0; s && c < s->chunks; c++)
    if (c != w->last_chunk) XLM_TRY(lower_chunk(w, c, s->split_weights, err));
  XLM_TRY(lower_chunk(w, w->last_chunk, s && s->split_weights, err));
  XLM_TRY(lower_nodes(w, XLM_SEG_STEP, STEP, 0, err));
  lower_outputs(w, &g->outputs, XLM_OUTPUT_METRIC, "");
  (s ? pipeline_schedule : plain_schedule)(w);
  return XLM_OK;
}

// A program of one segment.
static xlm_status lower_whole(lower *w, const xlm_graph *g, xlm_program_id program, xlm_error *err) {
  static const xlm_segment_kind kind[XLM_PROGRAMS] = {[XLM_PROGRAM_EVAL] = XLM_SEG_EVAL,
                                                      [XLM_PROGRAM_PREFILL] = XLM_SEG_PREFILL,
                                                      [XLM_PROGRAM_DECODE] = XLM_SEG_DECODE};
  begin_graph(w, g, program);
  w->l.plan->segment_of[program] = (int32_t)w->l.n_segments;
  XLM_TRY(lower_nodes(w, kind[program], FWD | BWD | WGT | STEP, 0, err));
  lower_outputs(w, &g->losses, XLM_OUTPUT_LOSS, "eval.");
  lower_outputs(w, &g->metrics, XLM_OUTPUT_METRIC, "eval.");
  lower_outputs(w, &g->outputs, XLM_OUTPUT_OUTPUT, "");
  return XLM_OK;
}

static void *keep(const xlm_lowering *l, const void *table, uint32_t n, size_t each) {
  return xlm_arena_grow(l->arena, (void *)(uintptr_t)table, n, n, each);
}

static void finish(lower *w) {
  xlm_lowering *l = &w->l;
  xlm_rank_plan *p = l->plan;
  xlm_place(l);
  schedule_prologue(w);
  xlm_lower_variants(l);
  xlm_lower_order(l);
  p->dims = keep(l, l->dims, l->n_dims, sizeof *l->dims), p->n_dims = l->n_dims;
  p->tensors = keep(l, l->tensors, l->n_tensors, sizeof *l->tensors), p->n_tensors = l->n_tensors;
  p->instrs = keep(l, l->instrs, l->n_instrs, sizeof *l->instrs), p->n_instrs = l->n_instrs;
  p->segments = l->segments, p->n_segments = l->n_segments;
  p->states = l->states, p->n_states = l->n_states;
  p->inputs = l->inputs, p->n_inputs = l->n_inputs;
  p->outputs = l->outputs, p->n_outputs = l->n_outputs;
}

static xlm_status lower_graphs(lower *w, const xlm_graph *const graphs[XLM_PROGRAMS], xlm_error *err) {
  if (graphs[XLM_PROGRAM_TRAIN]) XLM_TRY(lower_train(w, graphs[XLM_PROGRAM_TRAIN], err));
  for (int p = XLM_PROGRAM_TRAIN + 1; p < XLM_PROGRAMS; p++)
    if (graphs[p]) XLM_TRY(lower_whole(w, graphs[p], (xlm_program_id)p, err));
  return XLM_OK;
}

xlm_status xlm_lower(xlm_arena *a, const xlm_graph *const graphs[XLM_PROGRAMS], const xlm_lower_options *o,
                     xlm_rank_plan **out, xlm_span *at, xlm_error *err) {
  xlm_arena *scratch = xlm_arena_child(a);
  lower *w = XLM_NEW(scratch, lower);
  w->l = (xlm_lowering){.arena = a, .scratch = scratch, .options = *o, .plan = XLM_NEW(a, xlm_rank_plan)};
  xlm_lowering *l = &w->l;
  for (int p = 0; p < XLM_PROGRAMS; p++) l->plan->segment_of[p] = -1;
  XLM_PUSH(scratch, l->dims, l->n_dims, l->cap_dims, (xlm_dim_info){.name = ""});
  XLM_PUSH(scratch, l->tensors, l->n_tensors, l->cap_tensors, (xlm_tensor){.name = ""});
  XLM_PUSH(scratch, l->life, l->n_life, l->cap_life, (xlm_lifetime){0});
  XLM_PUSH(scratch, l->root, l->n_root, l->cap_root, 0);
  xlm_status status = lower_graphs(w, graphs, err);
  *at = w->at;
  if (status == XLM_OK) finish(w);
  *out = l->plan;
  xlm_arena_free(scratch);
  return status;
}
