// The graph of one rank as it is emitted: nodes (partition_emit.c) and the conversions between them
// (partition_convert.c).
#ifndef XLM_PASS_PARTITION_EMIT_PRIV_H
#define XLM_PASS_PARTITION_EMIT_PRIV_H

#include "compiler/pass/partition_priv.h"

typedef struct xlm_converted {
  xlm_layout layout;
  xlm_phase phase;
  bool stays;  // for readers in later phases, too
  xlm_val val; // in the new graph
  struct xlm_converted *next;
} xlm_converted;

typedef struct xlm_parts {
  xlm_val *at;
  int n;
} xlm_parts;

typedef struct xlm_pieces { // a list of sizes of pieces, for reuse
  uint32_t whole, axes;
  xlm_ints sizes;
  struct xlm_pieces *next;
} xlm_pieces;

// The graph of one rank, as it is emitted.
typedef struct xlm_emitter {
  const xlm_partitioning *p;
  const int32_t *coord;
  xlm_graph *out;
  xlm_arena *a; // scratch
  xlm_build b;
  xlm_val *map;              // old value -> new, in layout have[old]
  xlm_converted **ready;     // old value -> other layouts of it
  const xlm_update **update; // by old value: the update of the state
  xlm_val *stored;           // by old value of a state: its new value, in the state's layout
  xlm_parts *parts;          // by old value: partial results of an additive operation
  xlm_pieces **pieces;       // by dim
} xlm_emitter;

// Dimension d, split over `axes`, of this rank.
xlm_dim xlm_partition_dim(xlm_emitter *e, xlm_dim d, uint32_t axes);
// The sizes of the pieces of all members when d, split over the axes `whole`, is split over `axes`, too.
xlm_ints xlm_partition_sizes(const xlm_emitter *e, xlm_dim d, uint32_t whole, uint32_t axes);

// The value `old` in this layout, in the graph of the rank: converted by slices and collectives unless it has
// the layout already or was converted to it.
xlm_val xlm_partition_convert(xlm_emitter *e, xlm_val old, const xlm_layout *want);
// Adds up `sum`, a part of the scalar `old`, over these axes.
xlm_val xlm_partition_complete(xlm_emitter *e, xlm_val old, xlm_val sum, uint32_t axes);

#endif
