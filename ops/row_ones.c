// row_ones: the number 1 for every packed row of experts. A value per expert is repeated for the expert's
// rows as a product with them, `contract(row_ones(xs), bias)`, and the gradient of that is a sum of rows per
// expert.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *t = xlm_infer_type(x, 0);
  int rows = 1;
  while (rows < t->rank && !x->g->dims[t->dim[rows]].ragged) rows++;
  if (rows >= t->rank)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, 0, "%s has no rows of experts",
                          xlm_infer_dims_text(x, t));
  xlm_dtype dtype = (xlm_dtype)xlm_attr_enum(&x->attrs, XLM_A_dtype, XLM_F32);
  x->out[0] = (xlm_type){.dtype = dtype, .rank = 2, .dim = {t->dim[rows - 1], t->dim[rows]}};
  return true;
}

const xlm_op xlm_op_row_ones = {
    .name = "row_ones",
    .flags = XLM_OPF_INTERNAL,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_dtype, .may = true, .among = XLM_FLOATS, .unset = XLM_F32}),
    .layout = "[*] -> [*]",
    .infer = infer,
    .no_grad = "a constant",
    .doc = "`row_ones(xs)`: 1 for every row of xs[experts, routed, ..], as [experts, routed]. In models, "
           "`xs + bias` with bias[experts, hidden] adds to every row the bias of its expert: "
           "`contract(row_ones(xs), bias)` is the bias in the rows of xs.",
};
