// mean: a sum times 1 / n, where n is the product of the full (unsplit) sizes, so that the mean over a split
// dimension is a sum of parts.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, true)) return false;
  xlm_dim over[XLM_MAX_RANK];
  double count = 1;
  for (int n = xlm_attr_dims(&x->attrs, XLM_A_over, over); n-- > 0;)
    count *= (double)x->g->dims[over[n]].full;
  xlm_infer_set_float(x, XLM_A_scale, 1 / count);
  x->out[0] = xlm_rule_reduced(x, XLM_F32);
  return true;
}

static void grad(xlm_grad *g) {
  xlm_type like = *xlm_val_type(g->b->g, g->in[0]);
  double scale = xlm_attr_float(&xlm_node_at(g->b->g, g->node)->attrs, XLM_A_scale, 1);
  g->din[0] = xlm_rule_broadcast(g->b, xlm_scale(g->b, g->dout[0], scale), &like);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_mean = {
    .name = "mean",
    .facts = {.reduces = XLM_REDUCTION_MEAN, .linear = 1, .of_totals = true, .mixes = XLM_KEY(over)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}, {XLM_A_scale}),
    .layout = "[* over] -> [*] | over: sum",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`mean(x, over a, b)`: the mean over the named dimensions, over all of them when none is named. "
           "The result is f32. "
           "Example: `loss 0.001 * mean(square(logsumexp(logits, over experts)))`.",
};
