// Shared by the files of the fuse pass: order (fuse_order.c), clusters (fuse_cluster.c), their programs
// (fuse_program.c), and the new graph (fuse.c).
#ifndef XLM_PASS_FUSE_PRIV_H
#define XLM_PASS_FUSE_PRIV_H

#include "compiler/pass/fusable.h"
#include "compiler/pass/pass_priv.h"
#include "runtime/plan/code.h"

typedef struct xlm_fuse_cluster {
  bool sealed; // because of a reader; see also xlm_fuse.sealed_below
  xlm_phase phase;
  int16_t stage;
  uint8_t row;            // dims of a row; 0: functions of elements only
  xlm_type space;         // dims; dtype unused
  xlm_node last;          // member at whose position it runs
  uint32_t products;      // before its last member, see xlm_fuse.products
  uint32_t parent;        // union-find
  uint32_t n, n_external; // members; upper bound on operands from outside
} xlm_fuse_cluster;

typedef struct xlm_fuse {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  const xlm_mesh *mesh; // of the ranks, which decide alike; NULL: there is one
  bool split_weights;
  xlm_build b;
  xlm_fusable *member;        // by node: NOT if it cannot be part of a program
  xlm_fuse_cluster *clusters; // index 0 unused
  uint32_t n_clusters, cap_clusters;
  uint32_t sealed_below[XLM_PHASES];    // all clusters of this phase with a smaller index are sealed
  uint32_t *of;                         // cluster of each node, 0 = none
  xlm_val *map;                         // old value -> new value
  xlm_val *constants[XLM_PHASES];       // old const value -> the tensor materialised for it in that phase
  xlm_node *next_member, *first_member; // members of a cluster in order: by node; by cluster
  uint32_t *uses;
  uint32_t *inner;         // by value: uses by members of the cluster that computes it
  uint32_t *reader;        // by value: the cluster that read it last, 0 = none
  uint32_t products;       // so far
  bool *inlined;           // by node: a cast of a parameter that is part of its readers' programs
  xlm_node *contract_into; // contract node -> the accumulate node it is merged into, 0 = none
  struct program *program; // the one under construction
} xlm_fuse;

// ---- fuse_order.c ----

// The same graph in an order that allows for longer programs.
xlm_graph *xlm_fuse_order(const xlm_graph *g, xlm_arena *a);

// ---- fuse_cluster.c ----

// Sets member, clusters, of, next_member, first_member, uses, inner and inlined.
void xlm_fuse_find_clusters(xlm_fuse *f);
uint32_t xlm_fuse_root(const xlm_fuse *f, uint32_t c);
uint32_t xlm_fuse_cluster_of(const xlm_fuse *f, xlm_val v); // of the node that computes v; 0 = none

// ---- fuse_program.c ----

// Emits the cluster's node, or nodes, at the current position of f->out.
void xlm_fuse_emit_cluster(xlm_fuse *f, uint32_t c);
// The new value of v as an operand of a node that is not a program: a constant becomes a tensor.
xlm_val xlm_fuse_operand(xlm_fuse *f, xlm_val v);
// Copies a node that is not part of a program.
void xlm_fuse_copy(xlm_fuse *f, xlm_node id, xlm_phase phase);

#endif
