// The parts of the graph's verifier.
#ifndef XLM_IR_VERIFY_PRIV_H
#define XLM_IR_VERIFY_PRIV_H

#include "compiler/ir/op.h"
#include "runtime/base/text.h"
#include "runtime/plan/code.h"

typedef struct verifier {
  const xlm_graph *g;
  xlm_arena *arena;
  xlm_graph scratch; // the copy that inference runs on
  xlm_val defined;   // values below are defined
  xlm_val *memory;   // the value whose memory this value uses (views); itself otherwise
  xlm_node *gone;    // by memory: the node that updated it in place
  const char *text;  // the result
} verifier;

// Stores the sentence. Returns false.
bool xlm_graph_broken(verifier *v, const char *fmt, ...) XLM_PRINTF(2, 3);

// verify_node.c. In the order of the graph; fills memory and gone.
bool xlm_graph_verify_nodes(verifier *v);
// Has a node updated the memory of val in place?
bool xlm_graph_is_stale(verifier *v, xlm_val val);

#endif
