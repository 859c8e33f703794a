// Decoding: operations on a chunk of a sequence, n of its places from some place on, instead of all of it.
// See compiler/pass/incremental.h; a rule file defines `reach` and `chunk` of its xlm_op with these.
//
// Every sequence of the batch has its own place: row i of a chunk is place start[batch] + i. The first
// count[batch] rows are valid; those behind are padding, which must not change a state.
#ifndef XLM_IR_CHUNK_H
#define XLM_IR_CHUNK_H

#include "compiler/ir/op.h"

typedef struct xlm_chunks { // what is common to all nodes
  const xlm_graph *g;       // the model's
  xlm_build b;              // of the graph of a chunk, whose first dimensions are those of g
  xlm_arena *arena;
  xlm_dim seq, chunk, batch; // the sequence in g, its places here, and the dimension before it
  const bool *sequence;      // [g's dims]: see xlm_op.reach
  xlm_dim *dim;              // [g's dims]: what a dimension derived from the sequence is here; 0: nothing yet
  xlm_val start, count;      // i32 [batch]
  xlm_val positions;         // i32 [batch, chunk]: the places; 0: not needed yet
} xlm_chunks;

typedef struct xlm_chunk { // one node
  xlm_chunks *all;
  xlm_build *b;
  xlm_node node; // in all->g
  int n_in;
  const xlm_val *in; // its operands here. One that is cached: as before renames of the sequence
  const xlm_val
      *cache; // by operand: its earlier places as they were before the chunk (ops/cache_put.c); 0: not cached
  bool late;                // row i of operand 0 is that of place start + i - 1, zero before the first
  xlm_attr_list attrs;      // of the node, with the dimensions that they are here
  xlm_val *out;             // set by the rule: a value for each result
  const char *wrong, *help; // set by the rule where it is not possible; wrong follows the operation's name
} xlm_chunk;

const xlm_node_info *xlm_chunk_node(const xlm_chunk *c);
// The operation `op` on c's operands with attributes l; sets `out`, or `wrong`.
void xlm_chunk_emit(xlm_chunk *c, xlm_op_id op, const xlm_val *in, int n_in, const xlm_attr_list *l);
xlm_val xlm_chunk_positions(xlm_chunks *all); // i32 [batch, chunk]: the place of each row
// v with the batch before the dimension d of its places, as caches have it.
xlm_val xlm_chunk_rows(xlm_chunks *all, xlm_val v, xlm_dim d);
// What dimension d of the model is here, `size` elements: made at first use.
xlm_dim xlm_chunk_dim(xlm_chunks *all, xlm_dim d, int64_t size);
// The dimension of operand i's cache that numbers places.
xlm_dim xlm_chunk_past(const xlm_chunk *c, int i);
// What node n keeps, a state of this type that begins at zero; `what`: see xlm_chunk_name. A rule that
// updates it itself says so with xlm_graph_update.
xlm_val xlm_chunk_state(xlm_chunks *all, xlm_node n, const char *what, const xlm_type *type);
// A ring (ops/cache_put.c) of the last `places` rows, which are of this type and numbered by dimension d; and
// the chunk's valid rows stored in it, after its last reader.
xlm_val xlm_chunk_ring(xlm_chunks *all, xlm_node n, const char *what, const xlm_type *rows, xlm_dim d,
                       int64_t places);
void xlm_chunk_store(xlm_chunks *all, xlm_val ring, xlm_val rows, xlm_dim d);
// A new name of a state, "cache/SCOPE.WHAT", for what node n keeps; `what`: NULL: the operation's name.
const char *xlm_chunk_name(const xlm_chunks *all, xlm_node n, const char *what);

// What a node is along the sequence: its rule's `reach`, or the default.
xlm_reach xlm_node_reach(const xlm_graph *g, xlm_node n, const bool *sequence);

#endif
