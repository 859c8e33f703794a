// concat: joins tensors along a dimension. `concat(x, y, a b -> c)`: x has a, y has b, the result c of size a
// + b, declared in the model like any dimension. A single name before the arrow applies to all operands.
#include "compiler/ir/chunk.h"
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

// ---- decoding: text behind what is no text

// The last tensor is the text, and the others are not made of the sequence: they stand before it.
static xlm_dim places(const xlm_graph *g, xlm_node node, const int64_t *before, int64_t *out) {
  const xlm_node_info *n = xlm_node_at(g, node);
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  xlm_attr_dims(&n->attrs, XLM_A_from, from);
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  if (before[from[n->n_in - 1]] < 0) return 0;
  *out = before[from[n->n_in - 1]];
  for (int i = 0; i + 1 < n->n_in; i++) {
    if (before[from[i]] >= 0) return 0;
    *out += g->dims[from[i]].size;
  }
  return to[0];
}

static xlm_reach reach(const xlm_graph *g, xlm_node node, const bool *sequence) {
  const xlm_node_info *n = xlm_node_at(g, node);
  xlm_dim dims[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int count = xlm_attr_dims(&n->attrs, XLM_A_from, dims);
  bool last = sequence[dims[count - 1]], others = false;
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  for (int i = 0; i + 1 < count; i++) others |= sequence[dims[i]];
  if (!last && !others) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  if (last && !others && sequence[to[0]]) return (xlm_reach){.along = XLM_ALONG_PLACED};
  return (xlm_reach){.along = XLM_ALONG_AHEAD,
                     .help = "the tokens come last: concat(features, h, patches seq -> all); what stands elsewhere can "
                             "be in the places of tokens: where(tokens == .., lookup(features, ..), h)"};
}

// The rows of `before` at the places from `start` on; at other places anything.
static xlm_val rows_of(xlm_chunk *c, xlm_val before, xlm_dim from, xlm_val places, int64_t start) {
  xlm_build *b = c->b;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_val at = start ? xlm_op2(b, XLM_OP_SUB, places, xlm_scalar(b, (double)start)) : places;
  at = xlm_op2(b, XLM_OP_MAX, at, xlm_scalar(b, 0));
  at = xlm_op2(b, XLM_OP_MIN, at, xlm_scalar(b, (double)b->g->dims[from].size - 1));
  xlm_attr_put_dims(&l, XLM_A_vocab, &from, 1);
  return xlm_emit(b, XLM_OP_LOOKUP, (xlm_val[]){before, at}, 2, &l);
}

static void chunk(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK], here[XLM_MAX_RANK];
  xlm_attrs mapped = xlm_attr_freeze(&c->attrs);
  int last = c->n_in - 1;
  xlm_attr_dims(&n->attrs, XLM_A_from, from);
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  xlm_attr_dims(&mapped, XLM_A_from, here);
  if (!c->all->sequence[from[last]]) {
    xlm_chunk_emit(c, XLM_OP_CONCAT, c->in, c->n_in, &c->attrs);
    return;
  }
  xlm_dim d = c->all->dim[to[0]];
  int64_t end = c->all->before[to[0]] - c->all->before[from[last]];
  xlm_val x = xlm_chunk_renamed(c->all, c->in[last], here[last], d), places = xlm_chunk_positions(c->all, d);
  x = xlm_chunk_rows(c->all, x, d);
  const xlm_type t = *xlm_val_type(c->b->g, x);
  for (int i = last - 1; i >= 0; i--) {
    int64_t start = end - c->all->g->dims[from[i]].size;
    xlm_val is = xlm_op2(c->b, XLM_OP_LT, places, xlm_scalar(c->b, (double)end));
    x = xlm_op3(c->b, XLM_OP_WHERE, is, rows_of(c, c->in[i], here[i], places, start), x);
    end = start;
  }
  c->out[0] = xlm_order_to(c->b, x, &t);
}

static const xlm_param params[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"more", XLM_P_REST, 0, true}, {"dims", XLM_P_ARROW, 0, true}, {0}};

const xlm_op xlm_op_concat = {
    .name = "concat",
    .facts = {.mixes = XLM_KEY(from) | XLM_KEY(to), .joins = true},
    .min_in = 1,
    .max_in = -1,
    .n_out = 1,
    .params = params,
    .reach = reach,
    .places = places,
    .chunk = chunk,
    XLM_TAKES({XLM_A_from, XLM_ANYWHERE, 1, 8}, {XLM_A_to, XLM_OUT(0), 1, 1}),
    .layout = "[* from], .. -> [* to] | from: whole, to: whole, *: linear",
    .infer = infer,
    .grad = grad,
    .doc = "`concat(x, y, a b -> c)`: x along its dimension `a`, then y along its `b`, as one dimension `c` "
           "of size a + b. "
           "`concat(x, y, a -> c)` when all have `a`. The other dimensions broadcast by name: a parameter `[a, hidden]` is "
           "joined to each sequence of `[batch, seq, hidden]`.",
};
