// dispatch: copies every token's row once for each expert it chose, sorted by expert; no token is dropped.
// combine is its counterpart. `routed`, the dimension of one expert's rows, is ragged: the second result has
// the offset of each expert's rows. Its size bounds their total: tokens times choices.
#include "ops/moe_priv.h"

// The ragged dimension for this many rows: `routed`, or `routed.1`, .. if the name exists with another size.
static xlm_dim routed_dim(xlm_infer *x, int64_t size, int64_t full) {
  xlm_graph *g = x->g;
  for (int i = 0;; i++) {
    const char *name = i ? xlm_arena_printf(g->arena, "routed.%d", i) : "routed";
    xlm_dim d = xlm_graph_dim_find(g, name, 0);
    if (!d)
      return xlm_graph_dim_add(g, (xlm_dim_info){.name = name, .size = size, .full = full, .ragged = true});
    if (g->dims[d].ragged && g->dims[d].size == size && g->dims[d].full == full) return d;
  }
}

// Choices per token: the attribute, else the one dimension of e that x lacks.
static bool find_active(xlm_infer *x, xlm_dim *active) {
  const xlm_type *t = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1);
  xlm_type extra = shape_minus(e, t);
  xlm_dim named = shape_attr_dim(x, XLM_A_active);
  if (!shape_is_index(x, 1, "the chosen experts")) return false;
  if (extra.rank != 1 || (named && named != extra.dim[0]))
    return xlm_infer_fail(
        x, XLM_FAULT_DIM_MISMATCH, 1,
        "the choices %s must have the dimensions of the tokens %s and one more: the experts per token",
        xlm_infer_dims_text(x, e), xlm_infer_dims_text(x, t));
  *active = extra.dim[0];
  xlm_infer_set_dims(x, XLM_A_active, active, 1);
  return true;
}

static bool set_routed(xlm_infer *x, xlm_dim *routed) {
  const xlm_type *e = xlm_infer_type(x, 1);
  double rows = moe_full(x, e);
  if (rows > (double)INT32_MAX)
    return xlm_infer_fail(x, XLM_FAULT_SIZE, 1, "%.0f choices are more than dispatch can number (2^31 - 1)",
                          rows);
  *routed = routed_dim(x, xlm_type_elements(e, x->g->dims), (int64_t)rows);
  xlm_infer_set_dims(x, XLM_A_routed, routed, 1);
  return true;
}

static bool infer(xlm_infer *x) {
  xlm_dim active, experts, routed;
  if (!xlm_infer_is_float(x, 0) || !find_active(x, &active) || !moe_experts(x, &experts) ||
      !set_routed(x, &routed))
    return false;
  const xlm_type *t = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1);
  xlm_type rest = shape_minus(t, e), tokens = shape_without(e, active);
  xlm_infer_set_dims(x, XLM_A_over, tokens.dim, tokens.rank);
  x->out[0] = (xlm_type){.dtype = t->dtype, .rank = 2, .dim = {experts, routed}};
  for (int i = 0; i < rest.rank; i++)
    if (!shape_append(x, &x->out[0], rest.dim[i])) return false;
  x->out[1] = (xlm_type){.dtype = XLM_I32, .rank = 1, .dim = {moe_offsets_dim(x, experts)}};
  x->ragged_by[0] = x->g->n_values + 1; // the second result of the node being emitted
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0] || !x->dout[0]) return;
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val in[] = {shape_dout(x, 0), x->in[1]};
  x->din[0] = xlm_emit(x->b, XLM_OP_DISPATCH_BWD, in, 2, &as);
}

// The rows of a token are its own, wherever they lie.
static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  (void)g, (void)n, (void)sequence;
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"e", XLM_P_TENSOR, 0, true},
                                   {"experts", XLM_P_DIM, XLM_A_experts, false},
                                   {0}};

const xlm_op xlm_op_dispatch = {
    .name = "dispatch",
    .facts = {.linear = 1,
              .index = 2,
              .index_into = XLM_A_experts,
              .makes_rows = true,
              .mixes = XLM_KEY(over) | XLM_KEY(active) | XLM_KEY(experts) | XLM_KEY(routed)},
    .min_in = 2,
    .max_in = 2,
    .n_out = 2,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_experts, XLM_OUT(0), 1, 1},
              {XLM_A_active, XLM_IN(1), 1, 1}, {XLM_A_routed, XLM_OUT(0), 1, 1}),
    .layout = "[over *], [over active] -> [experts routed *], [] | active: whole, experts: whole, routed: "
              "match over",
    .infer = infer,
    .reach = reach,
    .grad = grad,
    .doc = "`xs = dispatch(x, e)`: x[tokens .., hidden] and the chosen experts e[tokens .., active] give "
           "xs[experts, routed, "
           "hidden], the rows of the tokens that chose each expert, in the order of the tokens. `routed` is "
           "ragged: every "
           "expert has as many rows as chose it, and none is dropped. The experts are the dimension named "
           "`experts`, or "
           "`experts = D`. Second result: where each expert's rows begin.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *dxs = xlm_infer_type(x, 0), *e = xlm_infer_type(x, 1);
  xlm_dim active, experts;
  if (!xlm_infer_is_float(x, 0) || !moe_active(x, 1, &active) || !moe_packed(x, 0, e, &experts)) return false;
  x->out[0] = shape_without(e, active);
  x->out[0].dtype = dxs->dtype;
  for (int i = 2; i < dxs->rank; i++)
    if (!shape_append(x, &x->out[0], dxs->dim[i])) return false;
  return true;
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = (double)xlm_type_elements(xlm_val_type(g, xlm_node_at(g, n)->in[0]), g->dims);
}

const xlm_op xlm_op_dispatch_bwd = {
    .name = "dispatch_bwd",
    .facts = {.index = 2,
              .index_into = XLM_A_experts,
              .mixes = XLM_KEY(over) | XLM_KEY(active) | XLM_KEY(experts) | XLM_KEY(routed)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_experts, XLM_IN(0), 1, 1},
              {XLM_A_active, XLM_IN(1), 1, 1}, {XLM_A_routed, XLM_IN(0), 1, 1}),
    .layout =
        "[experts routed *]+, [over active] -> [over *]+ | active: whole, experts: whole, routed: match over",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc = "Gradient of `dispatch`: each token sums the rows of dxs that came from it.",
};
