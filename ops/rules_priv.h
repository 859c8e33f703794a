// Shared by rule files: the inference of leaves, and of operations over a set of dimensions.
#ifndef XLM_OPS_RULES_PRIV_H
#define XLM_OPS_RULES_PRIV_H

#include "compiler/ir/op.h"

// Leaves: the attributes `dims` (default none: a scalar) and `dtype` (default f32) give the type.
bool xlm_rule_leaf(xlm_infer *x);

// The dims of `over`, sorted as operand 0 stores them; fills the attribute. As written; else, when
// `all_unset`, all dims of operand 0; else its last one. Fails on a dim the operand lacks, and on one of a
// ragged pair (experts, their rows) unless the op takes offsets and `over` has both.
bool xlm_rule_over(xlm_infer *x, bool all_unset);
// Operand 0's dims without `over`.
xlm_type xlm_rule_reduced(const xlm_infer *x, xlm_dtype dtype);

// A norm of rows, and its backward: `over`, `eps` (default 1e-5, not negative); the result is like operand 0.
bool xlm_rule_norm(xlm_infer *x);
// Its gradient: bwd(x, dy) with the same attributes.
void xlm_rule_norm_grad(xlm_grad *g, xlm_op_id bwd);

double xlm_rule_elements(const xlm_graph *g, xlm_val v);
// An attribute list with only `over` of node n.
xlm_attr_list xlm_rule_over_of(const xlm_graph *g, xlm_node n);
// x repeated to the dims of `like`, in its order: the inverse of a sum.
xlm_val xlm_rule_broadcast(xlm_build *b, xlm_val x, const xlm_type *like);

#endif
