// layernorm: (x - mean) / sqrt(variance + eps), Ba et al., "Layer Normalization" (2016). Scale and bias are
// ordinary operations after it. The backward op recomputes the statistics, since it reads the row anyway.
#include "ops/rules_priv.h"

static void grad(xlm_grad *g) {
  xlm_rule_norm_grad(g, XLM_OP_LAYERNORM_BWD);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = 7 * xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"eps", XLM_P_FLOAT, XLM_A_eps, false},
                                   {"over", XLM_P_OVER, XLM_A_over, false},
                                   {0}};

const xlm_op xlm_op_layernorm = {
    .name = "layernorm",
    .facts = {.mixes = XLM_KEY(over)},
    .flags = XLM_OPF_ROWS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}, {XLM_A_eps, .low = 0, .high = 1}),
    .layout = "[* over] -> [* over] | over: whole",
    .infer = xlm_rule_norm,
    .grad = grad,
    .cost = cost,
    .doc = "`layernorm(x, eps, over d) = (x - mean(x)) / sqrt(variance(x) + eps)` over the named dimensions "
           "(the last one when none "
           "is named); the variance divides by n; `eps` is 1e-5 when not given. It has no parameters: "
           "`layernorm(x, eps) * scale + "
           "bias` is the layer that GPT-2 uses.",
};

const xlm_op xlm_op_layernorm_bwd = {
    .name = "layernorm_bwd",
    .facts = {.mixes = XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_ROWS,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_place = 3,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}, {XLM_A_eps, .low = 0, .high = 1}),
    .layout = "[* over] [* over] -> [* over] | over: whole",
    .infer = xlm_rule_norm,
    .cost = cost,
    .no_grad = "only first derivatives are defined",
    .doc = "`layernorm_bwd(x, dy) = r (dy - mean(dy) - h mean(dy h))` with `h` the normalised `x` and `r = 1 "
           "/ sqrt(variance + eps)`.",
};
