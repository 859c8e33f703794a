// const: a number of the model text. Without dims it is a scalar and does not raise the precision of other
// operands.
#include "ops/rules_priv.h"

const xlm_op xlm_op_const = {
    .name = "const",
    .facts = {.leaf = XLM_LEAF_CONSTANT},
    .flags = XLM_OPF_INTERNAL,
    .n_out = 1,
    XLM_TAKES({XLM_A_value}, {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true}, {XLM_A_dtype, .may = true}),
    .layout = "-> [*]",
    .infer = xlm_rule_leaf,
    .no_grad = "a constant",
    .doc = "A number, or a tensor of equal numbers. In `x * 0.5` with a bf16 `x` the result stays bf16.",
};
