// rmsnorm: x / sqrt(mean(x^2) + eps), Zhang & Sennrich, "Root Mean Square Layer Normalization" (2019). The
// scale is an ordinary product after it. The backward op recomputes the statistic, since it reads the row
// anyway.
#include "ops/rules_priv.h"

static void grad(xlm_grad *g) {
  xlm_rule_norm_grad(g, XLM_OP_RMSNORM_BWD);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = 4 * xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"eps", XLM_P_FLOAT, XLM_A_eps, false},
                                   {"over", XLM_P_OVER, XLM_A_over, false},
                                   {0}};

const xlm_op xlm_op_rmsnorm = {
    .name = "rmsnorm",
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
    .doc = "`rmsnorm(x, eps, over d) = x / sqrt(mean(x^2) + eps)`, the mean over the named dimensions (the "
           "last one when none is "
           "named); `eps` is 1e-5 when not given. It has no parameters: `rmsnorm(x, eps) * scale` is the "
           "layer that Llama uses.",
};

const xlm_op xlm_op_rmsnorm_bwd = {
    .name = "rmsnorm_bwd",
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
    .doc = "`rmsnorm_bwd(x, dy) = r dy - r^3 x mean(x dy)` with `r = 1 / sqrt(mean(x^2) + eps)`.",
};
