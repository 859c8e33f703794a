// Late loss: the product that makes the logits, and the loss on them, run at the beginning of the backward
// pass, so that the logits need not be stored between the two passes. Then chunk_loss can divide all of it.
//
// What depends on the loss (its sum over the microbatches, metrics) moves, too. The gradient of the head's
// weights moves from the gradients of weights to the backward, since it reads the gradient of the logits, and
// so does its sum over the microbatches, which is part of the same kernel.
#include "compiler/pass/head.h"

typedef struct late {
  const xlm_graph *g;
  bool *moves; // by node
} late;

static bool is_forward(const xlm_node_info *n) {
  return n->phase == XLM_PHASE_FWD;
}

static bool depends(const late *l, const xlm_node_info *n, const bool *on) {
  for (int i = 0; i < n->n_in; i++)
    if (on[l->g->values[n->in[i]].def]) return true;
  return false;
}

static bool trains(const xlm_graph *g, const xlm_head *h) {
  for (xlm_node id = h->first; id <= h->last; id++)
    if (h->member[id] && !is_forward(&g->nodes[id])) return true;
  return false;
}

// What follows from the loss in the forward pass: sums over microbatches, and functions of the loss.
static bool can_follow(const late *l, const xlm_node_info *n) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  if (f->product || f->comm || xlm_op_at(n->op)->flags & XLM_OPF_RANDOM) return false;
  return !xlm_op_at(n->op)->n_alias || xlm_state_role(xlm_val_node(l->g, n->in[0])) == XLM_ROLE_GRADIENT;
}

// A node that moves to the backward must not read a gradient of weights.
static bool reads_weight_gradient(const late *l, const bool *moves, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    xlm_node def = l->g->values[n->in[i]].def;
    const xlm_node_info *made = &l->g->nodes[def];
    if (!moves[def] && !xlm_is_leaf(made) && made->phase == XLM_PHASE_WGT) return true;
  }
  return false;
}

static bool sums_up(const late *l, const xlm_head *h, const xlm_node_info *n) {
  int addend = xlm_op_facts_of(n->op)->addend;
  return addend && n->phase == XLM_PHASE_WGT && h->member[l->g->values[n->in[addend - 1]].def];
}

static bool can_move(const late *l, const xlm_head *h, bool *moves) {
  for (xlm_node id = 1; id < l->g->n_nodes; id++) {
    const xlm_node_info *n = &l->g->nodes[id];
    bool follows = !h->member[id] && is_forward(n) && depends(l, n, moves);
    if (follows && !can_follow(l, n)) return false;
    moves[id] = h->member[id] || follows || sums_up(l, h, n);
    if (moves[id] && reads_weight_gradient(l, moves, n)) return false;
  }
  return true;
}

static xlm_node move(const late *l, xlm_graph *to, xlm_node id, xlm_val *map) {
  xlm_node made = xlm_copy_node(to, l->g, id, map, map);
  if (!l->moves[id]) return made;
  to->nodes[made].phase = XLM_PHASE_BWD;
  to->nodes[made].recompute = false;
  return made;
}

static void move_forward_nodes(const late *l, xlm_graph *to, xlm_val *map) {
  for (xlm_node id = 1; id < l->g->n_nodes; id++)
    if (l->moves[id] && is_forward(&l->g->nodes[id])) move(l, to, id, map);
}

static bool is_later(const xlm_node_info *n) {
  return !xlm_is_leaf(n) && n->phase != XLM_PHASE_FWD && n->phase != XLM_PHASE_PROLOGUE;
}

xlm_graph *xlm_pass_late_loss(const xlm_graph *g, xlm_arena *a) {
  late l = {.g = g, .moves = XLM_NEW_N(a, bool, g->n_nodes)};
  xlm_graph *out = xlm_graph_like(g);
  xlm_val *map = XLM_NEW_N(a, xlm_val, g->n_values);
  for (const xlm_head *h = xlm_heads_find(g, a); h; h = h->next) {
    bool *moves = XLM_NEW_N(a, bool, g->n_nodes);
    if (!trains(g, h) || !can_move(&l, h, moves)) continue;
    for (xlm_node id = 1; id < g->n_nodes; id++) l.moves[id] |= moves[id];
  }
  bool moved = false;
  xlm_graph_reserve(out, g->n_nodes, g->n_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    if (!moved && is_later(&g->nodes[id])) {
      move_forward_nodes(&l, out, map);
      moved = true;
    }
    if (!(l.moves[id] && is_forward(&g->nodes[id]))) move(&l, out, id, map);
  }
  xlm_copy_ends(out, g, map);
  return out;
}
