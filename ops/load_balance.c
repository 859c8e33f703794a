// load_balance: the auxiliary loss that keeps a router from always choosing the same experts (Fedus et al.,
// "Switch Transformers", with k choices). The counts carry no gradient; the softmax of the logits does.
#include "ops/moe_priv.h"

static bool find_experts(xlm_infer *x, const xlm_type *logits, const xlm_type *e, xlm_dim *experts) {
  *experts = shape_attr_dim(x, XLM_A_experts);
  xlm_type extra = shape_minus(logits, e);
  if (!*experts && extra.rank == 1) *experts = extra.dim[0];
  if (!*experts || extra.rank != 1 || extra.dim[0] != *experts || shape_minus(e, logits).rank != 1)
    return xlm_infer_fail(
        x, XLM_FAULT_DIM_MISMATCH, 1,
        "the logits %s must have the tokens' dimensions and the experts, the choices %s the same "
        "tokens' dimensions and one more",
        xlm_infer_dims_text(x, logits), xlm_infer_dims_text(x, e));
  xlm_infer_set_dims(x, XLM_A_experts, experts, 1);
  return true;
}

// E / (k T^2), from the logical sizes.
static double factor(const xlm_infer *x, const xlm_type *logits, const xlm_type *e, xlm_dim experts) {
  double tokens = moe_full(x, logits) / (double)x->g->dims[experts].full;
  return (double)x->g->dims[experts].full / (moe_full(x, e) * tokens);
}

static bool infer(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1);
  xlm_dim experts;
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the chosen experts")) return false;
  if (!find_experts(x, logits, e, &experts) || !shape_not_packed(x, 0, experts)) return false;
  xlm_type tokens = shape_without(logits, experts);
  xlm_infer_set_dims(x, XLM_A_over, tokens.dim, tokens.rank);
  if (!xlm_attr_find(&x->attrs, XLM_A_scale))
    xlm_infer_set_float(x, XLM_A_scale, factor(x, logits, e, experts));
  x->out[0] = shape_scalar(shape_wide(logits->dtype));
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val in[] = {x->in[0], x->in[1], x->dout[0]};
  x->din[0] = xlm_emit(x->b, XLM_OP_LOAD_BALANCE_BWD, in, 3, &as);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = 6.0 * (double)xlm_type_elements(xlm_val_type(g, xlm_node_at(g, n)->in[0]), g->dims);
}

static const xlm_param params[] = {{"logits", XLM_P_TENSOR, 0, true},
                                   {"e", XLM_P_TENSOR, 0, true},
                                   {"experts", XLM_P_DIM, XLM_A_experts, false},
                                   {0}};

const xlm_op xlm_op_load_balance = {
    .name = "load_balance",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .params = params,
    .layout = "[over experts], [over *] -> [] | over: whole, experts: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`load_balance(logits, e)`: `E / (k T^2) * sum_i c_i * sum_t p_ti`, with p the softmax of the "
           "logits over the "
           "experts (fp32), c_i how often expert i was chosen, T tokens, k choices each, E experts. 1 when "
           "all is even. "
           "Gradient to the logits, through p only.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1), *dloss = xlm_infer_type(x, 2);
  xlm_dim experts;
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the chosen experts")) return false;
  if (!find_experts(x, logits, e, &experts)) return false;
  if (dloss->rank || !xlm_infer_is_float(x, 2))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 2, "the gradient of the loss must be a scalar");
  if (!xlm_attr_find(&x->attrs, XLM_A_scale))
    xlm_infer_set_float(x, XLM_A_scale, factor(x, logits, e, experts));
  x->out[0] = *logits;
  return true;
}

const xlm_op xlm_op_load_balance_bwd = {
    .name = "load_balance_bwd",
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .layout = "[over experts], [over *], [] -> [over experts] | over: whole, experts: whole",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost,
    .doc = "Gradient of `load_balance` to the logits: `dloss * E / (k T^2) * p_ti * (c_i - sum_j c_j p_tj)`.",
};
