// softmax: exp(x - max) / sum, and its gradient from the result: dx = y (dy - sum(dy y)).
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, false)) return false;
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_attr_list l = xlm_rule_over_of(g->b->g, g->node);
  xlm_type like = *xlm_val_type(g->b->g, g->out[0]);
  xlm_val dy = xlm_order_to(g->b, g->dout[0], &like);
  g->din[0] = xlm_emit(g->b, XLM_OP_SOFTMAX_BWD, (xlm_val[]){g->out[0], dy}, 2, &l);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = 5 * xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_softmax = {
    .name = "softmax",
    .facts = {.of_totals = true, .mixes = XLM_KEY(over)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}),
    .layout = "[* over] -> [* over] | over: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`softmax(x, over d)`: `e^(x - m) / sum(e^(x - m))` along the named dimensions (the last one when "
           "none is named), with "
           "`m` the largest element. Example: `softmax(router_logits, over experts)`.",
};

const xlm_op xlm_op_softmax_bwd = {
    .name = "softmax_bwd",
    .facts = {.mixes = XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_place = 3,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}),
    .layout = "[* over] [* over] -> [* over] | over: whole",
    .infer = infer,
    .cost = cost,
    .no_grad = "only first derivatives are defined",
    .doc = "`softmax_bwd(y, dy) = y (dy - sum(dy y))` along `over`, with `y` the softmax.",
};
