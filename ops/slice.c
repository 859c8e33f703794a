// slice: a contiguous part of a dimension, as another (smaller, declared) dimension. pad, its gradient,
// surrounds it with zeros.
#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

static bool arrow(xlm_infer *x, xlm_dim *from, xlm_dim *to) {
  xlm_dim f[XLM_MAX_RANK], t[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_from, f), m = xlm_attr_dims(&x->attrs, XLM_A_to, t);
  if (n != 1 || m != 1)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "%s replaces one dimension by one other", x->op->name) ||
           xlm_infer_help(x, "write `%s(x, long -> short, start = 0)`", x->op->name);
  *from = f[0], *to = t[0];
  return xlm_infer_has(x, 0, *from, "of which a part is to be taken") && shape_not_packed(x, 0, *from);
}

static bool fits(xlm_infer *x, xlm_dim large, xlm_dim small) {
  int64_t start = xlm_attr_int(&x->attrs, XLM_A_start, 0), n = shape_size(x, large), m = shape_size(x, small);
  if (start >= 0 && m <= n && start <= n - m) return true;
  return xlm_infer_fail(
      x, XLM_FAULT_SIZE, -1, "%lld elements of `%s` from index %lld do not lie within the %lld of `%s`",
      (long long)m, shape_name(x, small), (long long)start, (long long)n, shape_name(x, large));
}

static bool replace(xlm_infer *x, xlm_dim from, xlm_dim to) {
  const xlm_type *t = xlm_infer_type(x, 0);
  x->out[0].dtype = t->dtype;
  for (int i = 0; i < t->rank; i++)
    if (!shape_append(x, &x->out[0], t->dim[i] == from ? to : t->dim[i])) return false;
  return true;
}

static bool infer(xlm_infer *x) {
  xlm_dim from = 0, to = 0;
  return arrow(x, &from, &to) && fits(x, from, to) && replace(x, from, to);
}

static void grad(xlm_grad *x) { // slice and pad are each other's gradient, with the arrow reversed
  if (!x->need[0]) return;
  const xlm_node_info *node = xlm_node_at(x->b->g, x->node);
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&node->attrs, XLM_A_from, from), m = xlm_attr_dims(&node->attrs, XLM_A_to, to);
  xlm_attr_list back = xlm_attr_list_from(x->b->g->arena, &node->attrs);
  xlm_attr_put_dims(&back, XLM_A_from, to, m);
  xlm_attr_put_dims(&back, XLM_A_to, from, n);
  xlm_op_id inverse = node->op == XLM_OP_SLICE ? XLM_OP_PAD : XLM_OP_SLICE;
  x->din[0] = xlm_emit(x->b, inverse, &x->dout[0], 1, &back);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) { // slice reads only the result's elements
  out->bytes = 2.0 * (double)xlm_type_bytes(xlm_val_type(g, xlm_node_at(g, n)->out), g->dims);
}

// ---- decoding: without the first places, which are not the text's

static xlm_dim places(const xlm_graph *g, xlm_node node, const int64_t *before, int64_t *out) {
  const xlm_attrs *as = &xlm_node_at(g, node)->attrs;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int64_t start = xlm_attr_int(as, XLM_A_start, 0);
  xlm_attr_dims(as, XLM_A_from, from);
  xlm_attr_dims(as, XLM_A_to, to);
  *out = before[from[0]] - start;
  return *out >= 0 && start + g->dims[to[0]].size == g->dims[from[0]].size ? to[0] : 0;
}

static xlm_reach reach(const xlm_graph *g, xlm_node node, const bool *sequence) {
  const xlm_attrs *as = &xlm_node_at(g, node)->attrs;
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  xlm_attr_dims(as, XLM_A_from, from);
  xlm_attr_dims(as, XLM_A_to, to);
  if (!sequence[from[0]]) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  if (sequence[to[0]]) return (xlm_reach){.along = XLM_ALONG_PLACED};
  return (xlm_reach){.along = XLM_ALONG_AHEAD,
                     .help = "tokens are computed at every place of the text: only what stands before them "
                             "(concat(features, h, patches seq -> all)) can be cut off, and up to the last"};
}

static void chunk(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  xlm_attr_dims(&n->attrs, XLM_A_from, from);
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  if (c->all->sequence[from[0]])
    c->out[0] = xlm_chunk_renamed(c->all, c->in[0], c->all->dim[from[0]], c->all->dim[to[0]]);
  else
    xlm_chunk_emit(c, XLM_OP_SLICE, c->in, c->n_in, &c->attrs);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"dims", XLM_P_ARROW, 0, true},
                                   {"start", XLM_P_INT, XLM_A_start, false},
                                   {0}};

const xlm_op xlm_op_slice = {
    .name = "slice",
    .facts = {.linear = 1, .mixes = XLM_KEY(from) | XLM_KEY(to), .moves = true},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 1}, {XLM_A_to, XLM_OUT(0), 1, 1},
              {XLM_A_start, .low = 0, .high = XLM_ATTR_MOST, .may = true}),
    .layout = "[* from] -> [* to] | from: whole, to: whole, *: linear",
    .infer = infer,
    .reach = reach,
    .places = places,
    .chunk = chunk,
    .grad = grad,
    .cost = cost,
    .doc = "`slice(x, long -> short, start = 0)`: the elements `start .. start + short - 1` of dimension "
           "`long`, as dimension "
           "`short`.",
};

static bool infer_pad(xlm_infer *x) {
  xlm_dim from = 0, to = 0;
  return arrow(x, &from, &to) && fits(x, to, from) && replace(x, from, to);
}

const xlm_op xlm_op_pad = {
    .name = "pad",
    .facts = {.linear = 1, .mixes = XLM_KEY(from) | XLM_KEY(to), .moves = true},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 1}, {XLM_A_to, XLM_OUT(0), 1, 1},
              {XLM_A_start, .low = 0, .high = XLM_ATTR_MOST, .may = true}),
    .layout = "[* from] -> [* to] | from: whole, to: whole, *: linear",
    .infer = infer_pad,
    .grad = grad,
    .doc = "`pad(x, short -> long, start = 0)`: x at the elements `start .. start + short - 1` of dimension "
           "`long`, zeros "
           "elsewhere. The gradient of `slice`.",
};
