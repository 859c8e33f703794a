// concat: joins tensors along a dimension. `concat(x, y, a b -> c)`: x has a, y has b, the result c of size a
// + b, declared in the model like any dimension. A single name before the arrow applies to all operands.
#include "ops/shape_priv.h"

static bool arrow(xlm_infer *x, xlm_dim *from, xlm_dim *to) {
  xlm_dim t[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_from, from), m = xlm_attr_dims(&x->attrs, XLM_A_to, t);
  if (m != 1 || (n != 1 && n != x->n_in))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1,
                          "concat of %d tensors needs %d dimensions (or one) before the arrow and one after",
                          x->n_in, x->n_in) ||
           xlm_infer_help(x, "write `concat(x, y, a b -> c)`");
  if (x->n_in > XLM_MAX_RANK)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "concat takes at most %d tensors at once", XLM_MAX_RANK);
  for (int i = n; i < x->n_in; i++) from[i] = from[0];
  xlm_infer_set_dims(x, XLM_A_from, from, x->n_in);
  *to = t[0];
  return true;
}

static bool check_operand(xlm_infer *x, int i, xlm_dim from, const xlm_type *rest) {
  const xlm_type *t = xlm_infer_type(x, i);
  if (!xlm_infer_has(x, i, from, "along which tensors are joined") || !shape_not_packed(x, i, from))
    return false;
  xlm_type others = shape_without(t, from);
  if (!shape_same_dims(&others, rest))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, i, "beside `%s`, %s must have the dimensions %s",
                          shape_name(x, from), xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, rest));
  if (t->dtype != xlm_infer_type(x, 0)->dtype)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, i, "the tensors joined have different types, %s and %s",
                          xlm_dtype_name(xlm_infer_type(x, 0)->dtype), xlm_dtype_name(t->dtype)) ||
           xlm_infer_help(x, "bring them to one type, say with `f32(x)`");
  return true;
}

static bool check_sum(xlm_infer *x, const xlm_dim *from, xlm_dim to) {
  double sum = 0;
  for (int i = 0; i < x->n_in; i++) sum += (double)shape_size(x, from[i]);
  if (sum == (double)shape_size(x, to)) return true;
  return xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "`%s` has %lld elements, but the tensors joined have %.0f",
                        shape_name(x, to), (long long)shape_size(x, to), sum);
}

static bool infer(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to = 0;
  if (!arrow(x, from, &to)) return false;
  const xlm_type *first = xlm_infer_type(x, 0);
  xlm_type rest = shape_without(first, from[0]);
  for (int i = 0; i < x->n_in; i++)
    if (!check_operand(x, i, from[i], &rest)) return false;
  if (!check_sum(x, from, to)) return false;
  x->out[0].dtype = first->dtype;
  for (int i = 0; i < first->rank; i++)
    if (!shape_append(x, &x->out[0], first->dim[i] == from[0] ? to : first->dim[i])) return false;
  return true;
}

static void grad(xlm_grad *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  const xlm_attrs *as = shape_grad_attrs(x);
  int n = xlm_attr_dims(as, XLM_A_from, from);
  xlm_attr_dims(as, XLM_A_to, to);
  int64_t start = 0;
  for (int i = 0; i < n; i++) {
    if (x->need[i]) x->din[i] = xlm_slice_to(x->b, x->dout[0], to[0], start, from[i]);
    start += x->b->g->dims[from[i]].size;
  }
}

// A sequence that is made of others numbers its places otherwise.
static xlm_reach reach(const xlm_graph *g, xlm_node node, const bool *sequence) {
  const xlm_node_info *n = xlm_node_at(g, node);
  xlm_dim dims[XLM_MAX_RANK + 1];
  int count = xlm_attr_dims(&n->attrs, XLM_A_from, dims);
  count += xlm_attr_dims(&n->attrs, XLM_A_to, dims + count);
  for (int i = 0; i < count; i++)
    if (sequence[dims[i]])
      return (xlm_reach){.along = XLM_ALONG_AHEAD,
                         .help = "what is no token can be read with attend(q, k, v, kv_seq = ..), or stand in the "
                                 "places of tokens: where(tokens == .., lookup(features, ..), h)"};
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"more", XLM_P_REST, 0, true}, {"dims", XLM_P_ARROW, 0, true}, {0}};

const xlm_op xlm_op_concat = {
    .name = "concat",
    .facts = {.mixes = XLM_KEY(from) | XLM_KEY(to)},
    .min_in = 1,
    .max_in = -1,
    .n_out = 1,
    .params = params,
    .reach = reach,
    XLM_TAKES({XLM_A_from, XLM_ANYWHERE, 1, 8}, {XLM_A_to, XLM_OUT(0), 1, 1}),
    .layout = "[* from], .. -> [* to] | from: whole, to: whole, *: linear",
    .infer = infer,
    .grad = grad,
    .doc = "`concat(x, y, a b -> c)`: x along its dimension `a`, then y along its `b`, as one dimension `c` "
           "of size a + b. "
           "`concat(x, y, a -> c)` when all have `a`. The other dimensions are the same in all.",
};
