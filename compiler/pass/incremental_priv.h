// Shared by the files of the pass incremental: what it has found and made so far.
#ifndef XLM_PASS_INCREMENTAL_PRIV_H
#define XLM_PASS_INCREMENTAL_PRIV_H

#include "compiler/ir/chunk.h"
#include "compiler/pass/incremental.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_cached { // a value of which earlier places are read
  int64_t places;           // how many; of the whole sequence at most
  uint32_t readers;         // operations that still read it
  xlm_val cache, x;         // once there is one: the state, and the chunk's rows
} xlm_cached;

typedef struct xlm_step {
  xlm_chunks all;
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  bool *live;         // by node
  bool *sequence;     // by dim
  bool *data;         // by value: depends on an input
  xlm_val *map;       // value -> out's, of the chunk
  xlm_val *whole;     // value -> out's, of all places; 0: not needed
  xlm_cached *caches; // by value
  xlm_incremental_fault *fault;
} xlm_step;

// Fills `fault`; returns false.
bool xlm_step_refuse(xlm_step *s, xlm_span span, const char *text, const char *help);

// Finds the sequence, the dimensions made of it, the nodes to compute, what they read of earlier places.
// false: refused.
bool xlm_step_find(xlm_step *s);

bool xlm_step_lies_along(const xlm_step *s, const xlm_type *t);
// Back through second names of the sequence: the value that is cached.
xlm_val xlm_step_root(const xlm_step *s, xlm_val v);
// Is operand i indexed along the sequence, as learned positions by position numbers?
bool xlm_step_is_table(const xlm_step *s, const xlm_node_info *n, int i);
xlm_reach xlm_step_reach(const xlm_step *s, xlm_node n);

#endif
