// expert_count: how often each expert was chosen, for metrics and for bias-based balancing.
#include "ops/moe_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim experts;
  if (!shape_is_index(x, 0, "the chosen experts") || !moe_experts(x, &experts)) return false;
  const xlm_type *e = xlm_infer_type(x, 0);
  if (xlm_type_find(e, experts) >= 0)
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 0,
                          "%s are not choices: they have the experts' own dimension `%s`",
                          xlm_infer_dims_text(x, e), shape_name(x, experts));
  xlm_infer_set_dims(x, XLM_A_over, e->dim, e->rank);
  x->out[0] = (xlm_type){.dtype = XLM_F32, .rank = 1, .dim = {experts}};
  return true;
}

static const xlm_param params[] = {
    {"e", XLM_P_TENSOR, 0, true}, {"experts", XLM_P_DIM, XLM_A_experts, false}, {0}};

const xlm_op xlm_op_expert_count = {
    .name = "expert_count",
    .facts = {.index = 1, .index_into = XLM_A_experts, .mixes = XLM_KEY(over) | XLM_KEY(experts)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}, {XLM_A_experts, XLM_OUT(0), 1, 1}),
    .layout = "[over] -> [experts] | over: sum, experts: place",
    .infer = infer,
    .no_grad = "a count of integers has none",
    .doc =
        "`expert_count(e)`: for each expert the number of choices that name it, as real numbers [experts].",
};
