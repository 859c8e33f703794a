// Decoding: the graph that computes some places of every sequence at a time, derived from the graph of all of
// it; see incremental.c.
#ifndef XLM_PASS_INCREMENTAL_H
#define XLM_PASS_INCREMENTAL_H

#include "compiler/pass/pass.h"

typedef struct xlm_incremental_options {
  int64_t places; // of every sequence, computed at a time: n; 0: what is computed once per sequence
  bool last;      // outputs have only the last place that counts, dimension `chunk.last`
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
//                 and their outputs have no meaning
//
// Where the model puts n places before the text (`xlm_incremental_prefix`), a sequence begins at -n: a chunk from a
// place below 0 on reads no tokens, none of its outputs has a meaning, and it ends before place 0.
//
// With `last` outputs along the n places have one, place count - 1 of the chunk, and what only they read is computed
// there alone; of a sequence with no valid place they have no meaning.
//
// What earlier places leave is in states `cache/NAME` of the role cache, whose names do not depend on n; zero
// before the first token. Losses, metrics and updates of states of the model are dropped.
//
// Ids of records along `seq`, as the target of a translation, are the tokens of the text: the input
// `decode/tokens`, role tokens. Where all operations `shift` them, place p is given the token of place p - 1, and
// at place 0 one that is not read: the model's own begin stands there.
//
// A value that depends on inputs, but on nothing along `seq`, is computed once per sequence, by the graph of 0
// places: it has the inputs that do not lie along `seq` and decode/count, whose rows above 0 are computed anew,
// and leaves what other values read in states `cache/NAME`, too, which the graphs of n places read.
//
// NULL: a value depends on later places, or is computed once for several sequences; *f says which. Of 0 places:
// also where nothing is computed once.
xlm_graph *xlm_pass_incremental(const xlm_graph *g, xlm_arena *a, const xlm_incremental_options *o,
                                xlm_incremental_fault *f);

// Places that the model puts before the text, such as those of an image; 0 also where the model cannot be computed
// token by token.
int64_t xlm_incremental_prefix(const xlm_graph *g, xlm_arena *scratch);

// Is something computed once per sequence? false also where the model cannot be computed token by token.
bool xlm_incremental_encodes(const xlm_graph *g, xlm_arena *scratch);

#endif
