// layernorm: (x - mean) / sqrt(variance + eps), Ba et al., "Layer Normalization" (2016). Scale and bias are
// ordinary operations after it. The backward op recomputes the statistics, since it reads the row anyway.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, false)) return false;
  double eps = xlm_attr_float(&x->attrs, XLM_A_eps, 1e-5);
  if (!(eps >= 0))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "the eps of `%s` is %g; it must not be negative",
                          x->op->name, eps);
  xlm_infer_set_float(x, XLM_A_eps, eps);
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_attr_list l = xlm_rule_over_of(g->b->g, g->node);
  xlm_attr_put_float(&l, XLM_A_eps, xlm_attr_float(&xlm_node_at(g->b->g, g->node)->attrs, XLM_A_eps, 1e-5));
  xlm_type like = *xlm_val_type(g->b->g, g->in[0]);
  xlm_val dy = xlm_order_to(g->b, g->dout[0], &like);
  g->din[0] = xlm_emit(g->b, XLM_OP_LAYERNORM_BWD, (xlm_val[]){g->in[0], dy}, 2, &l);
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
    .infer = infer,
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
    .infer = infer,
    .cost = cost,
    .no_grad = "only first derivatives are defined",
    .doc = "`layernorm_bwd(x, dy) = r (dy - mean(dy) - h mean(dy h))` with `h` the normalised `x` and `r = 1 "
           "/ sqrt(variance + eps)`.",
};
