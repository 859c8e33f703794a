// permute: changes the storage order of dimensions. Models do not need it, since dimensions are identified by
// name; passes use it where a kernel requires an order, and merge where dimensions must be adjacent.
#include "ops/shape_priv.h"

static bool keeps_rows(xlm_infer *x, const xlm_type *t,
                       const xlm_type *out) { // ragged rows stay after their owner
  for (int i = 0; i + 1 < t->rank; i++) {
    if (!x->g->dims[t->dim[i + 1]].ragged) continue;
    if (xlm_type_find(out, t->dim[i + 1]) != xlm_type_find(out, t->dim[i]) + 1)
      return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` holds the rows of `%s` and must follow it",
                            shape_name(x, t->dim[i + 1]), shape_name(x, t->dim[i]));
  }
  return true;
}

static bool infer(xlm_infer *x) {
  const xlm_type *t = xlm_infer_type(x, 0);
  xlm_type out = {.dtype = t->dtype};
  out.rank = (uint8_t)xlm_attr_dims(&x->attrs, XLM_A_dims, out.dim);
  if (!shape_same_dims(&out, t) || !shape_same_dims(t, &out))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "%s is not an order of the dimensions %s",
                          xlm_infer_dims_text(x, &out), xlm_infer_dims_text(x, t)) ||
           xlm_infer_help(x, "name every dimension once: `permute(x, over ...)`");
  if (!keeps_rows(x, t, &out)) return false;
  x->out[0] = out;
  return true;
}

static void grad(xlm_grad *x) {
  if (x->need[0]) x->din[0] = x->dout[0]; // order is only a matter of storage
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {"over", XLM_P_OVER, XLM_A_dims, true}, {0}};

const xlm_op xlm_op_permute = {
    .name = "permute",
    .facts = {.linear = 1, .of_totals = true, .keeps_values = true, .reorders = true, .moves = true},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_dims, XLM_OUT(0), 0, 8}),
    .layout = "[*] -> [dims] | *: linear",
    .infer = infer,
    .grad = grad,
    .doc = "`permute(x, over c, a, b)`: the same tensor, stored in the order named. Order never changes a "
           "result; only "
           "`merge` asks for it.",
};
