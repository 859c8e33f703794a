// Rematerialize: a value that is a function of another one which the backward reads anyway is not stored by
// the forward, but computed again where the backward reads it: the normalised activation from the activation,
// silu(x) from x.
//
// Only where this costs no byte and no lifetime: all readers in the backward are parts of `fused` programs,
// which then have the value in registers; the function is a few instructions of such a program; its argument
// is stored for the backward in any case, and is not larger than the value. So the forward need not write the
// value, and the backward reads the argument in its place, which it often reads there already.
//
// There is one clone for all readers between two products or collectives, before the first of them: readers
// further apart are in different programs. Clones are the same operations on the same operands, so a step
// gives the same bits.
#include "compiler/pass/fusable.h"
#include "compiler/pass/pass_priv.h"

enum { MOST = 4 }; // nodes of a function

typedef struct rematerializer {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_val *source;    // by value: the argument that it is computed from again; 0: it is stored
  bool *read_late;    // by value: a node of the backward reads it
  bool *read_bwd;     // by value: one in phase BWD
  bool *needs_memory; // by value: one that is not part of a program
  xlm_val *map;       // old value -> new
  xlm_val *backward;  // the same for nodes of the backward
  uint32_t *made;     // by value: the epoch of its latest clone
  uint32_t epoch;     // products and communication of the backward so far, from 1
} rematerializer;

static bool is_late(const xlm_node_info *n) {
  return !xlm_is_leaf(n) && (n->phase == XLM_PHASE_BWD || n->phase == XLM_PHASE_WGT);
}

// Can a program of the backward compute the node again?
static bool is_repeatable(const xlm_graph *g, const xlm_node_info *n) {
  xlm_fusable f = xlm_fusable_of(g, n);
  return n->phase == XLM_PHASE_FWD && (f.kind == XLM_FUSABLE_ELEMENTS || f.kind == XLM_FUSABLE_ROWS) &&
         xlm_fusable_fits(g, NULL, &f) && !(xlm_op_at(n->op)->flags & XLM_OPF_RANDOM);
}

static void find_readers(rematerializer *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    if (xlm_is_leaf(n) || n->phase == XLM_PHASE_FWD) continue;
    bool memory = !is_late(n) || !xlm_fusable_of(r->g, n).space;
    for (int i = 0; i < n->n_in; i++) {
      r->read_late[n->in[i]] |= is_late(n);
      r->read_bwd[n->in[i]] |= n->phase == XLM_PHASE_BWD;
      r->needs_memory[n->in[i]] |= memory;
    }
  }
}

// Is v stored for the backward in any case?
static bool is_stored(const rematerializer *r, xlm_val v) {
  return r->read_late[v] && !r->source[v];
}

// Follows v back to the one stored value that it is a function of, over at most *left nodes.
static bool depends_on_one(const rematerializer *r, xlm_val v, xlm_val *source, int *left) {
  const xlm_node_info *n = xlm_val_node(r->g, v);
  if (xlm_node_is(n, XLM_LEAF_CONSTANT)) return true;
  if (*source == v) return true;
  if (is_stored(r, v)) {
    if (*source) return false;
    *source = v;
    return true;
  }
  if (!is_repeatable(r->g, n) || --*left < 0) return false;
  for (int i = 0; i < n->n_in; i++)
    if (!depends_on_one(r, n->in[i], source, left)) return false;
  return true;
}

static xlm_val source_of(const rematerializer *r, xlm_val v) {
  const xlm_node_info *n = xlm_val_node(r->g, v);
  xlm_val source = 0;
  int left = MOST - 1;
  for (int i = 0; i < n->n_in; i++)
    if (!depends_on_one(r, n->in[i], &source, &left)) return 0;
  if (!source || xlm_is_leaf(xlm_val_node(r->g, source))) return 0;
  const xlm_type *from = xlm_val_type(r->g, source), *to = xlm_val_type(r->g, v);
  return xlm_same_dims(from, to) && xlm_dtype_bytes(from->dtype) <= xlm_dtype_bytes(to->dtype) ? source : 0;
}

// Arguments come first, so it is decided about them before.
static void find_sources(rematerializer *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    if (!n->n_out || !r->read_late[n->out] || r->needs_memory[n->out] || !is_repeatable(r->g, n)) continue;
    r->source[n->out] = source_of(r, n->out);
  }
}

static void clone_node(rematerializer *r, xlm_val v, xlm_phase phase);

static void clone_operands(rematerializer *r, const xlm_node_info *n, xlm_phase phase) {
  for (int i = 0; i < n->n_in; i++) {
    bool constant = xlm_node_is(xlm_val_node(r->g, n->in[i]), XLM_LEAF_CONSTANT);
    if (!is_stored(r, n->in[i]) && !constant) clone_node(r, n->in[i], phase);
  }
}

static void clone_node(rematerializer *r, xlm_val v, xlm_phase phase) {
  xlm_node id = r->g->values[v].def;
  if (r->read_bwd[v]) phase = XLM_PHASE_BWD;
  if (r->made[v] == r->epoch && xlm_val_node(r->out, r->backward[v])->phase <= phase) return;
  clone_operands(r, &r->g->nodes[id], phase);
  xlm_node made = xlm_copy_node(r->out, r->g, id, r->backward, r->backward);
  r->out->nodes[made].phase = phase;
  r->out->nodes[made].recompute = true;
  r->made[v] = r->epoch;
}

static void copy_node(rematerializer *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  r->epoch += is_late(n) && (f->product || f->comm);
  for (int i = 0; is_late(n) && i < n->n_in; i++)
    if (r->source[n->in[i]]) clone_node(r, n->in[i], n->phase);
  xlm_copy_node(r->out, r->g, id, is_late(n) ? r->backward : r->map, r->map);
  for (xlm_val v = n->out; v < n->out + n->n_out; v++) r->backward[v] = r->map[v];
}

xlm_graph *xlm_pass_rematerialize(const xlm_graph *g, xlm_arena *a) {
  rematerializer r = {.g = g, .out = xlm_graph_like(g), .epoch = 1};
  r.source = XLM_NEW_N(a, xlm_val, g->n_values);
  r.read_late = XLM_NEW_N(a, bool, g->n_values);
  r.read_bwd = XLM_NEW_N(a, bool, g->n_values);
  r.needs_memory = XLM_NEW_N(a, bool, g->n_values);
  r.map = XLM_NEW_N(a, xlm_val, g->n_values);
  r.backward = XLM_NEW_N(a, xlm_val, g->n_values);
  r.made = XLM_NEW_N(a, uint32_t, g->n_values);
  find_readers(&r);
  find_sources(&r);
  xlm_graph_reserve(r.out, g->n_nodes, g->n_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) copy_node(&r, id);
  xlm_copy_ends(r.out, g, r.map);
  return r.out;
}
