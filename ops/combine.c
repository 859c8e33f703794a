// combine: the weighted sum of the experts' rows of each token. Each token gathers its own rows, so the order
// of the sum is fixed and no atomics are needed; the positions of its rows depend on e alone
// (ops/moe_priv.h).
#include "ops/moe_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *ys = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 2);
  xlm_dim active, experts;
  if (!xlm_infer_is_float(x, 0) || !xlm_infer_is_float(x, 1) || !moe_active(x, 2, &active)) return false;
  if (!moe_packed(x, 0, e, &experts) || !shape_match(x, 1, e, "the weights")) return false;
  x->out[0] = shape_without(e, active);
  xlm_infer_set_dims(x, XLM_A_over, x->out[0].dim, x->out[0].rank);
  x->out[0].dtype = ys->dtype;
  for (int i = 2; i < ys->rank; i++)
    if (!shape_append(x, &x->out[0], ys->dim[i])) return false;
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0] && !x->need[1]) return;
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val in[] = {shape_dout(x, 0), x->in[0], x->in[1], x->in[2]};
  xlm_val dys = xlm_emit(x->b, XLM_OP_COMBINE_BWD, in, 4, &as);
  if (x->need[0]) x->din[0] = dys;
  if (x->need[1]) x->din[1] = dys + 1;
}

static void cost_of(const xlm_graph *g, xlm_node n, double per_element, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  xlm_val rows = node->in[node->op == XLM_OP_COMBINE ? 0 : 1];
  out->flops = per_element * (double)xlm_type_elements(xlm_val_type(g, rows), g->dims);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, 2, out);
}
static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, 3, out);
}

// A token sums its own rows.
static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  (void)g, (void)n, (void)sequence;
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

static const xlm_param params[] = {{"ys", XLM_P_TENSOR, 0, true},
                                   {"w", XLM_P_TENSOR, 0, true},
                                   {"e", XLM_P_TENSOR, 0, true},
                                   {"active", XLM_P_DIM, XLM_A_active, false},
                                   {0}};

const xlm_op xlm_op_combine = {
    .name = "combine",
    .facts = {.linear = 3,
              .index = 3,
              .index_into = XLM_A_experts,
              .mixes = XLM_KEY(over) | XLM_KEY(active) | XLM_KEY(experts) | XLM_KEY(routed)},
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_experts, XLM_IN(0), 1, 1},
              {XLM_A_active, XLM_IN(1), 1, 1}),
    .layout =
        "[experts routed *]+, [over active], [over active] -> [over *]+ | active: whole, experts: whole, "
        "routed: match "
        "over",
    .infer = infer,
    .reach = reach,
    .grad = grad,
    .cost = cost,
    .doc = "`combine(ys, w, e)`: for every token the sum over its choices of `w * (its row of ys)`: "
           "ys[experts, routed, "
           "hidden] as `dispatch(.., e)` laid it out, w and e [tokens .., active], the result [tokens .., "
           "hidden]. The sum "
           "is fp32, in the order of the choices.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *dout = xlm_infer_type(x, 0), *ys = xlm_infer_type(x, 1), *w = xlm_infer_type(x, 2),
                 *e = xlm_infer_type(x, 3);
  xlm_dim active, experts;
  if (!xlm_infer_is_float(x, 0) || !xlm_infer_is_float(x, 2) || !moe_active(x, 3, &active)) return false;
  if (!moe_packed(x, 1, e, &experts) || !shape_match(x, 2, e, "the weights")) return false;
  xlm_type want = shape_without(e, active);
  for (int i = 2; i < ys->rank; i++)
    if (!shape_append(x, &want, ys->dim[i])) return false;
  if (dout->rank != want.rank || memcmp(dout->dim, want.dim, want.rank * sizeof *want.dim))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 0, "the gradient %s must lie in memory as %s",
                          xlm_infer_dims_text(x, dout), xlm_infer_dims_text(x, &want));
  x->out[0] = *ys;
  x->out[1] = *w;
  return true;
}

const xlm_op xlm_op_combine_bwd = {
    .name = "combine_bwd",
    .facts = {.index = 4,
              .index_into = XLM_A_experts,
              .mixes = XLM_KEY(over) | XLM_KEY(active) | XLM_KEY(experts) | XLM_KEY(routed)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 4,
    .n_out = 2,
    XLM_TAKES({XLM_A_over, XLM_IN(2), 0, 8}, {XLM_A_experts, XLM_IN(1), 1, 1},
              {XLM_A_active, XLM_IN(2), 1, 1}),
    .layout = "[over *], [experts routed *]+, [over active], [over active] -> [experts routed *], [over "
              "active]+ | active: "
              "whole, experts: whole, routed: match over",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc = "Gradient of `combine` from (dout, ys, w, e): `dys = w * dout` at the row of each choice, and "
           "`dw`, the product of "
           "dout and that row summed over the hidden dimensions.",
};
