// What deciding and emitting share.
#ifndef XLM_PASS_PARTITION_PRIV_H
#define XLM_PASS_PARTITION_PRIV_H

#include "compiler/pass/partition.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_node_layouts {
  xlm_layout *in, *out; // per operand: what the node needs; per result: how it comes out
} xlm_node_layouts;

struct xlm_partitioning {
  const xlm_graph *g;
  xlm_arena *a;
  xlm_partition_options o;
  uint32_t *rule;           // by dim: axes of its shard rule that the mesh has
  const xlm_shard_rule **rule_text;
  bool *free_rule;          // by dim: `where free`
  int64_t *grain;           // by dim: pieces are multiples of this
  xlm_layout *canon, *have; // by value: as the rules want it; as it is produced
  xlm_node_layouts *nodes;  // by node
  xlm_layout_rule *op_rules; // by op
  xlm_partition_fault *fault;
};

static inline int xlm_val_rank(const xlm_partitioning *p, xlm_val v) { return xlm_val_type(p->g, v)->rank; }

#endif
