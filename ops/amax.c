// amax: the maximum along dimensions. Of several equal maxima, the first in storage order gets the gradient.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, true)) return false;
  x->out[0] = xlm_rule_reduced(x, xlm_infer_type(x, 0)->dtype);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_attr_list l = xlm_rule_over_of(g->b->g, g->node);
  xlm_type like = *xlm_val_type(g->b->g, g->out[0]);
  xlm_val dy = xlm_order_to(g->b, g->dout[0], &like);
  g->din[0] = xlm_emit(g->b, XLM_OP_AMAX_BWD, (xlm_val[]){g->in[0], dy}, 2, &l);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static bool infer_bwd(xlm_infer *x) {
  if (!xlm_rule_over(x, true)) return false;
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_amax = {
    .name = "amax",
    .facts = {.reduces = XLM_REDUCTION_MAX, .of_totals = true, .mixes = XLM_KEY(over)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}),
    .layout = "[* over] -> [*] | over: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`amax(x, over a, b)`: the largest element along the named dimensions, of all when none is named. "
           "The gradient goes to "
           "the first largest element. For the larger of two tensors see `max`.",
};

const xlm_op xlm_op_amax_bwd = {
    .name = "amax_bwd",
    .facts = {.mixes = XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}),
    .layout = "[* over] [*] -> [* over] | over: whole",
    .infer = infer_bwd,
    .cost = cost,
    .no_grad = "only first derivatives are defined",
    .doc = "`amax_bwd(x, dy)`: `dy` at the first largest element of `x` along `over`, 0 elsewhere.",
};
