// Helpers shared by passes: copying nodes and lists from one graph to the next, and dropping unused nodes.
#ifndef XLM_PASS_PASS_PRIV_H
#define XLM_PASS_PASS_PRIV_H

#include "compiler/ir/op.h"
#include "compiler/pass/pass.h"

// Appends a copy of node n of `from` to `to`, including its types; nothing is inferred again, so the new
// operands must have the types of the old ones. Operands and offsets are read[old]; write[old] becomes the
// new value. Returns the new node.
xlm_node xlm_copy_node(xlm_graph *to, const xlm_graph *from, xlm_node n, const xlm_val *read, xlm_val *write);
// The same with its operands given, in b's phase and context. Returns the first result.
xlm_val xlm_copy_with(xlm_build *b, const xlm_graph *from, xlm_node n, const xlm_val *in);
// A node's attributes, with dimension `to` in the place of `from`.
xlm_attr_list xlm_attrs_with(xlm_arena *a, const xlm_attrs *as, xlm_dim from, xlm_dim to);
void xlm_copy_list(xlm_graph *to, xlm_vals *into, const xlm_vals *list, const xlm_val *map);
void xlm_copy_updates(xlm_graph *to, const xlm_graph *from, const xlm_val *map);
// All lists and the updates, of values that stand for the old ones: the end of most passes.
void xlm_copy_ends(xlm_graph *to, const xlm_graph *from, const xlm_val *map);

// Removes the nodes on which no output, metric, loss or update depends from a graph under construction.
void xlm_drop_dead(xlm_graph *g, xlm_arena *scratch);

static inline bool xlm_is_leaf(const xlm_node_info *n) {
  return xlm_op_is_leaf(n->op);
}
static inline bool xlm_casts_parameter(const xlm_graph *g, const xlm_node_info *n) {
  return xlm_op_casts(n->op) && xlm_node_is(xlm_val_node(g, n->in[0]), XLM_LEAF_PARAMETER);
}
static inline bool xlm_is_view(const xlm_node_info *n) {
  return xlm_op_at(n->op)->flags & XLM_OPF_VIEW;
}
bool xlm_same_type(const xlm_type *a, const xlm_type *b); // element type, dims and their order
xlm_val xlm_view_root(const xlm_graph *g, xlm_val v);     // follows views back to the value they show

#endif
