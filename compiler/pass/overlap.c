// Overlap: starts communication as early as possible and computes while it runs. Kernels and communication
// are two streams (runtime/plan/streams.h), each in the order of the graph; this pass chooses an order in
// which they can overlap. There are five kinds of moves, all over short distances, so that memory hardly
// grows:
//
// - A collective (and a cast that feeds only collectives) moves up towards its operands, past at most
//   XLM_OVERLAP_PRODUCTS products: weights are gathered while the previous layer is computed.
// - Gradients of weights move down, behind the next communication that the backward waits for, if that is
//   within as many products. They never delay the critical path of the backward.
// - Nodes independent of a collective move up before its first reader if that reader would otherwise wait and
//   is at most LOOK nodes away: shared experts are computed while the rows of the others are sent.
// - On a stage that sends the result of its last backward, gradients are reduced after that backward: other
//   stages wait for the message, and this one has little left to do.
// - In the step, parameters that come back from other ranks are stored while the next ones are computed.
//
// Decisions depend only on the structure of the graph, never on sizes. So the ranks of a group make the same
// moves and enter their collectives in the same order.
#include "compiler/pass/pass_priv.h"
#include "runtime/plan/streams.h"

enum { LOOK = 64 };

typedef struct reorder {
  const xlm_graph *g;
  xlm_arena *a;     // scratch
  bool *product;    // by node: has enough FLOPs to hide communication behind
  bool *collective; // by node
  bool *feeds;      // by node: reads parameters alone and is read by collectives alone
  bool *weights;    // by node: a collective on parameters, or on what feeds such a one
  bool *awaited;    // by node: communication that the backward waits for
  uint32_t *behind; // by node of the backward: number of products between it and the next awaited node of its
                    // stage
  xlm_node *order;  // emitted so far
  uint32_t n;
  xlm_node *waiting; // moved down, in order
  uint32_t n_waiting, first_waiting;
  bool *emitted;        // by node
  bool *waits;          // by node: moved down and not emitted yet
  xlm_node *blocked_by; // by node: the reader that prevents it from moving
  bool sends_last;      // see find_last_send
  xlm_node *reductions; // of gradients, deferred to the end of the backward
  uint32_t n_reductions;
} reorder;

static bool is_collective(const xlm_node_info *n) {
  return xlm_op_is_collective(n->op);
}

static int group_of(const xlm_node_info *n) { // nodes with equal groups may share a segment
  if (n->phase == XLM_PHASE_PROLOGUE) return -1;
  if (n->phase == XLM_PHASE_FWD) return 0;
  return n->phase == XLM_PHASE_STEP ? 2 : 1;
}

static bool is_of_weights(const xlm_node_info *n) {
  return n->phase == XLM_PHASE_WGT || n->phase == XLM_PHASE_LAST;
}

// ---- classification ----

static void find_products(reorder *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    r->collective[id] = is_collective(&r->g->nodes[id]);
    xlm_cost c;
    xlm_op_cost(r->g, id, &c);
    r->product[id] = c.model_flops > 0;
  }
}

static void find_feeders(reorder *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    r->feeds[id] = !xlm_is_leaf(n) && n->n_in && !xlm_op_at(n->op)->n_alias;
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = r->g->values[n->in[i]].def;
      r->feeds[id] &= xlm_is_leaf(&r->g->nodes[def]);
      if (!r->collective[id]) r->feeds[def] = false;
    }
  }
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    r->weights[id] = r->collective[id];
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = r->g->values[n->in[i]].def;
      r->weights[id] &= xlm_is_leaf(&r->g->nodes[def]) || r->feeds[def];
    }
  }
}

static void find_awaited(reorder *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    if (n->phase != XLM_PHASE_BWD) continue;
    if (xlm_op_sends(n->op)) r->awaited[id] = true;
    for (int i = 0; i < n->n_in; i++) {
      xlm_node def = r->g->values[n->in[i]].def;
      if (r->collective[def] && r->g->nodes[def].phase == XLM_PHASE_BWD) r->awaited[def] = true;
    }
  }
}

static void find_distances(reorder *r) {
  int stages = 1; // nodes have no stage outside a pipeline
  for (xlm_node id = 1; id < r->g->n_nodes; id++)
    if (r->g->nodes[id].stage >= stages) stages = r->g->nodes[id].stage + 1;
  uint32_t far = 1 << 20, *products = XLM_NEW_N(r->a, uint32_t, stages + 1);
  for (int s = 0; s <= stages; s++) products[s] = far;
  for (xlm_node id = r->g->n_nodes - 1; id > 0; id--) {
    const xlm_node_info *n = &r->g->nodes[id];
    uint32_t *p = &products[n->stage < 0 ? 0 : n->stage + 1];
    r->behind[id] = *p;
    if (n->phase != XLM_PHASE_BWD) continue;
    if (r->awaited[id])
      *p = 0;
    else if (r->product[id] && *p < far)
      ++*p;
  }
}

// ---- moving up ----

static bool makes(const xlm_graph *g, xlm_node y, xlm_val v) {
  return v && g->values[v].def == y;
}

static bool depends(const xlm_graph *g, xlm_node x, xlm_node y) { // does x read a result of y?
  const xlm_node_info *n = &g->nodes[x];
  for (int i = 0; i < n->n_in; i++)
    if (makes(g, y, n->in[i])) return true;
  for (int i = 0; i < n->n_out; i++)
    if (makes(g, y, g->values[n->out + (xlm_val)i].ragged_by)) return true;
  return false;
}

// Weights are gathered in the order of their use, concurrently with communication of activations.
static bool keeps_behind(const reorder *r, xlm_node id, xlm_node y) {
  bool of_weights = r->weights[id] || r->feeds[id];
  return r->collective[y] && r->weights[y] == of_weights;
}

static uint32_t highest_place(const reorder *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  uint32_t at = r->n, products = 0;
  while (at > 0) {
    xlm_node y = r->order[at - 1];
    const xlm_node_info *above = &r->g->nodes[y];
    if (xlm_is_leaf(above) || group_of(above) != group_of(n) || depends(r->g, id, y)) break;
    if (keeps_behind(r, id, y)) break;
    if (above->stage == n->stage && r->product[y] && ++products > XLM_OVERLAP_PRODUCTS) break;
    at--;
  }
  return at;
}

static void put(reorder *r, xlm_node id) {
  uint32_t at = r->collective[id] || r->feeds[id] ? highest_place(r, id) : r->n;
  r->emitted[id] = true;
  r->waits[id] = false;
  for (uint32_t i = r->n++; i > at; i--) r->order[i] = r->order[i - 1];
  r->order[at] = id;
}

// Is there already a product behind collective c to hide it?
static bool is_covered(const reorder *r, xlm_node c) {
  for (uint32_t i = r->n; i > 0 && r->order[i - 1] != c; i--)
    if (r->product[r->order[i - 1]] && r->g->nodes[r->order[i - 1]].stage == r->g->nodes[c].stage)
      return true;
  return false;
}

static bool would_wait(const reorder *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    xlm_node c = r->g->values[n->in[i]].def;
    if (r->collective[c] && !r->weights[c] && !is_covered(r, c)) return true;
  }
  return false;
}

static bool stays(const reorder *r, xlm_node id, xlm_node reader) {
  const xlm_node_info *n = &r->g->nodes[id];
  if (r->collective[id] || xlm_op_is_message(n->op)) return true;
  if (xlm_op_at(n->op)->n_alias || is_of_weights(n)) return true;
  for (int i = 0; i < n->n_in; i++)
    if (r->blocked_by[r->g->values[n->in[i]].def] == reader) return true;
  for (int i = 0; i < n->n_out; i++) {
    xlm_val offsets = r->g->values[n->out + (xlm_val)i].ragged_by;
    if (offsets && r->g->values[offsets].def != id && r->blocked_by[r->g->values[offsets].def] == reader)
      return true;
  }
  return false;
}

// Moves nodes behind `reader` that do not depend on it before it, up to the last product among them.
static void pull_ahead(reorder *r, xlm_node reader) {
  const xlm_node_info *n = &r->g->nodes[reader];
  xlm_node found[LOOK];
  int n_found = 0, useful = 0, products = 0;
  r->blocked_by[reader] = reader;
  for (xlm_node id = reader + 1; id < r->g->n_nodes && id < reader + LOOK && products < XLM_OVERLAP_PRODUCTS;
       id++) {
    const xlm_node_info *m = &r->g->nodes[id];
    if (xlm_is_leaf(m) || r->emitted[id]) continue;
    if (group_of(m) != group_of(n) || m->stage != n->stage) break;
    if (stays(r, id, reader)) {
      r->blocked_by[id] = reader;
      continue;
    }
    found[n_found++] = id;
    products += r->product[id];
    if (r->product[id]) useful = n_found;
  }
  for (int i = 0; i < useful; i++) put(r, found[i]);
}

// ---- moving down ----

static void release(reorder *r) { // emits the product that waits longest
  while (r->first_waiting < r->n_waiting) {
    xlm_node id = r->waiting[r->first_waiting++];
    put(r, id);
    if (r->product[id]) break;
  }
  while (r->first_waiting < r->n_waiting && !r->product[r->waiting[r->first_waiting]])
    put(r, r->waiting[r->first_waiting++]); // its dependents: sums and reductions
}

static void release_all(reorder *r) {
  while (r->first_waiting < r->n_waiting) put(r, r->waiting[r->first_waiting++]);
}

static void end_group(reorder *r) {
  release_all(r);
  for (uint32_t i = 0; i < r->n_reductions; i++) r->order[r->n++] = r->reductions[i];
  r->n_reductions = 0;
}

static void wait(reorder *r, xlm_node id) {
  r->waiting[r->n_waiting++] = id;
  r->waits[id] = true;
}

static bool needs_waiting(const reorder *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  for (int i = 0; i < n->n_in; i++)
    if (r->waits[r->g->values[n->in[i]].def]) return true;
  for (int i = 0; i < n->n_out; i++)
    if (r->waits[r->g->values[r->g->values[n->out + (xlm_val)i].ragged_by].def]) return true;
  return false;
}

// Does the backward of the part that runs last (chunk 0) send a message?
static void find_last_send(reorder *r, bool split_weights) {
  for (xlm_node id = 1; id < r->g->n_nodes && !split_weights; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    r->sends_last |= xlm_op_sends(n->op) && n->phase == XLM_PHASE_BWD && n->stage <= 0;
  }
}

static void weights_node(reorder *r, xlm_node id) {
  if (r->sends_last && r->g->nodes[id].phase == XLM_PHASE_LAST) {
    r->reductions[r->n_reductions++] = id;
    return;
  }
  if (r->behind[id] > XLM_OVERLAP_PRODUCTS) release_all(r);
  if (r->behind[id] <= XLM_OVERLAP_PRODUCTS || needs_waiting(r, id))
    wait(r, id);
  else
    put(r, id);
}

// A parameter gathered again from other ranks.
static bool is_stored(const reorder *r, const xlm_node_info *n) {
  int stored = xlm_op_facts_of(n->op)->stored;
  return n->phase == XLM_PHASE_STEP && stored && r->collective[r->g->values[n->in[stored - 1]].def];
}

static void visit(reorder *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  bool new_group = r->n && group_of(&r->g->nodes[r->order[r->n - 1]]) != group_of(n);
  if (new_group) end_group(r);
  if (!is_of_weights(n) && needs_waiting(r, id)) release_all(r);
  if (is_of_weights(n)) {
    weights_node(r, id);
  } else if (is_stored(r, n)) {
    wait(r, id);
    if (r->n_waiting - r->first_waiting > XLM_OVERLAP_PRODUCTS) put(r, r->waiting[r->first_waiting++]);
  } else {
    if (group_of(n) < 2 && would_wait(r, id)) pull_ahead(r, id);
    put(r, id);
    if (r->awaited[id]) release(r);
  }
}

// ---- the whole pass ----

static xlm_graph *emit(const reorder *r, xlm_arena *a) {
  const xlm_graph *g = r->g;
  xlm_graph *out = xlm_graph_like(g);
  xlm_val *map = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(out, g->n_nodes, g->n_values);
  for (uint32_t i = 0; i < r->n; i++) xlm_copy_node(out, g, r->order[i], map, map);
  xlm_copy_ends(out, g, map);
  return out;
}

xlm_graph *xlm_pass_overlap(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  uint32_t n = g->n_nodes;
  reorder r = {.g = g,
               .a = a,
               .product = XLM_NEW_N(a, bool, n),
               .collective = XLM_NEW_N(a, bool, n),
               .feeds = XLM_NEW_N(a, bool, n),
               .weights = XLM_NEW_N(a, bool, n),
               .awaited = XLM_NEW_N(a, bool, n),
               .behind = XLM_NEW_N(a, uint32_t, n),
               .order = XLM_NEW_N(a, xlm_node, n),
               .waiting = XLM_NEW_N(a, xlm_node, n),
               .reductions = XLM_NEW_N(a, xlm_node, n),
               .emitted = XLM_NEW_N(a, bool, n),
               .waits = XLM_NEW_N(a, bool, n),
               .blocked_by = XLM_NEW_N(a, xlm_node, n)};
  find_products(&r);
  find_feeders(&r);
  find_awaited(&r);
  find_distances(&r);
  find_last_send(&r, split_weights);
  for (xlm_node id = 1; id < n; id++) // parameters and inputs first
    if (xlm_is_leaf(&g->nodes[id])) r.order[r.n++] = id;
  for (xlm_node id = 1; id < n; id++)
    if (!xlm_is_leaf(&g->nodes[id]) && !r.emitted[id]) visit(&r, id);
  end_group(&r);
  return emit(&r, a);
}
