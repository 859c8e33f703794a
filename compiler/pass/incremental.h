// Decoding: the graph that computes some places of every sequence at a time, derived from the graph of all of
// it; see incremental.c.
#ifndef XLM_PASS_INCREMENTAL_H
#define XLM_PASS_INCREMENTAL_H

#include "compiler/pass/pass.h"

typedef struct xlm_incremental_options {
  int64_t places; // of every sequence, computed at a time: n
} xlm_incremental_options;

typedef struct xlm_incremental_fault { // why the model cannot be computed token by token
  xlm_span span;                       // the operation; empty: the model as a whole
  const char *text, *help;
} xlm_incremental_fault;

// Model graph -> step graph: the outputs that lie along the sequence, dimension `seq`, at n of its places.
// These are the dimension `chunk`. Inputs, besides those of the model that lie along `seq`:
//
//   decode/start  i32 [batch], role start: the place in its sequence of a chunk's first token
//   decode/count  i32 [batch], role count: how many of the n places are valid; the others change no state,
//   and their
//                 outputs have no meaning
//
// What earlier places leave is in states `cache/NAME` of the role cache, whose names do not depend on n; zero
// before the first token. Losses, metrics and updates of states of the model are dropped. NULL: a value
// depends on later places, or on an input that does not lie along the sequence; *f says which.
xlm_graph *xlm_pass_incremental(const xlm_graph *g, xlm_arena *a, const xlm_incremental_options *o,
                                xlm_incremental_fault *f);

#endif
