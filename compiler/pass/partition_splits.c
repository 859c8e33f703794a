// Partition, part 3: the distinct ways in which dimensions are split. The graphs of two ranks can differ only
// in these.
#include "compiler/pass/partition_priv.h"
#include "runtime/base/philox.h"

static void add_split(xlm_partitioning *p, xlm_dim d, uint32_t axes) {
  for (uint32_t i = 0; i < p->n_splits; i++)
    if (p->splits[i].dim == d && p->splits[i].axes == axes) return;
  struct xlm_split s = {d, axes};
  XLM_PUSH(p->a, p->splits, p->n_splits, p->cap_splits, s);
}

static void add_layout(xlm_partitioning *p, xlm_val v, const xlm_layout *l) {
  const xlm_type *t = xlm_val_type(p->g, v);
  for (int i = 0; i < t->rank; i++)
    if (l->axes[i] && !p->g->dims[t->dim[i]].ragged) add_split(p, t->dim[i], l->axes[i]);
}

// During a change of layout, a dimension may also be split over a subset of these axes; its sizes then follow
// from the same division, one axis at a time.
static void add_steps(xlm_partitioning *p) {
  uint32_t n = p->n_splits;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t part = (p->splits[i].axes - 1) & p->splits[i].axes; part;
         part = (part - 1) & p->splits[i].axes)
      add_split(p, p->splits[i].dim, part);
}

void xlm_partition_find_splits(xlm_partitioning *p) {
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    for (int i = 0; i < n->n_out; i++) {
      add_layout(p, n->out + (xlm_val)i, &p->have[n->out + (xlm_val)i]);
      add_layout(p, n->out + (xlm_val)i, &p->nodes[id].out[i]);
    }
    for (int i = 0; i < n->n_in && p->nodes[id].in; i++) add_layout(p, n->in[i], &p->nodes[id].in[i]);
  }
  add_steps(p);
}

uint64_t xlm_partition_signature(const xlm_partitioning *p, const int32_t coord[XLM_MAX_AXES]) {
  uint64_t h = 0;
  for (uint32_t i = 0; i < p->n_splits; i++) {
    xlm_dim d = p->splits[i].dim;
    int64_t size = xlm_partition_split(p, d, p->splits[i].axes, coord).size;
    h = xlm_hash_mix(h ^ (uint64_t)size);
  }
  return h;
}
