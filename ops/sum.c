// sum: over named dimensions; of the ragged pair (experts, their rows) both or neither. The result is f32
// whatever the operand, since sums of many bf16 numbers would lose most of their precision.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  if (!xlm_rule_over(x, true)) return false;
  x->out[0] = xlm_rule_reduced(x, XLM_F32);
  return true;
}

static bool over_rows(const xlm_graph *g, const xlm_type *t, xlm_node n) { // sums the packed rows of experts
  for (int i = 0; i < t->rank; i++)
    if (g->dims[t->dim[i]].ragged && xlm_attr_has_dim(&xlm_node_at(g, n)->attrs, XLM_A_over, t->dim[i]))
      return true;
  return false;
}

static void grad(xlm_grad *g) {
  xlm_type like = *xlm_val_type(g->b->g, g->in[0]);
  if (over_rows(g->b->g, &like,
                g->node)) { // only elementwise functions broadcast along rows: multiply by 1, in x's shape
    xlm_val ones = xlm_op2(g->b, XLM_OP_EQ, g->in[0], g->in[0]);
    g->din[0] = xlm_op2(g->b, XLM_OP_MUL, ones, g->dout[0]);
    return;
  }
  g->din[0] = xlm_rule_broadcast(g->b, g->dout[0], &like);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->in[0]);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_over, false}, {0}};

const xlm_op xlm_op_sum = {
    .name = "sum",
    .facts = {.reduces = XLM_REDUCTION_SUM, .linear = 1, .of_totals = true, .mixes = XLM_KEY(over)},
    .flags = XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}),
    .layout = "[* over] -> [*] | over: sum, *: linear",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`sum(x, over a, b)`: the sum over the named dimensions, over all of them when none is named. The "
           "result is f32. "
           "Summation is blocked, so the error grows with the logarithm of the length, and its order does "
           "not depend on the "
           "number of threads. Example: `sum(w, over active)`.",
};
