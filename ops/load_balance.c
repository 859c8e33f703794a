// load_balance: the auxiliary loss that prevents a router from always choosing the same experts (Fedus et
// al., "Switch Transformers", with k choices). A composite of sums over tokens of counts and of
// probabilities, so it is split like any sum, and ranks exchange only two vectors with an element per expert.
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

static bool infer(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1);
  xlm_dim experts;
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the chosen experts")) return false;
  if (!find_experts(x, logits, e, &experts) || !shape_not_packed(x, 0, experts)) return false;
  x->out[0] = shape_scalar(shape_wide(logits->dtype));
  return true;
}

static xlm_val over(xlm_build *b, xlm_op_id op, xlm_val x, const xlm_type *dims) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, dims->dim, dims->rank);
  return xlm_emit(b, op, &x, 1, &l);
}

static xlm_val count(xlm_build *b, xlm_val e, xlm_dim experts) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_experts, &experts, 1);
  return xlm_emit(b, XLM_OP_EXPERT_COUNT, &e, 1, &l);
}

// A product of two sums over the tokens of a microbatch, which is the usual definition. The counts add up to
// k T, so their mean is k T / E; hence the graph does not depend on the batch size.
static xlm_val expand(xlm_build *b, const xlm_infer *x) {
  xlm_type logits = *xlm_infer_type(x, 0), experts = {.rank = 1, .dim = {shape_attr_dim(x, XLM_A_experts)}};
  xlm_type tokens = shape_without(&logits, experts.dim[0]);
  xlm_val wide = xlm_cast_to(b, x->in[0], shape_wide(logits.dtype));
  xlm_val p = over(b, XLM_OP_MEAN, over(b, XLM_OP_SOFTMAX, wide, &experts), &tokens);
  xlm_val c = count(b, x->in[1], experts.dim[0]);
  xlm_val sum = over(b, XLM_OP_SUM, xlm_op2(b, XLM_OP_MUL, c, p), &experts);
  return xlm_op1(b, XLM_OP_PER_MICROBATCH, xlm_op2(b, XLM_OP_DIV, sum, over(b, XLM_OP_MEAN, c, &experts)));
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
    .layout = "[over experts], [over *] -> []",
    .infer = infer,
    .expand = expand,
    .no_grad = "it is written in other operations, which have theirs",
    .doc = "`load_balance(logits, e)`: `E / (k T^2) * sum_i c_i * sum_t p_ti`, with p the softmax of the "
           "logits over the experts (fp32), c_i how often expert i was chosen, T tokens, k choices each, E "
           "experts. It is 1 when all experts are chosen equally often, and is computed per microbatch. The gradient flows through p only. Written as `c = "
           "expert_count(e)`, `sum(c * mean(p, over ..tokens)) / mean(c)`.",
};
