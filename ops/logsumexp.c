// logsumexp: log(sum(e^x)), stable. Its gradient is the softmax, emitted as e^(x - y) so that it can be
// fused.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, false)) return false;
  x->out[0] = xlm_rule_reduced(x, XLM_F32);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_val p = xlm_op1(g->b, XLM_OP_EXP, xlm_op2(g->b, XLM_OP_SUB, g->in[0], g->out[0]));
  g->din[0] = xlm_op2(g->b, XLM_OP_MUL, p, g->dout[0]);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = 4 * xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_logsumexp = {
    .name = "logsumexp",
    .facts = {.reduces = XLM_REDUCTION_LSE, .of_totals = true, .mixes = XLM_KEY(over)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 1, 8}),
    .layout = "[* over] -> [*] | over: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`logsumexp(x, over d) = m + log(sum(e^(x - m)))` along the named dimensions (the last one when "
           "none is named), with `m` "
           "the largest element. The result is f32. Example: the z-loss of a router, "
           "`mean(square(logsumexp(logits, over experts)))`.",
};
