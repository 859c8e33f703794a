// Shared by the files of the pass incremental: what it has found and made so far.
#ifndef XLM_PASS_INCREMENTAL_PRIV_H
#define XLM_PASS_INCREMENTAL_PRIV_H

#include "compiler/ir/chunk.h"
#include "compiler/pass/incremental.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_cached { // a value of which earlier places are read
  int64_t places;           // how many; of the whole sequence at most
  uint32_t readers;         // operations that still read it
  xlm_val cache, x;         // once there is one: the state, and the chunk's rows, ..
  xlm_dim along;            // .. which are numbered by this
} xlm_cached;

typedef struct xlm_once { // a value that is computed once per sequence and read for each token
  xlm_node reader; // the first that does, ..
  int operand;     // .. by this operand; 0 and 0: not such a value
  xlm_val state;   // where it is kept, once there is one
} xlm_once;

typedef struct xlm_step {
  xlm_chunks all;
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  bool *live;         // by node
  bool *sequence;     // by dim
  bool *numbers;      // by dim: see xlm_chunks
  int64_t *before;    // by dim: see xlm_chunks
  bool *data;         // by value: depends on an input
  bool *along;        // by value: depends on something along the sequence
  bool *late;         // by value: an input whose tokens are given one place later
  xlm_once *once;     // by value
  bool any_once;
  xlm_val *map;       // value -> out's, of the chunk
  xlm_val *whole;     // value -> out's, of all places; 0: not needed
  xlm_cached *caches; // by value
  xlm_incremental_fault *fault;
} xlm_step;

// Fills `fault`; returns false.
bool xlm_step_refuse(xlm_step *s, xlm_span span, const char *text, const char *help);

// Finds the sequence, the dimensions made of it, the nodes to compute (once: those computed once per sequence),
// what they read of earlier places. false: refused.
bool xlm_step_find(xlm_step *s, bool once);

// Does the node read or give something that lies along the sequence?
bool xlm_step_touches(const xlm_step *s, const xlm_node_info *n);
bool xlm_step_lies_along(const xlm_step *s, const xlm_type *t);
// The dimension of places of a value; 0: none.
xlm_dim xlm_step_places(const xlm_step *s, const xlm_type *t);
// Back through second names of the sequence: the value that is cached.
xlm_val xlm_step_root(const xlm_step *s, xlm_val v);
// Is operand i indexed along the sequence, as learned positions by position numbers?
bool xlm_step_is_table(const xlm_step *s, const xlm_node_info *n, int i);
xlm_reach xlm_step_reach(const xlm_step *s, xlm_node n);
// The operand's name in the language: "k"; NULL: it has none.
const char *xlm_step_operand_name(const xlm_node_info *n, int i);

// ---- incremental_input.c

// The input's values in s->map. false: refused.
bool xlm_step_emit_input(xlm_step *s, xlm_node id);
// Marks s->late.
void xlm_step_find_late(xlm_step *s);
// Sets where in the dimensions of places the chunk begins, and how many of its rows count.
void xlm_step_make_places(xlm_step *s);
xlm_val xlm_step_counted_input(xlm_step *s, const char *name, xlm_input_role role);

// ---- incremental_last.c

// s->out with its outputs at the last place that counts; see xlm_incremental_options.last.
xlm_graph *xlm_step_at_last(const xlm_step *s);

// ---- incremental_once.c

// Marks s->once. false: refused.
bool xlm_step_find_once(xlm_step *s);
// Their states.
void xlm_step_make_once(xlm_step *s);
// The graph of what is computed once. false: there is nothing.
bool xlm_step_emit_once(xlm_step *s);

#endif
