// Partition and ZeRO: how states and gradients are split over `dp` in addition to the shard rules, and the
// layouts of the ops that update states.
//
// Gradients are partial over `dp` and reduced once per step. Their sums over microbatches are partial and
// whole on each rank, so that ranks are added after microbatches whatever ZeRO splits: in the same order and
// with the same bits. For the same reason the step computes products and sums on whole matrices, as without
// ZeRO; only elementwise work is done in pieces. With `reduce_each` the sums are split from level 2 on and
// every microbatch is reduced into them: less memory, more communication, another order of addition.
#include <string.h>

#include "compiler/pass/partition_priv.h"

static const xlm_type *type_of(const xlm_partitioning *p, xlm_val v) {
  return xlm_val_type(p->g, v);
}

// The dimension of a parameter that ZeRO splits: the first unsplit one that divides evenly, else the largest
// one that is large enough; none for small parameters, which stay whole. `l`: how the shard rules split it.
static xlm_layout zero_layout(const xlm_partitioning *p, const xlm_type *t, xlm_layout l) {
  int dp = xlm_mesh_axis(&p->o.mesh, "dp"), best = -1;
  if (dp < 0 || p->o.mesh.size[dp] < 2) return l;
  if (xlm_layout_axes(&l, t->rank) >> dp & 1) return l;
  int64_t n = p->o.mesh.size[dp];
  for (int i = 0; i < t->rank; i++) {
    int64_t size = p->g->dims[t->dim[i]].full;
    if (l.axes[i] || size < n) continue;
    if (size % n == 0) {
      best = i;
      break;
    }
    if (best < 0 || size > p->g->dims[t->dim[best]].full) best = i;
  }
  if (best >= 0) l.axes[best] |= 1u << dp;
  return l;
}

// ---- the values of the step ----

// A value of the step is read whole when a reader is not elementwise (products, sums), or is a function of it
// alone that is read whole.
static void find_whole(xlm_partitioning *p) {
  p->whole = XLM_NEW_N(p->a, bool, p->g->n_values);
  for (xlm_node id = p->g->n_nodes; id-- > 1;) {
    const xlm_node_info *n = &p->g->nodes[id];
    const xlm_op *op = xlm_op_at(n->op);
    int tensors = 0;
    if (n->phase != XLM_PHASE_STEP || op->n_alias || op->facts.additive) continue;
    for (int i = 0; i < n->n_in; i++) tensors += xlm_val_rank(p, n->in[i]) > 0;
    bool element_by_element = op->flags & XLM_OPF_ELEMENTWISE;
    bool whole = !element_by_element || (tensors == 1 && p->whole[n->out]);
    for (int i = 0; i < n->n_in && whole; i++) p->whole[n->in[i]] = xlm_val_rank(p, n->in[i]) > 0;
  }
}

// The split of a state with these dimensions.
static xlm_layout as_state(xlm_partitioning *p, xlm_val v) {
  xlm_layout own = p->canon[v];
  static const xlm_node_info leaf;
  if (!xlm_partition_canonical(p, &leaf, v)) return own;
  xlm_layout l = p->canon[v];
  p->canon[v] = own;
  return l;
}

// Gradients are what the global norm reads. The optimizer reads them with the split of its states, or whole;
// the norm reads them in the same layout, so that they are reduced once.
static void find_gradients(xlm_partitioning *p, const xlm_node_info *norm) {
  for (int i = 0; i < norm->n_in; i++) {
    xlm_val v = norm->in[i];
    xlm_layout *l = XLM_NEW(p->a, xlm_layout);
    *l = as_state(p, v);
    if (p->o.zero >= 1 && !p->whole[v]) *l = zero_layout(p, type_of(p, v), *l);
    p->gradient[v] = l;
  }
}

void xlm_partition_begin_step(xlm_partitioning *p) {
  p->gradient = XLM_NEW_N(p->a, const xlm_layout *, p->g->n_values);
  find_whole(p);
}

// Gradients are reduced as soon as they are complete, while the backward continues.
void xlm_partition_find_early(xlm_partitioning *p) {
  p->early = XLM_NEW_N(p->a, const xlm_layout *, p->g->n_values);
  for (xlm_val v = 1; v < p->g->n_values; v++) {
    xlm_phase made = xlm_val_node(p->g, v)->phase;
    if (p->gradient[v] && (made == XLM_PHASE_BWD || made == XLM_PHASE_WGT)) p->early[v] = p->gradient[v];
  }
}

// Applies a layout given for `t` to a value whose dimensions are among t's; other dimensions follow the
// rules.
static xlm_layout by_dims(const xlm_partitioning *p, xlm_val v, const xlm_type *t, const xlm_layout *l) {
  xlm_layout out = {0};
  const xlm_type *own = type_of(p, v);
  for (int i = 0; i < own->rank; i++) {
    int at = xlm_type_find(t, own->dim[i]);
    out.axes[i] = at >= 0 ? l->axes[at] : p->canon[v].axes[i];
  }
  return out;
}

// The layout in which a node of the step finds v, if its pieces are smaller than the rules ask for; else
// NULL.
static const xlm_layout *found(const xlm_partitioning *p, xlm_val v) {
  return p->gradient[v] ? p->gradient[v] : &p->have[v];
}
static bool in_pieces(const xlm_partitioning *p, xlm_val v) {
  int rank = xlm_val_rank(p, v);
  return !p->whole[v] && xlm_layout_axes(found(p, v), rank) & ~xlm_layout_axes(&p->canon[v], rank);
}

bool xlm_partition_is_in_pieces(const xlm_partitioning *p, const xlm_node_info *n) {
  if (n->phase != XLM_PHASE_STEP || !(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE)) return false;
  bool any = false;
  int64_t gathered = 0;
  for (int i = 0; i < n->n_in; i++) {
    if (!in_pieces(p, n->in[i])) continue;
    any = true;
    gathered += xlm_type_elements(type_of(p, n->in[i]), p->g->dims);
  }
  // if the result is read whole, gather whichever is smaller: the result or the operands
  return any && (!p->whole[n->out] || gathered >= xlm_type_elements(type_of(p, n->out), p->g->dims));
}

// Elementwise nodes of the step work on the pieces of their operands (but see above): other operands are cut,
// none is gathered. The first operand that splits a dimension or uses an axis decides.
void xlm_partition_decide_pieces(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_type *t = type_of(p, n->out);
  xlm_layout l = {0};
  for (int i = 0; i < n->n_in; i++) {
    const xlm_type *u = type_of(p, n->in[i]);
    for (int k = 0; in_pieces(p, n->in[i]) && k < u->rank; k++) {
      int at = xlm_type_find(t, u->dim[k]);
      if (!l.axes[at]) l.axes[at] = found(p, n->in[i])->axes[k] & ~xlm_layout_axes(&l, t->rank);
    }
  }
  for (int k = 0; k < t->rank; k++)
    if (!l.axes[k]) l.axes[k] = p->canon[n->out].axes[k] & ~xlm_layout_axes(&l, t->rank);
  for (int i = 0; i < n->n_in; i++) p->nodes[id].in[i] = by_dims(p, n->in[i], t, &l);
  p->nodes[id].out[0] = l;
}

// ---- states and their updates ----

static bool splits(const xlm_partitioning *p, xlm_role role) {
  switch (role) {
  case XLM_ROLE_OPTIMIZER:
    return p->o.zero >= 1;
  case XLM_ROLE_GRADIENT:
    return p->o.zero >= 2 && p->o.reduce_each;
  case XLM_ROLE_PARAMETER:
  case XLM_ROLE_CAST:
    return p->o.zero >= 3;
  default:
    return false;
  }
}

void xlm_partition_decide_leaf(xlm_partitioning *p, const xlm_node_info *n) {
  bool split = xlm_op_is_state(n->op) && splits(p, xlm_state_role(n));
  p->have[n->out] = split ? zero_layout(p, type_of(p, n->out), p->canon[n->out]) : p->canon[n->out];
}

// An in-place op works in the layout of its most split state; its other operands are converted to it,
// dimension by dimension, except where its rule requires a whole dimension.
void xlm_partition_decide_update(xlm_partitioning *p, xlm_node id, const xlm_layout_rule *r) {
  const xlm_node_info *n = &p->g->nodes[id];
  xlm_node_layouts *l = &p->nodes[id];
  xlm_val most = n->in[0];
  for (int i = 1; i < xlm_op_at(n->op)->n_alias; i++)
    if (xlm_layout_axes(&p->have[n->in[i]], XLM_MAX_RANK) & ~xlm_layout_axes(&p->have[most], XLM_MAX_RANK))
      most = n->in[i];
  const xlm_type *t = type_of(p, most);
  xlm_layout at = p->have[most];
  for (int k = 0; k < r->n_keys; k++)
    for (int i = 0; i < t->rank && r->key[k].rule == XLM_SPLIT_WHOLE; i++)
      if (xlm_attr_has_dim(&n->attrs, r->key[k].key, t->dim[i])) at.axes[i] = 0;
  for (int i = 0; i < n->n_in; i++) l->in[i] = by_dims(p, n->in[i], t, &at);
  for (int i = 0; i < n->n_out; i++) l->out[i] = by_dims(p, n->out + (xlm_val)i, t, &at);
}

// An accumulator has the layout of its summand; partial sums stay partial until the step, unless it is split.
void xlm_partition_decide_accumulate(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  xlm_val added = n->in[xlm_op_facts_of(n->op)->addend - 1];
  if (!splits(p, xlm_state_role(xlm_val_node(p->g, n->in[0])))) p->have[n->in[0]] = p->have[added];
  for (int i = 0; i < n->n_in; i++) p->nodes[id].in[i] = p->have[n->in[0]];
  p->nodes[id].out[0] = p->have[n->in[0]];
}

void xlm_partition_decide_norm(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  find_gradients(p, n);
  for (int i = 0; i < n->n_in; i++) {
    p->nodes[id].in[i] = *p->gradient[n->in[i]];
    p->nodes[id].out[0].partial |= xlm_layout_axes(p->gradient[n->in[i]], xlm_val_rank(p, n->in[i]));
  }
}
