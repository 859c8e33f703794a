// merge: adjacent dimensions become one, `heads head -> hidden`; no data moves. The inverse of split. A rule
// cannot insert nodes, so dimensions that are not adjacent in memory are rejected, with a hint at the permute
// that would help.
#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

static bool check_sizes(xlm_infer *x, const xlm_dim *from, int n, xlm_dim to) {
  double product = 1; // exact far beyond any size that fits in memory
  for (int i = 0; i < n; i++) product *= (double)shape_size(x, from[i]);
  if (product == (double)shape_size(x, to)) return true;
  xlm_text s = xlm_text_new(x->g->arena);
  for (int i = 0; i < n; i++)
    xlm_text_printf(&s, "%s%s %lld", i ? " x " : "", shape_name(x, from[i]),
                    (long long)shape_size(x, from[i]));
  return xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "%s is not `%s`, which has %lld elements", s.data,
                        shape_name(x, to), (long long)shape_size(x, to));
}

static bool check_neighbours(xlm_infer *x, const xlm_type *t, const xlm_dim *from, int n) {
  for (int i = 0; i < n; i++)
    if (!xlm_infer_has(x, 0, from[i], "which is to be merged") || !shape_not_packed(x, 0, from[i]))
      return false;
  for (int i = 1; i < n; i++)
    if (xlm_type_find(t, from[i]) != xlm_type_find(t, from[i - 1]) + 1)
      return xlm_infer_fail(x, XLM_FAULT_ATTR, 0,
                            "`%s` does not follow `%s` in %s, so they cannot become one dimension",
                            shape_name(x, from[i]), shape_name(x, from[i - 1]), xlm_infer_dims_text(x, t)) ||
             xlm_infer_help(
                 x,
                 "bring them together first: `permute(x, over ...)` with all dimensions in the order wanted");
  return true;
}

static bool infer(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_from, from), m = xlm_attr_dims(&x->attrs, XLM_A_to, to);
  if (n < 1 || m != 1)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "merge makes one dimension, not %d", m) ||
           xlm_infer_help(x, "write `merge(x, heads head -> hidden)`");
  const xlm_type *t = xlm_infer_type(x, 0);
  if (!check_neighbours(x, t, from, n) || !check_sizes(x, from, n, to[0])) return false;
  x->out[0].dtype = t->dtype;
  for (int i = 0; i < t->rank;) {
    bool here = t->dim[i] == from[0];
    if (!shape_append(x, &x->out[0], here ? to[0] : t->dim[i])) return false;
    i += here ? n : 1;
  }
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  const xlm_attrs *as = shape_grad_attrs(x);
  int n = xlm_attr_dims(as, XLM_A_from, from), m = xlm_attr_dims(as, XLM_A_to, to);
  xlm_attr_list back = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&back, XLM_A_from, to, m);
  xlm_attr_put_dims(&back, XLM_A_to, from, n);
  x->din[0] = xlm_emit(x->b, XLM_OP_SPLIT, &x->dout[0], 1, &back);
}

static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  (void)g, (void)n, (void)sequence;
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

static void chunk(xlm_chunk *c) {
  const xlm_attrs *as = &xlm_chunk_node(c)->attrs;
  xlm_dim to[XLM_MAX_RANK], here[XLM_MAX_RANK];
  xlm_attrs mapped = xlm_attr_freeze(&c->attrs);
  int n = xlm_attr_dims(&mapped, XLM_A_from, here);
  int64_t size = 1;
  xlm_attr_dims(as, XLM_A_to, to);
  for (int i = 0; i < n; i++) size *= c->b->g->dims[here[i]].size;
  if (c->all->sequence[to[0]]) to[0] = xlm_chunk_dim(c->all, to[0], size);
  xlm_attr_put_dims(&c->attrs, XLM_A_to, to, 1);
  xlm_chunk_emit(c, XLM_OP_MERGE, c->in, c->n_in, &c->attrs);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {"dims", XLM_P_ARROW, 0, true}, {0}};

const xlm_op xlm_op_merge = {
    .name = "merge",
    .facts = {.linear = 1, .mixes = XLM_KEY(from) | XLM_KEY(to), .moves = true},
    .flags = XLM_OPF_VIEW,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 8}, {XLM_A_to, XLM_OUT(0), 1, 8}),
    .layout = "[* from] -> [* to] | from: whole, to: whole, *: linear",
    .infer = infer,
    .reach = reach,
    .chunk = chunk,
    .grad = grad,
    .doc = "`merge(x, heads head -> hidden)`: two or more neighbouring dimensions as one, the first the "
           "outermost; the sizes "
           "must multiply to that of the new one. No data moves. The inverse of `split`.",
};
