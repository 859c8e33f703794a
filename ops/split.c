// split: one dimension becomes several, `hidden -> heads head`; no data moves. The first of the new
// dimensions is the outermost: index of hidden = index of heads * size of head + index of head.
#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

static bool check_sizes(xlm_infer *x, xlm_dim from, const xlm_dim *to, int n) {
  double product = 1; // exact far beyond any size that fits in memory
  for (int i = 0; i < n; i++) product *= (double)shape_size(x, to[i]);
  if (product == (double)shape_size(x, from)) return true;
  xlm_text s = xlm_text_new(x->g->arena);
  for (int i = 0; i < n; i++)
    xlm_text_printf(&s, "%s%s %lld", i ? " x " : "", shape_name(x, to[i]), (long long)shape_size(x, to[i]));
  return xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "`%s` has %lld elements, which is not %s", shape_name(x, from),
                        (long long)shape_size(x, from), s.data);
}

static bool infer(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_from, from), m = xlm_attr_dims(&x->attrs, XLM_A_to, to);
  if (n != 1 || m < 1)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "split replaces one dimension, not %d", n) ||
           xlm_infer_help(x, "write `split(x, hidden -> heads head)`");
  if (!xlm_infer_has(x, 0, from[0], "which is to be split") || !shape_not_packed(x, 0, from[0])) return false;
  if (!check_sizes(x, from[0], to, m)) return false;
  const xlm_type *t = xlm_infer_type(x, 0);
  x->out[0].dtype = t->dtype;
  for (int i = 0; i < t->rank; i++) {
    const xlm_dim *add = t->dim[i] == from[0] ? to : &t->dim[i];
    for (int j = 0; j < (t->dim[i] == from[0] ? m : 1); j++)
      if (!shape_append(x, &x->out[0], add[j])) return false;
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
  xlm_val dy = shape_dout(x, 0); // its parts adjacent again
  x->din[0] = xlm_emit(x->b, XLM_OP_MERGE, &dy, 1, &back);
}

static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  (void)g, (void)n, (void)sequence;
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

// The parts of what was merged. The sequence itself cannot be split: a chunk has no such parts.
static void chunk(xlm_chunk *c) {
  const xlm_attrs *as = &xlm_chunk_node(c)->attrs;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(as, XLM_A_to, to);
  xlm_attr_dims(as, XLM_A_from, from);
  for (int i = 0; i < n && c->all->sequence[from[0]]; i++)
    if (c->all->sequence[to[i]] && c->all->dim[to[i]]) to[i] = c->all->dim[to[i]];
  xlm_attr_put_dims(&c->attrs, XLM_A_to, to, n);
  xlm_chunk_emit(c, XLM_OP_SPLIT, c->in, c->n_in, &c->attrs);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {"dims", XLM_P_ARROW, 0, true}, {0}};

const xlm_op xlm_op_split = {
    .name = "split",
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
    .doc = "`split(x, hidden -> heads head)`: dimension `hidden` as two, `heads` the outer one; the sizes "
           "must multiply to "
           "that of `hidden`. No data moves.",
};
