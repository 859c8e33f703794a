// Pipeline, part 1: the part of each node, the values that cross and to which parts, and the nodes of each
// stage. This is computed once for all stages of a graph, so that emitting a stage takes time proportional to
// that stage.
#include <string.h>

#include "compiler/pass/pipeline_priv.h"

static int part_of_round(const xlm_pipeline *p, int32_t round) {
  int k = 0;
  while (k + 1 < p->stages * p->chunks && round >= p->first[k + 1]) k++;
  return k;
}

// ---- which part ----

static bool pure(const xlm_stages *s, const xlm_node_info *n) { // depends only on parameters and constants
  if (xlm_phase_is_once(n->phase) || xlm_op_at(n->op)->n_alias || xlm_node_is(n, XLM_LEAF_INPUT))
    return false;
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (!xlm_is_leaf(&s->g->nodes[def]) && s->part[def] != XLM_PART_ANY) return false;
    if (xlm_node_is(&s->g->nodes[def], XLM_LEAF_INPUT)) return false;
  }
  return true;
}

typedef struct operand_parts {
  int low, high, backward_low; // over operands that have a part; INT32_MAX / -1 if there are none
  bool later;                  // some have none yet
} operand_parts;

static operand_parts look_at_operands(const xlm_stages *s, const xlm_node_info *n) {
  operand_parts o = {INT32_MAX, -1, INT32_MAX, false};
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    int part = s->part[def];
    o.later |= part == XLM_PART_LATER;
    if (xlm_is_leaf(&s->g->nodes[def]) || part < 0 || part == XLM_PART_LATER) continue;
    if (part < o.low) o.low = part;
    if (part > o.high) o.high = part;
    if (s->g->nodes[def].phase != XLM_PHASE_FWD && part < o.backward_low) o.backward_low = part;
  }
  return o;
}

// Of values that every stage computes; beside them may be those that any can repeat.
static bool all_everywhere(const xlm_stages *s, const xlm_node_info *n) {
  int computed = 0;
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = s->g->values[n->in[i]].def;
    if (xlm_is_leaf(&s->g->nodes[def]) || s->part[def] == XLM_PART_ANY) continue;
    if (s->part[def] != XLM_PART_EVERYWHERE) return false;
    computed++;
  }
  return computed > 0;
}

static int home_of_operand(const xlm_stages *s, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (xlm_is_state(xlm_val_node(s->g, n->in[i])) && s->home[n->in[i]] >= 0) return s->home[n->in[i]];
  return 0;
}

// Values of the step that depend only on its scalars, such as a group's learning rate.
static bool of_scalars(const xlm_stages *s, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(s->g, n->in[i]);
    bool computed = !xlm_is_leaf(def) && s->part[s->g->values[n->in[i]].def] == XLM_PART_ANY;
    if (!computed && !xlm_node_is(def, XLM_LEAF_INPUT) && !xlm_node_is(def, XLM_LEAF_CONSTANT)) return false;
  }
  return n->n_in && !xlm_op_at(n->op)->n_alias;
}

static int part_of_step(const xlm_stages *s, const xlm_node_info *n) {
  if (of_scalars(s, n)) return XLM_PART_ANY;
  if (xlm_is_additive(n) || all_everywhere(s, n)) return XLM_PART_EVERYWHERE;
  if (xlm_op_at(n->op)->n_alias && s->home[n->in[0]] >= 0) return s->home[n->in[0]];
  operand_parts o = look_at_operands(s, n);
  return o.high >= 0 ? o.low : home_of_operand(s, n);
}

// The first part of the rounds that read it, if no other forward nodes do; -1.
static int part_of_readers(const xlm_stages *s, xlm_node id) {
  const xlm_round_readers *r = &s->readers[id];
  return r->others || !r->any ? -1 : part_of_round(&s->p, r->first);
}

// What joins values of several parts between rounds, as the end of a loop and what its next round begins
// from, belongs to the rounds that read it: one value is sent there, not one to it and one from it.
static int part_between(const xlm_stages *s, xlm_node id, operand_parts o) {
  int readers = o.low < o.high || o.later ? part_of_readers(s, id) : -1;
  return readers > o.high ? readers : o.high;
}

// A state that the forward updates, such as a cache, exists once: what reads it between rounds belongs to the
// part whose value it takes. -1: the node reads none.
static int part_of_update(const xlm_stages *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    xlm_node by = s->updater[n->in[i]];
    if (by && by != id) return look_at_operands(s, &s->g->nodes[by]).high;
  }
  return -1;
}

static int part_of_node(const xlm_stages *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  if (xlm_phase_is_once(n->phase)) return part_of_step(s, n);
  if (pure(s, n)) return XLM_PART_ANY;
  bool sum =
      xlm_op_at(n->op)->n_alias; // of a parameter of several rounds: in the part that computes what it sums
  if (n->round >= 0 && !sum) return part_of_round(&s->p, n->round);
  operand_parts o = look_at_operands(s, n);
  int update = n->phase == XLM_PHASE_FWD ? part_of_update(s, id) : -1;
  if (update >= 0) return update > o.high ? update : o.high;
  if (n->phase == XLM_PHASE_FWD) return o.high >= 0 ? part_between(s, id, o) : XLM_PART_LATER;
  return o.backward_low != INT32_MAX ? o.backward_low : o.high >= 0 ? o.high : XLM_PART_LATER;
}

static void find_updaters(xlm_stages *s) {
  for (uint32_t i = 0; i < s->g->n_updates; i++) {
    xlm_node by = s->g->values[s->g->updates[i].val].def;
    if (s->g->nodes[by].phase == XLM_PHASE_FWD) s->updater[s->g->updates[i].state] = by;
  }
}

xlm_val xlm_stages_torn_state(const xlm_stages *s) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    for (int i = 0; n->phase == XLM_PHASE_FWD && i < n->n_in; i++) {
      xlm_node by = s->updater[n->in[i]];
      if (by && s->part[by] >= 0 && s->part[id] >= 0 && (s->part[by] - s->part[id]) % s->p.stages) return n->in[i];
    }
  }
  return 0;
}

static void find_readers(xlm_stages *s) {
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    for (int i = 0; n->phase == XLM_PHASE_FWD && i < n->n_in; i++) {
      xlm_round_readers *r = &s->readers[s->g->values[n->in[i]].def];
      if (n->round < 0) r->others = true;
      if (n->round < 0 || (r->any && r->first <= n->round)) continue;
      r->any = true, r->first = n->round;
    }
  }
}

// Nodes that depend only on inputs belong to their readers: in the forward to the first part that reads them;
// in the backward, which runs in the opposite direction, to the last.
static void pull_to_readers(xlm_stages *s, xlm_arena *scratch) {
  int *first = XLM_NEW_N(scratch, int, s->g->n_nodes), *last = XLM_NEW_N(scratch, int, s->g->n_nodes);
  for (xlm_node id = 0; id < s->g->n_nodes; id++) first[id] = XLM_PART_LATER, last[id] = 0;
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (xlm_phase_is_once(n->phase)) continue;
    if (s->part[id] == XLM_PART_LATER)
      s->part[id] = n->phase != XLM_PHASE_FWD ? last[id] : first[id] == XLM_PART_LATER ? 0 : first[id];
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = s->g->values[n->in[i]].def;
      if (s->part[id] < 0) continue;
      if (s->part[id] < first[def]) first[def] = s->part[id];
      if (s->part[id] > last[def]) last[def] = s->part[id];
    }
  }
}

// The home of a state: the first part whose forward or backward reads it, directly or through nodes that are
// repeated or run before them.
static void find_homes(xlm_stages *s, xlm_arena *scratch) {
  int *first = XLM_NEW_N(scratch, int, s->g->n_nodes);
  for (xlm_node id = 0; id < s->g->n_nodes; id++) first[id] = INT32_MAX;
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (xlm_phase_is_once(n->phase) && n->phase != XLM_PHASE_PROLOGUE) continue;
    int own = s->part[id] >= 0 && !xlm_is_leaf(n) ? s->part[id] : first[id];
    for (int i = 0; i < n->n_in; i++) {
      int *at = &first[s->g->values[n->in[i]].def];
      if (own < *at) *at = own;
    }
    if (xlm_is_state(n) && first[id] != INT32_MAX) s->home[n->out] = first[id];
  }
}

static void assign_parts(xlm_stages *s, bool step) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (n->phase == XLM_PHASE_PROLOGUE) s->part[id] = XLM_PART_ANY; // on every stage that reads it
    if (n->phase == XLM_PHASE_PROLOGUE || xlm_phase_is_once(n->phase) != step) continue;
    s->part[id] = xlm_is_leaf(n) ? XLM_PART_ANY : part_of_node(s, id);
    if (!step || xlm_is_leaf(n)) continue;
    int aliases = xlm_op_at(n->op)->n_alias; // moments have the same home as their parameter
    for (int i = 0; i < aliases; i++)
      if (xlm_is_state(xlm_val_node(s->g, n->in[i])) && s->home[n->in[i]] < 0)
        s->home[n->in[i]] = s->part[id];
  }
}

// ---- crossings ----

static void note_crossing(xlm_stages *s, xlm_arena *a, xlm_val v, int to, bool in_step) {
  for (xlm_crossing *c = s->crossings[v]; c; c = c->next) {
    if (c->to != to) continue;
    c->in_step &= in_step;
    return;
  }
  xlm_crossing *c = XLM_NEW(a, xlm_crossing);
  *c = (xlm_crossing){v, to, in_step, s->n_crossings++, s->crossings[v]};
  s->crossings[v] = c;
}

static void find_crossings(xlm_stages *s, xlm_arena *a) {
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    if (s->part[id] < 0) continue; // repeated nodes read leaves; the norm reads local values
    for (int i = 0; i < n->n_in; i++) {
      if (!xlm_part_is_remote(s, n->in[i], s->part[id])) continue;
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
      note_crossing(s, a, n->in[i], s->part[id], in_step);
    }
  }
}

// ---- what each stage needs ----

static uint64_t *set_of(const xlm_stages *s, xlm_node id) {
  return &s->needed[(size_t)id * (size_t)s->words];
}

static void add_part(const xlm_stages *s, uint64_t *set, int part) {
  for (int t = 0; t < s->p.stages; t++)
    if (xlm_part_is_on(s, part, t)) set[t / 64] |= (uint64_t)1 << t % 64;
}

// An additive node reads values of its own stage, so nothing is repeated for it.
static void find_needed(xlm_stages *s) {
  for (xlm_node id = s->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &s->g->nodes[id];
    add_part(s, set_of(s, id), s->part[id]);
    for (int i = 0; i < n->n_in && !xlm_is_additive(n); i++) {
      xlm_node def = s->g->values[n->in[i]].def;
      bool repeated = xlm_is_leaf(&s->g->nodes[def]) || s->part[def] == XLM_PART_ANY;
      for (int w = 0; repeated && w < s->words; w++) set_of(s, def)[w] |= set_of(s, id)[w];
    }
  }
}

// The stages that emit something at a node: itself, or messages that it reads in the step.
static void find_emitters(const xlm_stages *s, xlm_node id, uint64_t *set) {
  const xlm_node_info *n = &s->g->nodes[id];
  memset(set, 0, (size_t)s->words * sizeof *set);
  if (xlm_is_repeated(s, id)) return;
  memcpy(set, set_of(s, id), (size_t)s->words * sizeof *set);
  for (int i = 0; n->phase == XLM_PHASE_STEP && s->part[id] >= 0 && i < n->n_in; i++)
    if (xlm_part_is_remote(s, n->in[i], s->part[id])) add_part(s, set, s->part[s->g->values[n->in[i]].def]);
}

static void list_nodes(xlm_stages *s, xlm_arena *a) {
  uint64_t *set = XLM_NEW_N(a, uint64_t, s->words);
  s->nodes = XLM_NEW_N(a, struct xlm_stage_nodes, s->p.stages);
  for (int fill = 0; fill < 2; fill++) {
    for (int t = 0; fill && t < s->p.stages; t++) {
      s->nodes[t].at = XLM_NEW_N(a, xlm_node, s->nodes[t].n);
      s->nodes[t].n = 0;
    }
    for (xlm_node id = 1; id < s->g->n_nodes; id++) {
      find_emitters(s, id, set);
      for (int t = 0; t < s->p.stages; t++) {
        if (!(set[t / 64] >> t % 64 & 1)) continue;
        if (fill) s->nodes[t].at[s->nodes[t].n] = id;
        s->nodes[t].n++;
      }
    }
  }
}

xlm_stages *xlm_pipeline_assign(const xlm_graph *g, xlm_arena *a, const xlm_pipeline *p) {
  uint32_t n = g->n_nodes, v = g->n_values;
  xlm_stages *s = XLM_NEW(a, xlm_stages);
  *s = (xlm_stages){.g = g, .p = *p, .parts = p->stages * p->chunks, .words = (p->stages + 63) / 64};
  s->part = XLM_NEW_N(a, int, n);
  s->home = XLM_NEW_N(a, int, v);
  s->updater = XLM_NEW_N(a, xlm_node, v);
  s->crossings = XLM_NEW_N(a, xlm_crossing *, v);
  s->needed = XLM_NEW_N(a, uint64_t, (size_t)n * (size_t)s->words);
  for (xlm_val i = 0; i < v; i++) s->home[i] = XLM_PART_ANY;
  xlm_arena *scratch = xlm_arena_child(a);
  s->readers = XLM_NEW_N(scratch, xlm_round_readers, n);
  find_updaters(s);
  find_readers(s);
  assign_parts(s, false);
  pull_to_readers(s, scratch);
  find_homes(s, scratch);
  assign_parts(s, true);
  s->readers = NULL;
  xlm_arena_free(scratch);
  find_crossings(s, a);
  find_needed(s);
  list_nodes(s, a);
  return s;
}
