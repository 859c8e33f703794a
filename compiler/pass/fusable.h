// Which nodes can be part of a `fused` program (runtime/plan/code.h).
#ifndef XLM_PASS_FUSABLE_H
#define XLM_PASS_FUSABLE_H

#include "compiler/ir/graph.h"
#include "runtime/plan/mesh.h"

typedef enum xlm_fusable_kind {
  XLM_FUSABLE_NOT,
  XLM_FUSABLE_ELEMENTS, // a function of elements
  XLM_FUSABLE_ROWS,     // a function of rows: along the last dims of its operands
  XLM_FUSABLE_SUM,      // the sum over all dims but those of the row: a result that is summed
} xlm_fusable_kind;

typedef struct xlm_fusable {
  xlm_fusable_kind kind;
  uint8_t row;           // dims of a row; 0: functions of elements
  const xlm_type *space; // the dims of the program; NULL: NOT
} xlm_fusable;

// By the structure alone: the decision is that of all ranks.
xlm_fusable xlm_fusable_of(const xlm_graph *g, const xlm_node_info *n);
// Are its rows of a size that programs can have, on every rank of the mesh? So this decision is that of all
// ranks, too. NULL: there is one.
bool xlm_fusable_fits(const xlm_graph *g, const xlm_mesh *mesh, const xlm_fusable *f);
bool xlm_same_dims(const xlm_type *a, const xlm_type *b); // and their order

#endif
