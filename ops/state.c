// state: a value that persists between steps and is not a parameter of the model.
#include "ops/rules_priv.h"

const xlm_op xlm_op_state = {
    .name = "state",
    .facts = {.leaf = XLM_LEAF_STATE},
    .flags = XLM_OPF_INTERNAL,
    .n_out = 1,
    XLM_TAKES({XLM_A_name}, {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true}, {XLM_A_dtype, .may = true},
              {XLM_A_split, XLM_OUT(0), .may = true}, {XLM_A_init, .may = true, .without = "zeros"},
              {XLM_A_role, .may = true, .unset = XLM_ROLE_STATE}),
    .layout = "-> [*]",
    .infer = xlm_rule_leaf,
    .no_grad = "a state is not trained",
    .doc = "A tensor that lives between steps: accumulated gradients, optimizer moments, router biases. Ops "
           "such as "
           "`accumulate`, `adamw` and `assign` update it in place.",
};
