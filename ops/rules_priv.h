// What several rule files of ops/ share: the inference of leaves, and of operations over a set of dimensions.
#ifndef XLM_OPS_RULES_PRIV_H
#define XLM_OPS_RULES_PRIV_H

#include "compiler/ir/op.h"

// Leaves: the type stands in the attributes `dims` (default none: a scalar) and `dtype` (default f32).
bool xlm_rule_leaf(xlm_infer *x);

// The dims of `over` (sorted as operand 0 stores them; fills the attribute): as written; else, when
// `all_unset`, all dims of operand 0; else its last one. Fails on a dim the operand lacks, and on
// one of a ragged pair (experts, their rows) unless the op takes offsets and `over` holds both.
bool xlm_rule_over(xlm_infer *x, bool all_unset);
// Operand 0's dims without `over`.
xlm_type xlm_rule_reduced(const xlm_infer *x, xlm_dtype dtype);

double xlm_rule_elements(const xlm_graph *g, xlm_val v);
// A list of attributes holding only `over` of node n.
xlm_attr_list xlm_rule_over_of(const xlm_graph *g, xlm_node n);
// x repeated to the dims of `like`, in its order: what undoes a sum.
xlm_val xlm_rule_broadcast(xlm_build *b, xlm_val x, const xlm_type *like);

#endif
