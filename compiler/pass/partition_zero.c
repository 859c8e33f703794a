// Partition and ZeRO: how states and gradients are split over `dp`, beside what the shard rules say.
#include "compiler/pass/partition_priv.h"

// The dimension of a parameter that ZeRO splits: the first unsplit one that divides evenly, else the largest
// that is large enough; none for small parameters, which stay whole.
xlm_layout xlm_partition_zero_layout(const xlm_partitioning *p, xlm_val v) {
  xlm_layout l = p->canon[v];
  int dp = xlm_mesh_axis(&p->o.mesh, "dp"), best = -1;
  if (dp < 0 || p->o.mesh.size[dp] < 2) return l;
  const xlm_type *t = xlm_val_type(p->g, v);
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
