// Decoding: operations on a chunk of a sequence, n of its places from some place on, instead of all of it.
// See compiler/pass/incremental.h; a rule file defines `reach` and `chunk` of its xlm_op with these.
//
// Every sequence of the batch has its own place: row i of a chunk is place start[batch] + i. The first
// count[batch] rows are valid; those behind are padding, which must not change a state.
//
// Where the model puts values before the text, such as the features of an image (concat), the text's places are
// 0, 1, .. of `seq`, and what stands before it has the places -prefix .. -1. In a dimension that has both, place p is
// at prefix + p. No chunk has places of both, and in one of the prefix the dimensions without it have no valid rows.
#ifndef XLM_IR_CHUNK_H
#define XLM_IR_CHUNK_H

#include "compiler/ir/op.h"

typedef struct xlm_chunks { // what is common to all nodes
  const xlm_graph *g;       // the model's
  xlm_build b;              // of the graph of a chunk, whose first dimensions are those of g
  xlm_arena *arena;
  xlm_dim seq, chunk, batch; // the sequence in g, its places here, and the dimension before it
  const bool *sequence;      // [g's dims]: see xlm_op.reach
  const int64_t *before;     // [g's dims]: its places before those of the text, 0 or `prefix`; -1: it has no places
  const bool *numbers;       // [g's dims]: is it the sequence, or what an operation makes of it by `places`?
  xlm_dim joined;            // the first of them that has a prefix, in g; 0: none
  xlm_dim *dim;              // [g's dims]: what a dimension derived from the sequence is here; 0: nothing yet
  xlm_val *positions;        // [g's dims]: i32 [batch, dim]: the places; 0: not needed yet
  xlm_val start[2], count[2]; // i32 [batch]: of the text; with the prefix, where there is one
} xlm_chunks;

typedef struct xlm_chunk { // one node
  xlm_chunks *all;
  xlm_build *b;
  xlm_node node; // in all->g
  int n_in;
  const xlm_val *in; // its operands here. One that is cached: along xlm_chunk_along
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
// The dimension that caches and what reads them have in the place of d, which is one here: the chunk, or with a prefix
// what is made of the first that has one.
xlm_dim xlm_chunk_along(const xlm_chunks *all, xlm_dim d);
// Of the dimension d here: the place of the first row, how many count; i32 [batch].
xlm_val xlm_chunk_start(const xlm_chunks *all, xlm_dim d);
xlm_val xlm_chunk_count(const xlm_chunks *all, xlm_dim d);
// i32 [batch, d]: the place of each row.
xlm_val xlm_chunk_positions(xlm_chunks *all, xlm_dim d);
// v with another name of the dimension `from`; v itself where it has none of that name, or it is the same.
xlm_val xlm_chunk_renamed(xlm_chunks *all, xlm_val v, xlm_dim from, xlm_dim to);
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
