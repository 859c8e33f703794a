// See rules_priv.h.
#include "ops/rules_priv.h"

#include <string.h>

bool xlm_rule_leaf(xlm_infer *x) {
  xlm_type t = {.dtype = (xlm_dtype)xlm_attr_enum(&x->attrs, XLM_A_dtype, XLM_F32)};
  t.rank = (uint8_t)xlm_attr_dims(&x->attrs, XLM_A_dims, t.dim);
  x->out[0] = t;
  return true;
}

static bool among(const xlm_dim *dims, int n, xlm_dim d) {
  while (n-- > 0)
    if (dims[n] == d) return true;
  return false;
}

// Is dimension i part of a ragged pair (experts, their rows) of which `over` contains only one? Ops that take
// the offsets may reduce both together, that is, all packed rows.
static bool splits_rows(const xlm_infer *x, const xlm_type *t, int i, const xlm_dim *over, int n) {
  int rows = i + 1 < t->rank && x->g->dims[t->dim[i + 1]].ragged ? i + 1 : i;
  if (!x->g->dims[t->dim[rows]].ragged) return false;
  bool both = among(over, n, t->dim[rows]) && (rows == 0 || among(over, n, t->dim[rows - 1]));
  return !(both && (x->op->flags & XLM_OPF_OFFSETS));
}

static bool check_over(xlm_infer *x, const xlm_type *t, const xlm_dim *over, int n) {
  for (int i = 0; i < n; i++) {
    if (!xlm_infer_has(x, 0, over[i], xlm_arena_printf(x->g->arena, "which `%s` works over", x->op->name)))
      return false;
    if (!splits_rows(x, t, xlm_type_find(t, over[i]), over, n)) continue;
    xlm_infer_fail(x, XLM_FAULT_ATTR, 0,
                   "`%s` cannot work over `%s` of %s: the experts' rows differ in number", x->op->name,
                   x->g->dims[over[i]].name, xlm_infer_dims_text(x, t));
    return xlm_infer_help(x, "use `combine` first, which gives one row per token again");
  }
  return true;
}

bool xlm_rule_over(xlm_infer *x, bool all_unset) {
  if (!xlm_infer_is_float(x, 0)) return false;
  const xlm_type *t = xlm_infer_type(x, 0);
  xlm_dim over[XLM_MAX_RANK], sorted[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_over, over), n_sorted = 0;
  bool unset = !xlm_attr_find(&x->attrs, XLM_A_over);
  for (int i = 0; unset && i < t->rank; i++)
    if (all_unset || i == t->rank - 1) over[n++] = t->dim[i];
  if (n == 0 && !all_unset)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, 0, "`%s` needs a dimension to work over, and %s has none",
                          x->op->name, xlm_infer_dims_text(x, t));
  if (!check_over(x, t, over, n)) return false;
  for (int i = 0; i < t->rank; i++)
    if (among(over, n, t->dim[i])) sorted[n_sorted++] = t->dim[i];
  xlm_infer_set_dims(x, XLM_A_over, sorted, n_sorted);
  return true;
}

xlm_type xlm_rule_reduced(const xlm_infer *x, xlm_dtype dtype) {
  const xlm_type *t = xlm_infer_type(x, 0);
  xlm_type out = {.dtype = dtype};
  for (int i = 0; i < t->rank; i++)
    if (!xlm_attr_has_dim(&x->attrs, XLM_A_over, t->dim[i])) out.dim[out.rank++] = t->dim[i];
  return out;
}

double xlm_rule_elements(const xlm_graph *g, xlm_val v) {
  return (double)xlm_type_elements(xlm_val_type(g, v), g->dims);
}

xlm_attr_list xlm_rule_over_of(const xlm_graph *g, xlm_node n) {
  xlm_attr_list l = xlm_attr_list_new(g->arena);
  const xlm_attr *over = xlm_attr_find(&xlm_node_at(g, n)->attrs, XLM_A_over);
  XLM_ASSERT(over, "node %u has no `over`", n);
  xlm_attr_put(&l, *over);
  return l;
}

xlm_val xlm_rule_broadcast(xlm_build *b, xlm_val x, const xlm_type *like) {
  const xlm_type *t = xlm_val_type(b->g, x);
  if (t->rank == like->rank && !memcmp(t->dim, like->dim, t->rank * sizeof *t->dim)) return x;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, like->dim, like->rank);
  return xlm_emit(b, XLM_OP_BROADCAST, &x, 1, &l);
}

bool xlm_rule_norm(xlm_infer *x) {
  if (!xlm_rule_over(x, false)) return false;
  double eps = xlm_attr_float(&x->attrs, XLM_A_eps, 1e-5);
  if (!(eps >= 0))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "the eps of `%s` is %g; it must not be negative",
                          x->op->name, eps);
  xlm_infer_set_float(x, XLM_A_eps, eps);
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

void xlm_rule_norm_grad(xlm_grad *g, xlm_op_id bwd) {
  xlm_attr_list l = xlm_rule_over_of(g->b->g, g->node);
  xlm_attr_put_float(&l, XLM_A_eps, xlm_attr_float(&xlm_node_at(g->b->g, g->node)->attrs, XLM_A_eps, 1e-5));
  xlm_type like = *xlm_val_type(g->b->g, g->in[0]);
  xlm_val dy = xlm_order_to(g->b, g->dout[0], &like);
  g->din[0] = xlm_emit(g->b, bwd, (xlm_val[]){g->in[0], dy}, 2, &l);
}
