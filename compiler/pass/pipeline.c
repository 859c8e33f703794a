// Pipeline, see pipeline.h. Three sweeps: which part each node belongs to; which values cross to which parts;
// emission of one stage in the order of the whole graph, so that every stage sees its messages in the same
// order.
#include "compiler/pass/pipeline.h"

#include <string.h>

#include "compiler/pass/pass_priv.h"

// ANY: repeated where used. EVERYWHERE: on every stage. LATER: where the first reader is, not known yet.
enum { ANY = -1, EVERYWHERE = -2, LATER = INT32_MAX };

typedef struct crossing { // value `val` is needed by part `to`
  xlm_val val;
  int to;
  bool in_step, sent; // only by its step: is sent when the step reads it, as the schedule knows no one
                      // microbatch for it
  struct crossing *next;
} crossing;

typedef struct staged {
  const xlm_graph *g;
  xlm_arena *a;
  const xlm_pipeline *p;
  int parts, stage;
  int *part;            // by node
  int *home;            // by value of a state: the part that updates it; ANY when nothing does
  crossing **crossings; // by value
  bool *needed;         // by node: emitted on this stage
  xlm_graph *out;
  xlm_build b;
  xlm_val *map;       // values made on this stage
  xlm_val **received; // [chunk][value]: what a chunk of this stage received, or repeated for itself
} staged;

static int part_of_round(const xlm_pipeline *p, int32_t round) {
  int k = 0;
  while (k + 1 < p->stages * p->chunks && round >= p->first[k + 1]) k++;
  return k;
}

static bool is_state(const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->is_state;
}
static bool is_additive(const xlm_node_info *n) { // each stage has a part of it
  return xlm_op_facts_of(n->op)->additive;
}

// ---- which part ----

static bool pure(const staged *s, const xlm_node_info *n) { // depends on parameters and constants alone
  if (xlm_phase_is_once(n->phase) || xlm_op_at(n->op)->n_alias || n->op == XLM_OP_INPUT) return false;
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (!xlm_is_leaf(&s->g->nodes[def]) && s->part[def] != ANY) return false;
    if (s->g->nodes[def].op == XLM_OP_INPUT) return false;
  }
  return true;
}

typedef struct operand_parts {
  int low, high, backward_low; // over operands that have a part; INT32_MAX / -1 when none
} operand_parts;

static operand_parts look_at_operands(const staged *s, const xlm_node_info *n) {
  operand_parts o = {INT32_MAX, -1, INT32_MAX};
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    int part = s->part[def];
    if (xlm_is_leaf(&s->g->nodes[def]) || part < 0 || part == LATER) continue;
    if (part < o.low) o.low = part;
    if (part > o.high) o.high = part;
    if (s->g->nodes[def].phase != XLM_PHASE_FWD && part < o.backward_low) o.backward_low = part;
  }
  return o;
}

static bool all_everywhere(const staged *s, const xlm_node_info *n) {
  int computed = 0;
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (xlm_is_leaf(&s->g->nodes[def])) continue;
    if (s->part[def] != EVERYWHERE) return false;
    computed++;
  }
  return computed > 0;
}

static int home_of_operand(const staged *s, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (is_state(xlm_val_node(s->g, n->in[i])) && s->home[n->in[i]] >= 0) return s->home[n->in[i]];
  return 0;
}

// Numbers of the step that depend on its scalars alone, as a group's learning rate.
static bool of_scalars(const staged *s, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(s->g, n->in[i]);
    bool computed = !xlm_is_leaf(def) && s->part[s->g->values[n->in[i]].def] == ANY;
    if (!computed && def->op != XLM_OP_INPUT && def->op != XLM_OP_CONST) return false;
  }
  return n->n_in && !xlm_op_at(n->op)->n_alias;
}

static int part_of_step(const staged *s, const xlm_node_info *n) {
  if (of_scalars(s, n)) return ANY;
  if (is_additive(n) || all_everywhere(s, n)) return EVERYWHERE;
  if (xlm_op_at(n->op)->n_alias && s->home[n->in[0]] >= 0) return s->home[n->in[0]];
  operand_parts o = look_at_operands(s, n);
  return o.high >= 0 ? o.low : home_of_operand(s, n);
}

static int part_of_node(const staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  if (xlm_phase_is_once(n->phase)) return part_of_step(s, n);
  if (pure(s, n)) return ANY;
  bool sum = xlm_op_at(n->op)->n_alias; // of a parameter of several rounds: stands where what it sums is made
  if (n->round >= 0 && !sum) return part_of_round(s->p, n->round);
  operand_parts o = look_at_operands(s, n);
  if (n->phase == XLM_PHASE_FWD) return o.high >= 0 ? o.high : LATER;
  return o.backward_low != INT32_MAX ? o.backward_low : o.high >= 0 ? o.high : LATER;
}

// What depends on inputs alone belongs to its readers: in the forward to the first part that reads it, in the
// backward, which runs the other way, to the last.
static void pull_to_readers(staged *s) {
  int *first = XLM_NEW_N(s->a, int, s->g->n_nodes), *last = XLM_NEW_N(s->a, int, s->g->n_nodes);
  for (xlm_node id = 0; id < s->g->n_nodes; id++) first[id] = LATER, last[id] = 0;
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (xlm_phase_is_once(n->phase)) continue;
    if (s->part[id] == LATER)
      s->part[id] = n->phase != XLM_PHASE_FWD ? last[id] : first[id] == LATER ? 0 : first[id];
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = s->g->values[n->in[i]].def;
      if (s->part[id] < 0) continue;
      if (s->part[id] < first[def]) first[def] = s->part[id];
      if (s->part[id] > last[def]) last[def] = s->part[id];
    }
  }
}

// The home of a state: the first part whose forward or backward reads it, also through repeated nodes.
static void find_homes(staged *s) {
  int *first = XLM_NEW_N(s->a, int, s->g->n_nodes);
  for (xlm_node id = 0; id < s->g->n_nodes; id++) first[id] = INT32_MAX;
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (xlm_phase_is_once(n->phase)) continue;
    int own = s->part[id] >= 0 && !xlm_is_leaf(n) ? s->part[id] : first[id];
    for (int i = 0; i < n->n_in; i++) {
      int *at = &first[s->g->values[n->in[i]].def];
      if (own < *at) *at = own;
    }
    if (is_state(n) && first[id] != INT32_MAX) s->home[n->out] = first[id];
  }
}

static void assign_parts(staged *s, bool step) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (n->phase == XLM_PHASE_PROLOGUE) s->part[id] = ANY; // on every stage that reads it
    if (n->phase == XLM_PHASE_PROLOGUE || xlm_phase_is_once(n->phase) != step) continue;
    s->part[id] = xlm_is_leaf(n) ? ANY : part_of_node(s, id);
    if (!step || xlm_is_leaf(n)) continue;
    int aliases = xlm_op_at(n->op)->n_alias; // moments are at home where their parameter is
    for (int i = 0; i < aliases; i++)
      if (is_state(xlm_val_node(s->g, n->in[i])) && s->home[n->in[i]] < 0) s->home[n->in[i]] = s->part[id];
  }
}

// ---- what crosses ----

static void note_crossing(staged *s, xlm_val v, int to, bool in_step) {
  for (crossing *c = s->crossings[v]; c; c = c->next) {
    if (c->to != to) continue;
    c->in_step &= in_step;
    return;
  }
  crossing *c = XLM_NEW(s->a, crossing);
  *c = (crossing){v, to, in_step, false, s->crossings[v]};
  s->crossings[v] = c;
}

static bool is_remote(const staged *s, xlm_val v, int to) {
  xlm_node def = s->g->values[v].def;
  return !xlm_is_leaf(&s->g->nodes[def]) && s->part[def] >= 0 && s->part[def] != to;
}

static void find_crossings(staged *s) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (s->part[id] < 0) continue; // repeated nodes read leaves; the norm reads what is here
    for (int i = 0; i < n->n_in; i++) {
      if (!is_remote(s, n->in[i], s->part[id])) continue;
      const xlm_node_info *def = xlm_val_node(s->g, n->in[i]);
      bool in_step = n->phase == XLM_PHASE_STEP && def->phase != XLM_PHASE_STEP;
      bool backwards =
          def->phase == XLM_PHASE_FWD
              ? s->part[id] < s->part[s->g->values[n->in[i]].def] && n->phase == XLM_PHASE_FWD
              : s->part[id] > s->part[s->g->values[n->in[i]].def] && !xlm_phase_is_once(def->phase);
      XLM_ASSERT(!backwards || in_step,
                 "%s of %s in part %d reads %s of %s from part %d: against the direction of the pipeline",
                 xlm_op_at(n->op)->name, n->scope, s->part[id], xlm_op_at(def->op)->name, def->scope,
                 s->part[s->g->values[n->in[i]].def]);
      note_crossing(s, n->in[i], s->part[id], in_step);
    }
  }
}

// ---- what this stage needs ----

static bool is_here(const staged *s, int part) {
  return part == EVERYWHERE || (part >= 0 && part % s->p->stages == s->stage);
}

static void find_needed(staged *s) {
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (is_here(s, s->part[id])) s->needed[id] = true;
    if (!s->needed[id]) continue;
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = s->g->values[n->in[i]].def;
      bool elsewhere = is_additive(n) && !is_here(s, s->part[def]);
      if (!elsewhere && (xlm_is_leaf(&s->g->nodes[def]) || s->part[def] == ANY)) s->needed[def] = true;
    }
  }
}

// ---- emission ----

static void message_context(staged *s, const xlm_node_info *like, int part, xlm_phase phase) {
  xlm_build_context(&s->b, like);
  s->b.phase = phase;
  s->b.stage = (int16_t)(part >= 0 ? part / s->p->stages : 0);
}

static int64_t tag_of(const staged *s, xlm_val v, int to) {
  return (int64_t)v * s->parts + to;
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
  xlm_attr_put_text(&l, XLM_A_dtype, xlm_dtype_name(t->dtype));
  xlm_val v = xlm_emit(&s->b, XLM_OP_RECV, NULL, 0, &l);
  xlm_val_at(s->out, v)->name = s->g->values[old].name;
  xlm_val_at(s->out, v)->partial = s->g->values[old].partial;
  if (s->g->values[old].ragged_by) xlm_val_at(s->out, v)->ragged_by = 0;
  return v;
}

static xlm_val operand(staged *s, const xlm_node_info *n, xlm_val v, int part);

// What weight gradients read may be read by the backward after them, and they may run later: it comes with
// the backward.
static xlm_phase phase_for(const xlm_node_info *reader) {
  return reader->phase == XLM_PHASE_WGT ? XLM_PHASE_BWD : reader->phase;
}

// A node that depends on parameters and constants alone, once more for this chunk.
static void repeat_node(staged *s, const xlm_node_info *reader, xlm_node id, int part) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = operand(s, reader, n->in[i], part);
  message_context(s, n, part, phase_for(reader));
  xlm_attr_list l = xlm_attr_list_from(s->a, &n->attrs);
  xlm_val first = xlm_emit(&s->b, n->op, in, n->n_in, &l);
  for (int i = 0; i < n->n_out; i++) {
    xlm_val old = n->out + (xlm_val)i, now = first + (xlm_val)i;
    s->received[part < 0 ? 0 : part / s->p->stages][old] = now;
    xlm_val_at(s->out, now)->name = s->g->values[old].name;
    xlm_val_at(s->out, now)->partial = s->g->values[old].partial;
  }
}

// Operand v of a node of `part`: made here, or received or repeated once per part.
static xlm_val operand(staged *s, const xlm_node_info *n, xlm_val v, int part) {
  xlm_node def = s->g->values[v].def;
  if (s->g->nodes[def].phase == XLM_PHASE_PROLOGUE) return s->map[v];
  if (!xlm_is_leaf(&s->g->nodes[def]) && s->part[def] == ANY) {
    xlm_val *made = &s->received[part < 0 ? 0 : part / s->p->stages][v];
    if (!*made) repeat_node(s, n, def, part);
    return *made;
  }
  if (part < 0 || !is_remote(s, v, part)) return s->map[v];
  xlm_val *at = &s->received[part / s->p->stages][v];
  if (*at) return *at;
  int from = s->part[s->g->values[v].def];
  xlm_val rows = s->g->values[v].ragged_by ? operand(s, n, s->g->values[v].ragged_by, part) : 0;
  message_context(s, n, part, phase_for(n));
  *at = emit_recv(s, v, from % s->p->stages, tag_of(s, v, part));
  xlm_val_at(s->out, *at)->ragged_by = rows;
  return *at;
}

static void send_results(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_out; i++)
    for (int to = 0; to < s->parts; to++) // in the order of the parts
      for (crossing *c = s->crossings[n->out + (xlm_val)i]; c; c = c->next) {
        if (c->to != to || c->in_step) continue;
        message_context(s, n, s->part[id], n->phase);
        emit_send(s, s->map[c->val], to % s->p->stages, tag_of(s, c->val, to));
      }
}

// What the step of another part reads of what was made here before it, in the order in which it is read.
static void send_to_step(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  int to = s->part[id];
  for (int i = 0; n->phase == XLM_PHASE_STEP && to >= 0 && i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (!is_here(s, s->part[def]) || !is_remote(s, n->in[i], to)) continue;
    for (crossing *c = s->crossings[n->in[i]]; c; c = c->next) {
      if (c->to != to || !c->in_step || c->sent) continue;
      message_context(s, n, s->part[def], XLM_PHASE_STEP);
      emit_send(s, s->map[c->val], to % s->p->stages, tag_of(s, c->val, to));
      c->sent = true;
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

// An additive operation (the global norm): of what this stage has, then the sum over the stages.
static void emit_parts(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  int count = 0;
  for (int i = 0; i < n->n_in; i++)
    if (is_here(s, s->part[s->g->values[n->in[i]].def]) && s->map[n->in[i]]) in[count++] = s->map[n->in[i]];
  message_context(s, n, EVERYWHERE, n->phase);
  xlm_attr_list l = xlm_attr_list_from(s->a, &n->attrs);
  xlm_val sum = xlm_emit(&s->b, n->op, in, count, &l);
  uint32_t pp = 1u << s->p->pp_axis;
  xlm_val_at(s->out, sum)->partial = s->g->values[n->out].partial | pp;
  xlm_attr_list axes = xlm_attr_list_new(s->a);
  xlm_attr_put_int(&axes, XLM_A_axes, pp);
  bind(s, id, xlm_emit(&s->b, XLM_OP_ALL_REDUCE, &sum, 1, &axes));
}

static void emit_node(staged *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  int part = s->part[id];
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = operand(s, n, n->in[i], part);
  message_context(s, n, part, n->phase);
  xlm_attr_list l = xlm_attr_list_from(s->a, &n->attrs);
  bind(s, id, xlm_emit(&s->b, n->op, in, n->n_in, &l));
  if (part >= 0) send_results(s, id);
}

// ---- states and lists ----

static bool state_is_here(const staged *s, xlm_val state) {
  return s->map[state] != 0;
}

// Which stages hold a copy of a state besides its home: every stage on which a forward or backward node reads
// it.
static void emit_updates(staged *s, bool *const *held) {
  const xlm_graph *g = s->g;
  for (uint32_t i = 0; i < g->n_updates; i++) {
    xlm_val state = g->updates[i].state, val = g->updates[i].val;
    int part = s->part[g->values[val].def], home = part < 0 ? 0 : part % s->p->stages;
    const xlm_node_info *n = xlm_val_node(g, val);
    bool copies = n->phase == XLM_PHASE_STEP;
    message_context(s, n, part, n->phase);
    if (part == EVERYWHERE || part == ANY || home == s->stage) {
      if (!state_is_here(s, state)) continue;
      xlm_graph_update(s->out, s->map[state], s->map[val]);
      for (int t = 0; copies && part != EVERYWHERE && t < s->p->stages; t++)
        if (t != home && held[t][state]) emit_send(s, s->map[val], t, tag_of(s, state, 0));
    } else if (copies && held[s->stage][state]) {
      xlm_val fresh = emit_recv(s, state, home, tag_of(s, state, 0));
      xlm_graph_update(s->out, s->map[state], xlm_op2(&s->b, XLM_OP_ASSIGN, s->map[state], fresh));
    }
  }
}

static void emit_list(staged *s, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    int part = s->part[s->g->values[from->at[i].val].def];
    if (is_here(s, part) && s->map[from->at[i].val])
      xlm_vals_add(s->out, to, from->at[i].name, s->map[from->at[i].val], from->at[i].span);
  }
}

// By stage and value: is this state read by forward or backward nodes there?
static bool **find_holders(staged *s) {
  bool **held = XLM_NEW_N(s->a, bool *, s->p->stages);
  int own = s->stage;
  for (int t = 0; t < s->p->stages; t++) {
    held[t] = XLM_NEW_N(s->a, bool, s->g->n_values);
    s->stage = t;
    memset(s->needed, 0, s->g->n_nodes * sizeof *s->needed);
    find_needed(s);
    for (xlm_node id = 1; id < s->g->n_nodes; id++)
      if (s->needed[id] && is_state(&s->g->nodes[id])) held[t][s->g->nodes[id].out] = true;
  }
  s->stage = own;
  memset(s->needed, 0, s->g->n_nodes * sizeof *s->needed);
  find_needed(s);
  return held;
}

static void prepare(staged *s) {
  uint32_t n = s->g->n_nodes, v = s->g->n_values;
  s->part = XLM_NEW_N(s->a, int, n);
  s->home = XLM_NEW_N(s->a, int, v);
  for (xlm_val i = 0; i < v; i++) s->home[i] = ANY;
  s->crossings = XLM_NEW_N(s->a, crossing *, v);
  s->needed = XLM_NEW_N(s->a, bool, n);
  s->map = XLM_NEW_N(s->a, xlm_val, v);
  s->received = XLM_NEW_N(s->a, xlm_val *, s->p->chunks);
  for (int c = 0; c < s->p->chunks; c++) s->received[c] = XLM_NEW_N(s->a, xlm_val, v);
  assign_parts(s, false);
  pull_to_readers(s);
  find_homes(s);
  assign_parts(s, true);
  find_crossings(s);
}

xlm_graph *xlm_pass_pipeline(const xlm_graph *g, xlm_arena *a, const xlm_pipeline *p, int stage) {
  staged s = {
      .g = g, .a = a, .p = p, .parts = p->stages * p->chunks, .stage = stage, .out = xlm_graph_like(g)};
  s.b = xlm_build_new(s.out);
  prepare(&s);
  bool **held = find_holders(&s);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    send_to_step(&s, id);
    bool repeated = s.part[id] == ANY && !xlm_is_leaf(&g->nodes[id]) && // made by its readers
                    g->nodes[id].phase != XLM_PHASE_PROLOGUE;
    if (!s.needed[id] || repeated) continue;
    if (is_additive(&g->nodes[id]))
      emit_parts(&s, id);
    else
      emit_node(&s, id);
  }
  emit_updates(&s, held);
  emit_list(&s, &g->outputs, &s.out->outputs);
  emit_list(&s, &g->metrics, &s.out->metrics);
  emit_list(&s, &g->losses, &s.out->losses);
  return s.out;
}
