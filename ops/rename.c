// rename: new names for dimensions of the same sizes; no data moves. All names change at once, so `a b -> b
// a` swaps.
#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

static bool replace(xlm_infer *x, xlm_dim from, xlm_dim to) {
  int i = xlm_type_find(xlm_infer_type(x, 0), from);
  if (!xlm_infer_has(x, 0, from, "which is to be renamed") || !shape_not_packed(x, 0, from)) return false;
  if (shape_size(x, from) != shape_size(x, to))
    return xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "`%s` has %lld elements but `%s` has %lld",
                          shape_name(x, from), (long long)shape_size(x, from), shape_name(x, to),
                          (long long)shape_size(x, to)) ||
           xlm_infer_help(x, "declare `dim %s = %s`", shape_name(x, to), shape_name(x, from));
  if (x->g->dims[to].ragged)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` is ragged; only dispatch makes ragged rows",
                          shape_name(x, to));
  x->out[0].dim[i] = to;
  return true;
}

static bool infer(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_from, from), m = xlm_attr_dims(&x->attrs, XLM_A_to, to);
  if (n == 0 || n != m)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "rename needs as many new names as old ones, not %d for %d",
                          m, n) ||
           xlm_infer_help(
               x, "write `rename(x, a -> b)`; split makes several dimensions of one, merge one of several");
  const xlm_type *t = xlm_infer_type(x, 0);
  x->out[0] = *t;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < i; j++)
      if (from[j] == from[i])
        return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` is renamed twice", shape_name(x, from[i]));
    if (!replace(x, from[i], to[i])) return false;
  }
  for (int i = 0; i < x->out[0].rank; i++)
    for (int j = 0; j < i; j++)
      if (x->out[0].dim[i] == x->out[0].dim[j])
        return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 0, "%s already has a dimension `%s`",
                              xlm_infer_dims_text(x, t), shape_name(x, x->out[0].dim[i]));
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  const xlm_attrs *as = shape_grad_attrs(x);
  int n = xlm_attr_dims(as, XLM_A_from, from);
  xlm_attr_dims(as, XLM_A_to, to);
  xlm_attr_list back = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&back, XLM_A_from, to, n);
  xlm_attr_put_dims(&back, XLM_A_to, from, n);
  x->din[0] = xlm_emit(x->b, XLM_OP_RENAME, &x->dout[0], 1, &back);
}

static void chunk(xlm_chunk *c) {
  const xlm_attrs *as = &xlm_chunk_node(c)->attrs;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK], here[XLM_MAX_RANK];
  xlm_attrs mapped = xlm_attr_freeze(&c->attrs);
  int n = xlm_attr_dims(as, XLM_A_from, from);
  xlm_attr_dims(as, XLM_A_to, to), xlm_attr_dims(&mapped, XLM_A_from, here);
  for (int i = 0; i < n; i++)
    if (here[i] != from[i]) to[i] = xlm_chunk_dim(c->all, to[i], c->b->g->dims[here[i]].size);
  xlm_attr_put_dims(&c->attrs, XLM_A_to, to, n);
  xlm_chunk_emit(c, XLM_OP_RENAME, c->in, c->n_in, &c->attrs);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {"dims", XLM_P_ARROW, 0, true}, {0}};

const xlm_op xlm_op_rename = {
    .name = "rename",
    .facts = {.linear = 1, .renames = true, .moves = true},
    .flags = XLM_OPF_VIEW,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 8}, {XLM_A_to, XLM_OUT(0), 1, 8}),
    .layout = "[* from] -> [* to] | from: match to, *: linear",
    .infer = infer,
    .chunk = chunk,
    .grad = grad,
    .doc = "`rename(x, seq -> kv_seq)`: the same tensor, with dimension `seq` called `kv_seq`; both have the "
           "same size. "
           "Several at once: `rename(x, a b -> c d)`. No data moves.",
};
