// Heads: the product that makes logits, the loss on them, and the gradients of both.
//
// The members of a head are the product, the nodes that read a value as large as the logits, and all nodes
// between two of them. Along a dimension of rows (tokens), every member is evaluated row by row or sums over
// the rows, and no member reads such a sum. So a head can be evaluated for a part of the rows at a time.
#ifndef XLM_PASS_HEAD_H
#define XLM_PASS_HEAD_H

#include "compiler/pass/pass_priv.h"

typedef struct xlm_head {
  xlm_val logits;
  xlm_dim vocab;        // of the logits
  bool *member;         // by node
  xlm_node first, last; // members
  int n_rows;
  xlm_dim rows[XLM_MAX_RANK]; // along each of which it can be divided, outermost first
  struct xlm_head *next;
} xlm_head;

// The heads of g in execution order, without common nodes; NULL: none.
xlm_head *xlm_heads_find(const xlm_graph *g, xlm_arena *a);
// Is result v a sum over the rows d?
static inline bool xlm_head_sums(const xlm_graph *g, xlm_val v, xlm_dim d) {
  return xlm_type_find(xlm_val_type(g, v), d) < 0;
}

#endif
