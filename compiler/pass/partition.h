// Partition: turns the logical train graph into the graph of one rank.
//
// First, layouts are decided once for all ranks (partition_decide.c): every dimension is split as the shard
// rules say by name; an op computes with its dimensions split that way, unless its layout rule demands
// otherwise; its results have that layout and are partial over the axes of summed dimensions. Then, per rank
// coordinate, the graph is emitted with local sizes (partition_emit.c), with a conversion wherever the layout
// of a value differs from the one its use needs.
#ifndef XLM_PASS_PARTITION_H
#define XLM_PASS_PARTITION_H

#include "compiler/pass/layout.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_partition_options {
  xlm_mesh mesh;
  int zero;         // 0..3: optimizer state (1), gradients (2), parameters (3) split over the axis `dp`
  bool reduce_each; // zero >= 2: gradients are reduced in every microbatch and their sums are split, instead
                    // of one reduction per step
} xlm_partition_options;

// A user's mistake, to be reported as a diagnostic at span (and other).
typedef struct xlm_partition_fault {
  bool conflict; // two dimensions on one axis; otherwise sizes
  const char *text, *help;
  xlm_span span, other;
} xlm_partition_fault;

typedef struct xlm_partitioning xlm_partitioning;

// Decides all layouts. NULL with *fault filled when the rules conflict or sizes do not fit the mesh.
xlm_partitioning *xlm_partition_decide(const xlm_graph *g, xlm_arena *a, const xlm_partition_options *o,
                                       xlm_partition_fault *fault);
void xlm_partition_free(xlm_partitioning *p); // before the end of `a`
// The graph of the rank at `coord`. Scratch in a.
xlm_graph *xlm_partition_emit(const xlm_partitioning *p, xlm_arena *a, const int32_t coord[XLM_MAX_AXES]);
// Coordinates (of one stage) with equal signatures have graphs that differ only in offsets: they share a
// plan.
uint64_t xlm_partition_signature(const xlm_partitioning *p, const int32_t coord[XLM_MAX_AXES]);

#endif
