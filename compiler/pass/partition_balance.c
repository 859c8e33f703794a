// Partition: dimensions that are split from both ends (runtime/plan/mesh.h).
//
// A query of causal attention sees only the keys before it, so later queries cost more: with contiguous
// pieces, the last of n ranks would have nearly twice the average work. The dimension is therefore mirrored
// over the axes over which attention splits its queries, in every tensor and all layouts, so that no
// conversions are needed. Its other names are mirrored, too.
#include <string.h>

#include "compiler/pass/partition_priv.h"

// Kernels compare indices along these dimensions with ids and require a single run; so does an operation that is cut
// into one per piece.
static const xlm_attr_key one_run[] = {XLM_A_vocab, XLM_A_experts, XLM_A_heads, XLM_A_kv_heads};

// Finds the queries of causal attention.
static void find_queries(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  xlm_dim seq[XLM_MAX_RANK];
  if (!xlm_attr_int(&n->attrs, XLM_A_causal, 0) || !xlm_attr_dims(&n->attrs, XLM_A_seq, seq)) return;
  for (int i = 0; i < n->n_in; i++) {
    int at = xlm_type_find(xlm_val_type(p->g, n->in[i]), seq[0]);
    if (at >= 0) p->mirrored[seq[0]] |= p->nodes[id].in[i].axes[at];
  }
}

// Propagates a property to a dimension's other names. Returns true on a change.
static bool propagate(xlm_partitioning *p, xlm_node id, uint32_t *of) {
  const xlm_node_info *n = &p->g->nodes[id];
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int count = xlm_op_facts_of(n->op)->renames ? xlm_attr_dims(&n->attrs, XLM_A_from, from) : 0;
  bool changed = false;
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  for (int i = 0; i < count; i++) {
    uint32_t axes = of[from[i]] | of[to[i]];
    changed |= of[from[i]] != axes || of[to[i]] != axes;
    of[from[i]] = of[to[i]] = axes;
  }
  return changed;
}

static void propagate_all(xlm_partitioning *p, uint32_t *of) {
  for (bool changed = true; changed;) {
    changed = false;
    for (xlm_node id = 1; id < p->g->n_nodes; id++) changed |= propagate(p, id, of);
  }
}

void xlm_partition_balance(xlm_partitioning *p) {
  uint32_t *plain = XLM_NEW_N(p->a, uint32_t, p->g->n_dims);
  p->mirrored = XLM_NEW_N(p->a, uint32_t, p->g->n_dims);
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    xlm_dim dims[XLM_MAX_RANK];
    if (p->nodes[id].in) find_queries(p, id);
    xlm_dim along;
    if (xlm_partition_cut_axes(p, id, &along)) plain[along] = 1;
    for (size_t k = 0; k < sizeof one_run / sizeof *one_run; k++)
      for (int i = xlm_attr_dims(&p->g->nodes[id].attrs, one_run[k], dims) - 1; i >= 0; i--)
        plain[dims[i]] = 1;
  }
  propagate_all(p, p->mirrored);
  propagate_all(p, plain);
  for (xlm_dim d = 1; d < p->g->n_dims; d++)
    if (plain[d] || !strcmp(p->g->dims[d].name, "batch")) p->mirrored[d] = 0;
}

xlm_dim_info xlm_partition_split(const xlm_partitioning *p, xlm_dim d, uint32_t axes, const int32_t *coord) {
  const xlm_dim_info *whole = &p->g->dims[d];
  xlm_dim_info part = {.name = whole->name,
                       .full = whole->full,
                       .axes = axes,
                       .mirrored = axes & p->mirrored[d],
                       .grain = p->grain[d] > 1 ? p->grain[d] : 0};
  xlm_dim_set_piece(&part, xlm_mesh_local(&p->o.mesh, &part, coord));
  return part;
}
