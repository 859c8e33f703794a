// Shared by the files that decide and emit.
#ifndef XLM_PASS_PARTITION_PRIV_H
#define XLM_PASS_PARTITION_PRIV_H

#include "compiler/pass/partition.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_node_layouts {
  xlm_layout *in, *out; // per operand: the layout the node needs; per result: the layout it produces
} xlm_node_layouts;

struct xlm_partitioning {
  const xlm_graph *g;
  xlm_arena *a;
  xlm_partition_options o;
  uint32_t *rule; // by dim: those axes of its shard rule that the mesh has
  const xlm_shard_rule **rule_text;
  bool *free_rule;             // by dim: `where free`
  int64_t *grain;              // by dim: pieces are multiples of this
  uint32_t *mirrored;          // by dim: axes over which it is split from both ends (partition_balance.c)
  xlm_layout *canon, *have;    // by value: the layout that the shard rules ask for; the layout it is produced
                               // in
  xlm_node_layouts *nodes;     // by node
  uint32_t *uses;              // by value
  bool *whole;                 // by value: nodes of the step read it unsplit
  const xlm_layout **gradient; // by value: of a gradient, the layout in which the step reads it; else NULL
  const xlm_layout **early;    // by value: the layout to which a gradient is reduced as soon as it is
                               // complete; NULL = when it is read
  xlm_layout_rule *op_rules;   // by op
  xlm_partition_fault *fault;
  struct xlm_split { // distinct ways in which dimensions are split: ranks can differ only in these
    xlm_dim dim;
    uint32_t axes;
  } * splits;
  uint32_t n_splits, cap_splits;
};

// partition_rules.c. False with p->fault filled when sizes do not fit or two dimensions are on one axis.
bool xlm_partition_read_rules(xlm_partitioning *p);
bool xlm_partition_canonical(xlm_partitioning *p, const xlm_node_info *n, xlm_val v); // fills p->canon[v]
// Fills p->fault: dimensions a and b of t are split over the same axis. Returns false.
bool xlm_partition_conflict(xlm_partitioning *p, const xlm_node_info *n, const xlm_type *t, xlm_dim a,
                            xlm_dim b);

// partition_zero.c: the layouts of states and of the ops that update them.
void xlm_partition_decide_leaf(xlm_partitioning *p, const xlm_node_info *n);
void xlm_partition_decide_update(xlm_partitioning *p, xlm_node id, const xlm_layout_rule *r);
void xlm_partition_decide_accumulate(xlm_partitioning *p, xlm_node id);
void xlm_partition_decide_norm(xlm_partitioning *p, xlm_node id);
void xlm_partition_begin_step(xlm_partitioning *p); // before anything else is decided
// Does the node work on the pieces made by ZeRO? If so, xlm_partition_decide_pieces decides its layouts.
bool xlm_partition_is_in_pieces(const xlm_partitioning *p, const xlm_node_info *n);
void xlm_partition_decide_pieces(xlm_partitioning *p, xlm_node id);
// Fills p->mirrored. Requires the layouts of all nodes.
void xlm_partition_balance(xlm_partitioning *p);
// Dimension d split over `axes`, with the size and offset of the rank at `coord`.
xlm_dim_info xlm_partition_split(const xlm_partitioning *p, xlm_dim d, uint32_t axes, const int32_t *coord);
// Fills p->early and p->splits; the last steps of deciding.
void xlm_partition_find_early(xlm_partitioning *p);
void xlm_partition_find_splits(xlm_partitioning *p);

// The axes that split the dimension along which the node's operation is cut (xlm_op.cut); 0: it stays one
// operation. *along: the dimension.
static inline uint32_t xlm_partition_cut_axes(const xlm_partitioning *p, xlm_node id, xlm_dim *along) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  xlm_dim dims[XLM_MAX_RANK];
  if (!op->cut || !p->nodes[id].in || !xlm_attr_dims(&n->attrs, op->cut_along, dims)) return 0;
  *along = dims[0];
  for (int i = 0; i < n->n_in; i++) {
    int at = xlm_type_find(xlm_val_type(p->g, n->in[i]), dims[0]);
    if (at >= 0) return p->nodes[id].in[i].axes[at];
  }
  return 0;
}

static inline int xlm_val_rank(const xlm_partitioning *p, xlm_val v) {
  return xlm_val_type(p->g, v)->rank;
}

#endif
