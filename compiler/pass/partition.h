// Partition: the logical train graph becomes the graph of one rank. DESIGN.md section 4 is this pass.
//
// First, once for all ranks, layouts are decided (partition_decide.c): every dimension is split as the shard
// rules say by name; an op computes with its dimensions split that way, except where its layout rule demands
// otherwise; results come out so, partial over the axes of what was summed. Then, per rank coordinate, the
// graph is emitted with local sizes (partition_emit.c), and wherever what a value has differs from what a use
// needs, one conversion is inserted.
#ifndef XLM_PASS_PARTITION_H
#define XLM_PASS_PARTITION_H

#include "compiler/pass/layout.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_partition_options {
  xlm_mesh mesh;
  int zero;         // 0..3: optimizer state (1), gradients (2), parameters (3) split over the axis `dp`
  bool reduce_each; // zero >= 2: every microbatch reduces its gradients, whose sums are split, instead of one
                    // reduction per step
} xlm_partition_options;

// What does not fit: a user's mistake, to become a diagnostic at span (and other).
typedef struct xlm_partition_fault {
  bool conflict; // two dimensions on one axis; otherwise sizes
  const char *text, *help;
  xlm_span span, other;
} xlm_partition_fault;

typedef struct xlm_partitioning xlm_partitioning;

// Decides all layouts. NULL with *fault filled when the rules conflict or sizes do not fit the mesh.
xlm_partitioning *xlm_partition_decide(const xlm_graph *g, xlm_arena *a, const xlm_partition_options *o,
                                       xlm_partition_fault *fault);
// The graph of the rank at `coord`.
xlm_graph *xlm_partition_emit(const xlm_partitioning *p, const int32_t coord[XLM_MAX_AXES]);
// Two coordinates (of one stage) with the same signature have graphs that differ only in where their parts
// lie: they share a plan.
uint64_t xlm_partition_signature(const xlm_partitioning *p, const int32_t coord[XLM_MAX_AXES]);

#endif
