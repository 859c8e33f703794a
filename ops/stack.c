// stack: values side by side along a new dimension. A composite of `where` and `iota`, so that it is part of
// fused programs, is split like anything else, and has their gradients; for numbers it is a constant.
#include "ops/shape_priv.h"

static xlm_dim along(const xlm_infer *x) {
  return shape_attr_dim(x, XLM_A_over);
}

static bool infer(xlm_infer *x) {
  xlm_dim d = along(x);
  if (!d || !shape_single(x, XLM_A_over)) return false;
  if (x->n_in != shape_size(x, d)) {
    xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "`%s` has %lld elements, and %d are given", shape_name(x, d),
                   (long long)shape_size(x, d), x->n_in);
    return xlm_infer_help(x, "give one per element, in order: stack(1, 2, 4, over d) with `dim d = 3`");
  }
  for (int i = 0; i < x->n_in; i++)
    if (xlm_type_find(xlm_infer_type(x, i), d) >= 0)
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, i, "this value has dimension `%s` already",
                            shape_name(x, d)) ||
             xlm_infer_help(x, "`concat` joins tensors along a dimension that they have");
  x->out[0] = *xlm_infer_type(x, 0);
  for (int i = 1; i < x->n_in; i++)
    for (int k = 0; k < xlm_infer_type(x, i)->rank; k++)
      if (xlm_type_find(&x->out[0], xlm_infer_type(x, i)->dim[k]) < 0 &&
          !shape_append(x, &x->out[0], xlm_infer_type(x, i)->dim[k]))
        return false;
  return shape_append(x, &x->out[0], d);
}

static xlm_val expand(xlm_build *b, const xlm_infer *x) {
  xlm_dim d = along(x);
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, &d, 1);
  xlm_val index = xlm_emit(b, XLM_OP_IOTA, NULL, 0, &l), v = x->in[x->n_in - 1];
  if (x->n_in == 1) return xlm_op3(b, XLM_OP_WHERE, xlm_op2(b, XLM_OP_EQ, index, xlm_scalar(b, 0)), v, v);
  for (int i = x->n_in - 1; i-- > 0;)
    v = xlm_op3(b, XLM_OP_WHERE, xlm_op2(b, XLM_OP_EQ, index, xlm_scalar(b, i)), x->in[i], v);
  return v;
}

static const xlm_param params[] = {{"x", XLM_P_REST, 0, true}, {"over", XLM_P_OVER, XLM_A_over, true}, {0}};

const xlm_op xlm_op_stack = {
    .name = "stack",
    .flags = XLM_OPF_NUMBERS,
    .min_in = 1,
    .max_in = -1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_OUT(0), 1, 1}),
    .layout = "[*].. -> [* over]",
    .infer = infer,
    .expand = expand,
    .no_grad = "it is written in other operations, which have theirs",
    .doc = "`stack(a, b, c, over d)`: the values side by side along `d`, which has as many elements as there "
           "are "
           "values; numbers make a constant tensor: `stack(1, 2, 4, over scales)`. Values broadcast by name. "
           "For a "
           "dozen or so; a long table is a `state` or a function of `iota(d)`. Written as `where(iota(d) == "
           "0, a, ..)`.",
};
