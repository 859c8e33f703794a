// param: a trained tensor. rules.c has the common inference of leaves.
#include "ops/rules_priv.h"

const xlm_op xlm_op_param = {
    .name = "param",
    .facts = {.leaf = XLM_LEAF_PARAMETER},
    .flags = XLM_OPF_INTERNAL,
    .n_out = 1,
    XLM_TAKES({XLM_A_name}, {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true}, {XLM_A_dtype, .may = true},
              {XLM_A_split, XLM_OUT(0), .may = true}, {XLM_A_init, .may = true, .without = "zeros"}),
    .layout = "-> [*]",
    .infer = xlm_rule_leaf,
    .doc = "A trained tensor, declared as `param w[hidden, ffn] ~ normal(0.02)`. Its first values are drawn "
           "from a counter-based "
           "generator keyed by the seed, the parameter's full name and the element's index, so they do not "
           "depend on the layout.",
};
