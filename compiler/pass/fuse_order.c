// The order of nodes in which programs become long. Two kinds of moves:
//
// - Up, past nodes that cannot be part of a program, to the programs that compute its operands: a sum over
//   the leading dims, since it is small and its operand need not be read again; and a function of a value of
//   its own size that has no other reader, since the memory of one takes the place of the other's.
// - Down, to the next product of its segment: what only leads from such a sum to the gradient of a weight
//   (its addition over the microbatches, its reduction over ranks), because a program cannot grow beyond a
//   node that reads one of its results. A node that others wait for does not move past them.
//
// Decisions depend only on the structure of the graph, never on sizes, so all ranks of a group enter their
// collectives in the same order.
#include <stdlib.h>

#include "compiler/pass/fuse_priv.h"

// Nodes are sorted by position: those that moved are before another node, in the order of their ids.
typedef enum place { MOVED_UP, MOVED_DOWN, AT } place;

typedef struct position {
  xlm_node node;
  place place;
  xlm_node id;
} position;

typedef struct order {
  const xlm_graph *g;
  uint32_t *uses;
  position *at;  // by node
  bool *follows; // by node: moves down with the sum that it depends on
  bool *apart;   // by node: it computes, but is not part of a program, and does not move down
  xlm_node *waiting;
  uint32_t n_waiting, cap_waiting;
  xlm_arena *a;
} order;

static bool is_after(position a, position b) {
  if (a.node != b.node) return a.node > b.node;
  return a.place != b.place ? a.place > b.place : a.id > b.id;
}

// Nodes of different segments of a step keep their order.
static int segment_of(const xlm_node_info *n) {
  if (n->phase == XLM_PHASE_FWD || n->phase == XLM_PHASE_PROLOGUE) return n->phase;
  return n->phase == XLM_PHASE_STEP ? XLM_PHASE_STEP : XLM_PHASE_BWD;
}

// ---- down ----

static void release(order *o, xlm_node before) {
  for (uint32_t i = 0; i < o->n_waiting; i++) {
    o->at[o->waiting[i]] = (position){before, MOVED_DOWN, o->waiting[i]};
    o->follows[o->waiting[i]] = false;
  }
  o->n_waiting = 0;
}

static bool reads_following(const order *o, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (o->follows[o->g->values[n->in[i]].def]) return true;
  return false;
}

static bool reads_sum(const order *o, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (xlm_fusable_of(o->g, xlm_val_node(o->g, n->in[i])).kind == XLM_FUSABLE_SUM) return true;
  return false;
}

static bool can_follow(const order *o, const xlm_node_info *n) {
  bool of_weights = n->phase == XLM_PHASE_WGT || n->phase == XLM_PHASE_LAST;
  return of_weights && !xlm_op_facts_of(n->op)->product && (reads_following(o, n) || reads_sum(o, n));
}

// Is the node one that those moving down must not pass?
static bool is_barrier(const order *o, const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->product || xlm_op_at(n->op)->n_alias || reads_following(o, n) ||
         segment_of(n) != XLM_PHASE_BWD;
}

// ---- up ----

static position latest_operand(const order *o, const xlm_node_info *n) {
  position last = {0};
  for (int i = 0; i < n->n_in; i++) {
    position p = o->at[o->g->values[n->in[i]].def];
    if (is_after(p, last)) last = p;
  }
  return last;
}

static bool is_fusable(const order *o, xlm_val v) {
  return xlm_fusable_of(o->g, xlm_val_node(o->g, v)).kind != XLM_FUSABLE_NOT;
}

static bool takes_place_of(const order *o, const xlm_node_info *n, xlm_val v) {
  const xlm_type *from = xlm_val_type(o->g, v), *to = xlm_val_type(o->g, n->out);
  return o->uses[v] == 1 && is_fusable(o, v) && xlm_same_dims(from, to) &&
         xlm_dtype_bytes(to->dtype) <= xlm_dtype_bytes(from->dtype);
}

static bool can_move_up(const order *o, const xlm_node_info *n) {
  xlm_fusable_kind kind = xlm_fusable_of(o->g, n).kind;
  if (kind == XLM_FUSABLE_NOT || xlm_phase_is_once(n->phase)) return false;
  if (kind == XLM_FUSABLE_SUM) return is_fusable(o, n->in[0]);
  for (int i = 0; i < n->n_in; i++)
    if (takes_place_of(o, n, n->in[i])) return true;
  return false;
}

static position move_up(const order *o, xlm_node id) {
  const xlm_node_info *n = &o->g->nodes[id];
  position last = latest_operand(o, n), here = {id, AT, id};
  const xlm_node_info *behind = &o->g->nodes[last.id];
  if (!last.id || last.place == MOVED_DOWN || xlm_is_leaf(behind) || segment_of(behind) != segment_of(n))
    return here;
  if (last.place == MOVED_UP) return (position){last.node, MOVED_UP, id};
  for (xlm_node next = last.id + 1; next < id; next++)
    if (o->apart[next]) return (position){next, MOVED_UP, id};
  return here;
}

static void place_node(order *o, xlm_node id) {
  const xlm_node_info *n = &o->g->nodes[id];
  o->at[id] = (position){id, AT, id};
  if (xlm_is_leaf(n)) return;
  if (can_follow(o, n)) {
    o->follows[id] = true;
    XLM_PUSH(o->a, o->waiting, o->n_waiting, o->cap_waiting, id);
    return;
  }
  if (is_barrier(o, n)) release(o, id);
  o->apart[id] = xlm_fusable_of(o->g, n).kind == XLM_FUSABLE_NOT;
  if (can_move_up(o, n)) o->at[id] = move_up(o, id);
}

static int by_position(const void *pa, const void *pb) {
  const position *a = pa, *b = pb;
  return is_after(*a, *b) ? 1 : is_after(*b, *a) ? -1 : 0;
}

static xlm_graph *sorted(const order *o) {
  const xlm_graph *g = o->g;
  xlm_graph *out = xlm_graph_like(g);
  xlm_val *map = XLM_NEW_N(o->a, xlm_val, g->n_values);
  xlm_graph_reserve(out, g->n_nodes, g->n_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) xlm_copy_node(out, g, o->at[id].id, map, map);
  xlm_copy_ends(out, g, map);
  return out;
}

xlm_graph *xlm_fuse_order(const xlm_graph *g, xlm_arena *a) {
  order o = {.g = g, .a = a, .uses = xlm_graph_uses(g, a)};
  o.at = XLM_NEW_N(a, position, g->n_nodes);
  o.follows = XLM_NEW_N(a, bool, g->n_nodes);
  o.apart = XLM_NEW_N(a, bool, g->n_nodes);
  for (xlm_node id = 1; id < g->n_nodes; id++) place_node(&o, id);
  release(&o, g->n_nodes);
  qsort(o.at + 1, g->n_nodes - 1, sizeof *o.at, by_position);
  return sorted(&o);
}
