// argmax: the index of the largest element along a dimension. Several ranks that have parts of it compute on
// all of it: only its operand is gathered.
#include "ops/rules_priv.h"
#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  if (!shape_single(x, XLM_A_over) || !xlm_rule_over(x, false)) return false;
  x->out[0] = xlm_rule_reduced(x, XLM_I32);
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_argmax = {
    .name = "argmax",
    .facts = {.mixes = XLM_KEY(over)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 1}),
    .layout = "[* over] -> [*] | over: whole",
    .infer = infer,
    .cost = cost,
    .no_grad = "its derivative is 0 wherever it exists",
    .doc =
        "`argmax(x, over d)`: the index of the largest element along `d` (default: the last dimension), as "
        "an "
        "integer; of equal ones the first. What is not a number counts as the smallest. No gradient passes. "
        "`top_k` gives several, with their values.",
};
