// top_k: the k largest values along a dimension and their indices; the router of a mixture of experts. Equal
// values are ordered by index, so that the choice does not depend on the kernel.
#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim experts, active = shape_attr_dim(x, XLM_A_active);
  if (!xlm_infer_is_float(x, 0) || !shape_single(x, XLM_A_experts)) return false;
  if (!active)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "top_k needs the dimension of the chosen ones") ||
           xlm_infer_help(x, "write `top_k(x, active)`, with `dim active = 2` or so");
  if (!xlm_infer_dim_attr(x, XLM_A_experts, 0, "experts", true, &experts) || !shape_not_packed(x, 0, experts))
    return false;
  if (shape_size(x, active) > shape_size(x, experts))
    return xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "cannot choose `%s` = %lld out of `%s` = %lld",
                          shape_name(x, active), (long long)shape_size(x, active), shape_name(x, experts),
                          (long long)shape_size(x, experts));
  xlm_infer_set_int(x, XLM_A_k, shape_size(x, active));
  x->out[0] = shape_without(xlm_infer_type(x, 0), experts);
  if (!shape_append(x, &x->out[0], active)) return false;
  x->out[1] = x->out[0];
  x->out[1].dtype = XLM_I32;
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0] || !x->dout[0]) return;
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val in[] = {shape_dout(x, 0), x->out[1]};
  x->din[0] = xlm_emit(x->b, XLM_OP_TOP_K_BWD, in, 2, &as);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"active", XLM_P_DIM, XLM_A_active, true},
                                   {"over", XLM_P_OVER, XLM_A_experts, false},
                                   {0}};

const xlm_op xlm_op_top_k = {
    .name = "top_k",
    .facts = {.mixes = XLM_KEY(experts) | XLM_KEY(active)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 2,
    .params = params,
    XLM_TAKES({XLM_A_experts, XLM_IN(0), 1, 1}, {XLM_A_active, XLM_OUT(0), 1, 1},
              {XLM_A_k, .low = 1, .high = XLM_ATTR_MOST}),
    .layout = "[* experts] -> [* active], [* active] | experts: whole, active: whole",
    .infer = infer,
    .grad = grad,
    .doc = "`(w, e) = top_k(x, active)`: the `active` largest of x along `experts` (else along `over D`, "
           "else the last "
           "dimension), largest first, and their indices (integers). Of equal values the one with the lower index comes first. "
           "Both results "
           "have the other dimensions, then `active`. The gradient goes to the chosen elements.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *dy = xlm_infer_type(x, 0), *index = xlm_infer_type(x, 1);
  xlm_dim experts = shape_attr_dim(x, XLM_A_experts), active = shape_attr_dim(x, XLM_A_active);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the indices")) return false;
  bool same = dy->rank == index->rank && dy->rank > 0 && dy->dim[dy->rank - 1] == active && experts;
  for (int i = 0; same && i < dy->rank; i++) same = dy->dim[i] == index->dim[i];
  if (!same)
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 0,
                          "the gradient %s and the indices %s must lie alike in memory",
                          xlm_infer_dims_text(x, dy), xlm_infer_dims_text(x, index));
  x->out[0] = shape_without(dy, active);
  return shape_append(x, &x->out[0], experts);
}

const xlm_op xlm_op_top_k_bwd = {
    .name = "top_k_bwd",
    .facts = {.index = 2, .index_into = XLM_A_experts, .mixes = XLM_KEY(experts) | XLM_KEY(active)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    XLM_TAKES({XLM_A_experts, XLM_OUT(0), 1, 1}, {XLM_A_active, XLM_IN(0), 1, 1},
              {XLM_A_k, .low = 1, .high = XLM_ATTR_MOST}),
    .layout = "[* active], [* active] -> [* experts] | experts: whole, active: whole",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .doc = "Gradient of `top_k`: dy put at the chosen indices, zeros elsewhere.",
};
