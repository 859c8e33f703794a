// Pipeline, part 2: emits one stage in the order of the whole graph, so that all stages have their messages
// in the same order; see pipeline.h.
#include <string.h>

#include "compiler/pass/pipeline_priv.h"

typedef struct staged {
  const xlm_stages *all;
  const xlm_graph *g;
  xlm_arena *a;
  int stage;
  xlm_graph *out;
  xlm_build b;
  xlm_val *map;       // values made on this stage
  xlm_val **received; // [chunk][value]: what a chunk of this stage received or repeated
  bool *sent;         // by crossing, of those to a step
} staged;

static bool is_here(const staged *s, int part) {
  return xlm_part_is_on(s->all, part, s->stage);
}

static int part_of(const staged *s, xlm_val v) {
  return s->all->part[s->g->values[v].def];
}

static void message_context(staged *s, const xlm_node_info *like, int part, xlm_phase phase) {
  xlm_build_context(&s->b, like);
  s->b.phase = phase;
  s->b.stage = (int16_t)(part >= 0 ? part / s->all->p.stages : 0);
}

static int64_t tag_of(const staged *s, xlm_val v, int to) {
  return (int64_t)v * s->all->parts + to;
}

static void emit_send(staged *s, xlm_val now, int to_stage, int64_t tag) {
  xlm_attr_list l = xlm_attr_list_new(s->out->arena);
  xlm_attr_put_int(&l, XLM_A_peer, to_stage);
  xlm_attr_put_int(&l, XLM_A_tag, tag);
  (void)xlm_emit(&s->b, XLM_OP_SEND, &now, 1, &l);
}

static xlm_val emit_recv(staged *s, xlm_val old, int from_stage, int64_t tag) {
  const xlm_type *t = xlm_val_type(s->g, old);
  xlm_attr_list l = xlm_attr_list_new(s->out->arena);
  xlm_attr_put_int(&l, XLM_A_peer, from_stage);
  xlm_attr_put_int(&l, XLM_A_tag, tag);
  xlm_attr_put_dims(&l, XLM_A_dims, t->dim, t->rank);
  xlm_attr_put_enum(&l, XLM_A_dtype, t->dtype);
  xlm_val v = xlm_emit(&s->b, XLM_OP_RECV, NULL, 0, &l);
  xlm_val_at(s->out, v)->name = s->g->values[old].name;
  xlm_val_at(s->out, v)->partial = s->g->values[old].partial;
  if (s->g->values[old].ragged_by) xlm_val_at(s->out, v)->ragged_by = 0;
  return v;
}

static xlm_val operand(staged *s, const xlm_node_info *n, xlm_val v, int part);

// Operands of weight gradients may also be read by the backward after them, and weight gradients may run
// later, so they are received in the backward. Sums of weight gradients over rounds of several stages are
// themselves computed with them, possibly after the backward of later microbatches, and received there.
static xlm_phase phase_for(const xlm_node_info *reader, const xlm_node_info *def) {
  return reader->phase == XLM_PHASE_WGT && def->phase != XLM_PHASE_WGT ? XLM_PHASE_BWD : reader->phase;
}

// Emits a node that depends only on parameters and constants again, for this chunk.
static void repeat_node(staged *s, const xlm_node_info *reader, xlm_node id, int part) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = operand(s, reader, n->in[i], part);
  message_context(s, n, part, phase_for(reader, n));
  xlm_val first = xlm_copy_with(&s->b, s->g, id, in);
  for (xlm_val i = 0; i < n->n_out; i++)
    s->received[part < 0 ? 0 : part / s->all->p.stages][n->out + i] = first + i;
}

// Operand v of a node of `part`: local, or received or repeated once per part.
static xlm_val operand(staged *s, const xlm_node_info *n, xlm_val v, int part) {
  xlm_node def = s->g->values[v].def;
  if (s->g->nodes[def].phase == XLM_PHASE_PROLOGUE) return s->map[v];
  if (!xlm_is_leaf(&s->g->nodes[def]) && s->all->part[def] == XLM_PART_ANY) {
    xlm_val *made = &s->received[part < 0 ? 0 : part / s->all->p.stages][v];
    if (!*made) repeat_node(s, n, def, part);
    return *made;
  }
  if (part < 0 || !xlm_part_is_remote(s->all, v, part)) return s->map[v];
  xlm_val *at = &s->received[part / s->all->p.stages][v];
  if (*at) return *at;
  int from = part_of(s, v);
  xlm_val rows = s->g->values[v].ragged_by ? operand(s, n, s->g->values[v].ragged_by, part) : 0;
  message_context(s, n, part, phase_for(n, &s->g->nodes[def]));
  *at = emit_recv(s, v, from % s->all->p.stages, tag_of(s, v, part));
  xlm_val_at(s->out, *at)->ragged_by = rows;
  return *at;
}

static void send_results(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_out; i++)
    for (int to = 0; s->all->crossings[n->out + (xlm_val)i] && to < s->all->parts; to++) // in the order of the parts
      for (const xlm_crossing *c = s->all->crossings[n->out + (xlm_val)i]; c; c = c->next) {
        if (c->to != to || c->in_step) continue;
        message_context(s, n, s->all->part[id], n->phase);
        emit_send(s, s->map[c->val], to % s->all->p.stages, tag_of(s, c->val, to));
      }
}

// Sends values computed here before the step that the step of another part reads, in the order of reading.
static void send_to_step(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  int to = s->all->part[id];
  for (int i = 0; n->phase == XLM_PHASE_STEP && to >= 0 && i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (!is_here(s, s->all->part[def]) || !xlm_part_is_remote(s->all, n->in[i], to)) continue;
    for (const xlm_crossing *c = s->all->crossings[n->in[i]]; c; c = c->next) {
      if (c->to != to || !c->in_step || s->sent[c->number]) continue;
      message_context(s, n, s->all->part[def], XLM_PHASE_STEP);
      emit_send(s, s->map[c->val], to % s->all->p.stages, tag_of(s, c->val, to));
      s->sent[c->number] = true;
    }
  }
}

static void bind(staged *s, xlm_node id, xlm_val first) {
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_out; i++) {
    xlm_val old = n->out + (xlm_val)i, now = first + (xlm_val)i;
    s->map[old] = now;
    xlm_val_at(s->out, now)->name = s->g->values[old].name;
    xlm_val_at(s->out, now)->partial = s->g->values[old].partial;
  }
}

// An additive operation (the global norm): over what this stage has, then the sum over the stages.
static void emit_parts(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  int count = 0;
  for (int i = 0; i < n->n_in; i++)
    if (is_here(s, part_of(s, n->in[i])) && s->map[n->in[i]]) in[count++] = s->map[n->in[i]];
  message_context(s, n, XLM_PART_EVERYWHERE, n->phase);
  xlm_attr_list l = xlm_attr_list_from(s->out->arena, &n->attrs);
  xlm_val sum = xlm_emit(&s->b, n->op, in, count, &l);
  uint32_t pp = 1u << s->all->p.pp_axis;
  xlm_val_at(s->out, sum)->partial = s->g->values[n->out].partial | pp;
  xlm_attr_list axes = xlm_attr_list_new(s->out->arena);
  xlm_attr_put_int(&axes, XLM_A_axes, pp);
  bind(s, id, xlm_emit(&s->b, XLM_OP_ALL_REDUCE, &sum, 1, &axes));
}

static void emit_node(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  int part = s->all->part[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = operand(s, n, n->in[i], part);
  message_context(s, n, part, n->phase);
  bind(s, id, xlm_copy_with(&s->b, s->g, id, in));
  if (part >= 0) send_results(s, id);
}

// ---- states and lists ----

static bool state_is_here(const staged *s, xlm_val state) {
  return s->map[state] != 0;
}

// Does the stage have a copy of the state? Every stage with a forward or backward node that reads it does.
static bool is_held(const staged *s, xlm_val state, int stage) {
  return xlm_stages_need(s->all, s->g->values[state].def, stage);
}

static void emit_updates(staged *s) {
  const xlm_graph *g = s->g;
  for (uint32_t i = 0; i < g->n_updates; i++) {
    xlm_val state = g->updates[i].state, val = g->updates[i].val;
    int part = part_of(s, val), home = part < 0 ? 0 : part % s->all->p.stages;
    const xlm_node_info *n = xlm_val_node(g, val);
    bool copies = n->phase == XLM_PHASE_STEP;
    message_context(s, n, part, n->phase);
    if (part == XLM_PART_EVERYWHERE || part == XLM_PART_ANY || home == s->stage) {
      if (!state_is_here(s, state)) continue;
      xlm_graph_update(s->out, s->map[state], s->map[val]);
      for (int t = 0; copies && part != XLM_PART_EVERYWHERE && t < s->all->p.stages; t++)
        if (t != home && is_held(s, state, t)) emit_send(s, s->map[val], t, tag_of(s, state, 0));
    } else if (copies && is_held(s, state, s->stage)) {
      xlm_val fresh = emit_recv(s, state, home, tag_of(s, state, 0));
      xlm_graph_update(s->out, s->map[state], xlm_op2(&s->b, XLM_OP_ASSIGN, s->map[state], fresh));
    }
  }
}

static void emit_list(staged *s, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    int part = part_of(s, from->at[i].val);
    if (is_here(s, part) && s->map[from->at[i].val])
      xlm_vals_add(s->out, to, from->at[i].name, s->map[from->at[i].val], from->at[i].span);
  }
}


xlm_graph *xlm_pass_pipeline(const xlm_stages *all, xlm_arena *a, int stage) {
  const xlm_graph *g = all->g;
  const struct xlm_stage_nodes *nodes = &all->nodes[stage];
  staged s = {.all = all, .g = g, .a = a, .stage = stage, .out = xlm_graph_like(g)};
  s.b = xlm_build_new(s.out);
  s.map = XLM_NEW_N(a, xlm_val, g->n_values);
  s.received = XLM_NEW_N(a, xlm_val *, all->p.chunks);
  for (int c = 0; c < all->p.chunks; c++) s.received[c] = XLM_NEW_N(a, xlm_val, g->n_values);
  s.sent = XLM_NEW_N(a, bool, all->n_crossings);
  xlm_graph_reserve(s.out, nodes->n, nodes->n);
  for (uint32_t i = 0; i < nodes->n; i++) {
    xlm_node id = nodes->at[i];
    send_to_step(&s, id);
    if (!xlm_stages_need(all, id, stage)) continue;
    if (xlm_is_additive(&g->nodes[id]))
      emit_parts(&s, id);
    else
      emit_node(&s, id);
  }
  emit_updates(&s);
  emit_list(&s, &g->outputs, &s.out->outputs);
  emit_list(&s, &g->metrics, &s.out->metrics);
  emit_list(&s, &g->losses, &s.out->losses);
  return s.out;
}
