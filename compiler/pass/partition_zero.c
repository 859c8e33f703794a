// Partition and ZeRO: how states and gradients are split over `dp`, beside what the shard rules say, and the
// layouts of the ops that update states.
//
// Gradients are partial over `dp`, and reduced once per step: their sums over the microbatches are partial,
// too, and whole on each rank, so that ranks are added after microbatches whatever ZeRO splits, in the same
// order and to the same bits. With `reduce_each` the sums are split from level 2 on, and every microbatch is
// reduced into them: less memory, more to send, and another order of addition.
#include <string.h>

#include "compiler/pass/partition_priv.h"

static const xlm_type *type_of(const xlm_partitioning *p, xlm_val v) {
  return xlm_val_type(p->g, v);
}

// The dimension of a parameter that ZeRO splits: the first unsplit one that divides evenly, else the largest
// that is large enough; none for small parameters, which stay whole.
xlm_layout xlm_partition_zero_layout(const xlm_partitioning *p, xlm_val v) {
  xlm_layout l = p->canon[v];
  int dp = xlm_mesh_axis(&p->o.mesh, "dp"), best = -1;
  if (dp < 0 || p->o.mesh.size[dp] < 2) return l;
  const xlm_type *t = type_of(p, v);
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

// By gradient: the layout of the optimizer state that its update uses.
xlm_layout *xlm_partition_wanted_gradients(xlm_partitioning *p) {
  xlm_layout *w = XLM_NEW_N(p->a, xlm_layout, p->g->n_values);
  for (xlm_val v = 1; v < p->g->n_values; v++) w[v] = p->canon[v];
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    int alias = xlm_op_at(n->op)->n_alias;
    if (alias < 2) continue;
    xlm_val state = n->in[1]; // the first moment
    w[n->in[alias]] = p->o.zero >= 1 ? xlm_partition_zero_layout(p, state) : p->canon[state];
  }
  return w;
}

// Gradients as the optimizer reads them: reduced as soon as they are complete, while the backward goes on.
void xlm_partition_find_early(xlm_partitioning *p) {
  p->early = XLM_NEW_N(p->a, const xlm_layout *, p->g->n_values);
  xlm_layout *wanted = xlm_partition_wanted_gradients(p);
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    int alias = xlm_op_at(n->op)->n_alias;
    if (n->phase != XLM_PHASE_STEP || alias < 2) continue;
    xlm_val gradient = n->in[alias];
    xlm_phase made = xlm_val_node(p->g, gradient)->phase;
    if (made == XLM_PHASE_BWD || made == XLM_PHASE_WGT) p->early[gradient] = &wanted[gradient];
  }
}

// ---- states and what updates them ----

static bool splits(const xlm_partitioning *p, const char *role) {
  const struct {
    const char *role;
    bool split;
  } of[] = {{"optimizer", p->o.zero >= 1},
            {"gradient", p->o.zero >= 2 && p->o.reduce_each},
            {"parameter", p->o.zero >= 3}};
  for (size_t i = 0; i < sizeof of / sizeof *of; i++)
    if (!strcmp(role, of[i].role)) return of[i].split;
  return false;
}

static const char *role_of(const xlm_node_info *n) {
  return n->op == XLM_OP_PARAM   ? "parameter"
         : n->op == XLM_OP_INPUT ? "input"
                                 : xlm_attr_text(&n->attrs, XLM_A_role, "state");
}

void xlm_partition_decide_leaf(xlm_partitioning *p, const xlm_node_info *n) {
  p->have[n->out] = splits(p, role_of(n)) ? xlm_partition_zero_layout(p, n->out) : p->canon[n->out];
}

// Everything an in-place op touches has the layout of its most split state; scalars are whole.
void xlm_partition_decide_update(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  xlm_node_layouts *l = &p->nodes[id];
  xlm_val most = n->in[0];
  for (int i = 1; i < op->n_alias; i++)
    if (xlm_layout_axes(&p->have[n->in[i]], XLM_MAX_RANK) & ~xlm_layout_axes(&p->have[most], XLM_MAX_RANK))
      most = n->in[i];
  for (int i = 0; i < n->n_in; i++)
    l->in[i] = xlm_same_type(type_of(p, n->in[i]), type_of(p, most)) ||
                       xlm_val_rank(p, n->in[i]) == xlm_val_rank(p, most)
                   ? p->have[most]
                   : (xlm_layout){0};
  for (int i = 0; i < n->n_in; i++)
    if (xlm_val_rank(p, n->in[i]) == 0) l->in[i] = (xlm_layout){0};
  for (int i = 0; i < n->n_out; i++) l->out[i] = p->have[most];
}

// An accumulator is as its summand comes, partial sums stay partial until the step, except where it is split.
void xlm_partition_decide_accumulate(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  if (!splits(p, role_of(xlm_val_node(p->g, n->in[0])))) p->have[n->in[0]] = p->have[n->in[1]];
  p->nodes[id].in[0] = p->nodes[id].in[1] = p->nodes[id].out[0] = p->have[n->in[0]];
}

// The global norm reads gradients in the layout their update wants, so that they are reduced once.
void xlm_partition_decide_norm(xlm_partitioning *p, xlm_node id, const xlm_layout *wanted) {
  const xlm_node_info *n = &p->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    p->nodes[id].in[i] = wanted[n->in[i]];
    p->nodes[id].out[0].partial |= xlm_layout_axes(&wanted[n->in[i]], xlm_val_rank(p, n->in[i]));
  }
}
