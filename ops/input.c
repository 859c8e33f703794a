// input: data of the step.
#include "ops/rules_priv.h"

const xlm_op xlm_op_input = {
    .name = "input",
    .facts = {.leaf = XLM_LEAF_INPUT},
    .flags = XLM_OPF_INTERNAL,
    .n_out = 1,
    XLM_TAKES({XLM_A_name, .may = true}, {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true},
              {XLM_A_vocab, XLM_ANYWHERE, 1, 1, .may = true}, {XLM_A_dtype, .may = true},
              {XLM_A_feed, .may = true, .unset = XLM_INPUT_TOKENS},
              {XLM_A_source, .may = true, .without = "`tokens`"},
              {XLM_A_start, .low = 0, .high = XLM_ATTR_MOST, .may = true},
              {XLM_A_split, XLM_OUT(0), .may = true}),
    .layout = "-> [*]",
    .infer = xlm_rule_leaf,
    .no_grad = "inputs are data",
    .doc = "Data of the step, declared as `input tokens[batch, seq] of vocab` or `input image[batch, rows, "
           "columns] "
           "from image`: ids (i32), other numbers (f32), or one of the step's scalars such as the learning "
           "rate.",
};
