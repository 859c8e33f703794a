// Lowering: the nodes of a graph, in order, into the segments of its program: a training step's by phase and
// chunk, any other program into one. lower_node.c lowers a node, lower_leaves.c what it reads,
// lower_schedule.c has the order of the segments; then memory is placed (place.c) and the streams are ordered
// (lower_streams.c).
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/planner/assigned.h"
#include "compiler/planner/lower_priv.h"
#include "compiler/schedule/schedule.h"

// ---- uses ----

static void find_view_roots(xlm_lower_context *w) {
  w->view_root = XLM_NEW_N(w->l.scratch, xlm_val, w->g->n_values);
  for (xlm_val v = 1; v < w->g->n_values; v++) {
    const xlm_node_info *n = xlm_val_node(w->g, v);
    w->view_root[v] = xlm_op_at(n->op)->flags & XLM_OPF_VIEW ? w->view_root[n->in[0]] : v;
  }
}

// The phase by which a node is ordered: gradients of weights and their reduction are part of the backward
// unless they are separate.
static int runs_in(const xlm_lower_context *w, const xlm_node_info *n) {
  bool split = w->l.options.schedule && w->l.options.schedule->split_weights;
  bool of_weights = n->phase == XLM_PHASE_WGT || n->phase == XLM_PHASE_LAST;
  return of_weights ? split ? XLM_PHASE_WGT : XLM_PHASE_BWD : (int)n->phase;
}

static void find_last_uses(xlm_lower_context *w) {
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

// ---- segments ----

static void open_segment(xlm_lower_context *w, xlm_segment_kind kind, int16_t chunk) {
  xlm_lowering *l = &w->l;
  xlm_segment s = {.kind = kind, .chunk = chunk, .stage = (int16_t)l->options.stage, .first = l->n_instrs};
  XLM_PUSH(l->arena, l->segments, l->n_segments, l->cap_segments, s);
}

static void close_segment(xlm_lower_context *w) {
  xlm_segment *s = &w->l.segments[w->l.n_segments - 1];
  s->n = w->l.n_instrs - s->first;
  xlm_lower_hold(&w->l, s, w->first_instr, (uint8_t)w->program);
}

// What the last microbatch does once runs with the chunk whose backward is the last of the step.
static bool belongs(const xlm_lower_context *w, const xlm_node_info *n, uint32_t phases, int16_t chunk) {
  if (!(phases >> n->phase & 1) || xlm_op_is_leaf(n->op)) return false;
  if (w->program != XLM_PROGRAM_TRAIN) return true;
  if (n->phase == XLM_PHASE_LAST) return chunk == w->last_chunk;
  return n->phase == XLM_PHASE_STEP || n->phase == XLM_PHASE_PROLOGUE ||
         (n->stage < 0 ? 0 : n->stage) == chunk;
}

// Lowers all nodes of these phases (a bit set) and this chunk into one segment.
static xlm_status lower_nodes(xlm_lower_context *w, xlm_segment_kind kind, uint32_t phases, int16_t chunk,
                              xlm_error *err) {
  open_segment(w, kind, chunk);
  for (xlm_node n = 1; n < w->g->n_nodes; n++)
    if (belongs(w, &w->g->nodes[n], phases, chunk)) XLM_TRY(xlm_lower_node(w, n, err));
  close_segment(w);
  return XLM_OK;
}

static void lower_outputs(xlm_lower_context *w, const xlm_vals *list, xlm_output_role role,
                          const char *prefix) {
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

// ---- programs ----

static void begin_graph(xlm_lower_context *w, const xlm_graph *g, xlm_program_id program) {
  w->g = g;
  w->program = program;
  xlm_lower_dims(w);
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

static xlm_status lower_chunk(xlm_lower_context *w, int16_t chunk, bool split_weights, xlm_error *err) {
  xlm_lower_forget_inputs(w);
  w->chunk = chunk;
  w->chunk_begin = w->l.n_instrs - w->first_instr;
  XLM_TRY(lower_nodes(w, XLM_SEG_F, FWD, chunk, err));
  XLM_TRY(lower_nodes(w, XLM_SEG_B, split_weights ? BWD : BWD | WGT, chunk, err));
  return split_weights ? lower_nodes(w, XLM_SEG_W, WGT, chunk, err) : XLM_OK;
}

static bool has_prologue(const xlm_graph *g) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].phase == XLM_PHASE_PROLOGUE) return true;
  return false;
}

static xlm_status lower_train(xlm_lower_context *w, const xlm_graph *g, xlm_error *err) {
  const xlm_schedule_plan *s = w->l.options.schedule;
  begin_graph(w, g, XLM_PROGRAM_TRAIN);
  if (has_prologue(g)) XLM_TRY(lower_nodes(w, XLM_SEG_PROLOGUE, PROLOGUE, 0, err));
  w->last_chunk = xlm_lower_last_chunk(w);
  for (int16_t c = 0; s && c < s->chunks; c++)
    if (c != w->last_chunk) XLM_TRY(lower_chunk(w, c, s->split_weights, err));
  XLM_TRY(lower_chunk(w, w->last_chunk, s && s->split_weights, err));
  XLM_TRY(lower_nodes(w, XLM_SEG_STEP, STEP, 0, err));
  lower_outputs(w, &g->outputs, XLM_OUTPUT_METRIC, "");
  xlm_lower_schedule(w);
  return XLM_OK;
}

// A program of one segment.
static xlm_status lower_whole(xlm_lower_context *w, const xlm_graph *g, xlm_program_id program,
                              xlm_error *err) {
  static const xlm_segment_kind kind[XLM_PROGRAMS] = {[XLM_PROGRAM_EVAL] = XLM_SEG_EVAL,
                                                      [XLM_PROGRAM_PREFILL] = XLM_SEG_PREFILL,
                                                      [XLM_PROGRAM_DECODE] = XLM_SEG_DECODE,
                                                      [XLM_PROGRAM_ENCODE] = XLM_SEG_ENCODE};
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

static void finish(xlm_lower_context *w) {
  xlm_lowering *l = &w->l;
  xlm_rank_plan *p = l->plan;
  xlm_place(l);
  xlm_lower_prologue(w);
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

static xlm_status lower_graphs(xlm_lower_context *w, const xlm_graph *const graphs[XLM_PROGRAMS],
                               xlm_error *err) {
  if (graphs[XLM_PROGRAM_TRAIN]) XLM_TRY(lower_train(w, graphs[XLM_PROGRAM_TRAIN], err));
  for (int p = XLM_PROGRAM_TRAIN + 1; p < XLM_PROGRAMS; p++)
    if (graphs[p]) XLM_TRY(lower_whole(w, graphs[p], (xlm_program_id)p, err));
  bool only_decodes = graphs[XLM_PROGRAM_DECODE] && !graphs[XLM_PROGRAM_TRAIN];
  return only_decodes ? xlm_lower_panels(&w->l, err) : XLM_OK;
}

xlm_status xlm_lower(xlm_arena *a, const xlm_graph *const graphs[XLM_PROGRAMS], const xlm_lower_options *o,
                     xlm_rank_plan **out, xlm_span *at, xlm_error *err) {
  xlm_arena *scratch = xlm_arena_child(a);
  xlm_lower_context *w = XLM_NEW(scratch, xlm_lower_context);
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
