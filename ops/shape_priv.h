// Helpers for rule files about types and dimensions. They do not depend on particular ops.
#ifndef XLM_OPS_SHAPE_PRIV_H
#define XLM_OPS_SHAPE_PRIV_H

#include "compiler/ir/op.h"

// The accumulator type of sums: f32, or f64 in a reference graph.
static inline xlm_dtype shape_wide(xlm_dtype t) {
  return t == XLM_F64 ? XLM_F64 : XLM_F32;
}
static inline xlm_type shape_scalar(xlm_dtype t) {
  return (xlm_type){.dtype = t};
}
static inline const char *shape_name(const xlm_infer *x, xlm_dim d) {
  return x->g->dims[d].name;
}
static inline int64_t shape_size(const xlm_infer *x, xlm_dim d) {
  return x->g->dims[d].size;
}

// A single dimension given by attribute; 0 when unset.
static inline xlm_dim shape_attr_dim(const xlm_infer *x, xlm_attr_key key) {
  const xlm_attr *a = xlm_attr_find(&x->attrs, key);
  return a && a->n > 0 ? a->dims[0] : 0;
}

// The attribute names one dimension or none.
static inline bool shape_single(xlm_infer *x, xlm_attr_key key) {
  const xlm_attr *a = xlm_attr_find(&x->attrs, key);
  return !a || a->n == 1 ||
         xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` works along one dimension, not %d", x->op->name, a->n);
}

static inline bool shape_append(xlm_infer *x, xlm_type *t, xlm_dim d) {
  if (t->rank == XLM_MAX_RANK)
    return xlm_infer_fail(x, XLM_FAULT_RANK, -1, "the result would have more than %d dimensions",
                          XLM_MAX_RANK);
  if (xlm_type_find(t, d) >= 0)
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, -1, "the result would have dimension `%s` twice",
                          shape_name(x, d));
  t->dim[t->rank++] = d;
  return true;
}

static inline xlm_type shape_without(const xlm_type *t, xlm_dim d) {
  xlm_type out = {.dtype = t->dtype};
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] != d) out.dim[out.rank++] = t->dim[i];
  return out;
}

// The dims of a that b lacks, in a's order.
static inline xlm_type shape_minus(const xlm_type *a, const xlm_type *b) {
  xlm_type out = {.dtype = a->dtype};
  for (int i = 0; i < a->rank; i++)
    if (xlm_type_find(b, a->dim[i]) < 0) out.dim[out.rank++] = a->dim[i];
  return out;
}

static inline bool shape_same_dims(const xlm_type *a, const xlm_type *b) { // in any order
  return a->rank == b->rank && shape_minus(a, b).rank == 0;
}

// d is ragged or has ragged rows in t: its extent in storage differs from its size.
static inline bool shape_is_packed(const xlm_infer *x, const xlm_type *t, xlm_dim d) {
  int i = xlm_type_find(t, d);
  return x->g->dims[d].ragged || (i >= 0 && i + 1 < t->rank && x->g->dims[t->dim[i + 1]].ragged);
}

static inline bool shape_not_packed(xlm_infer *x, int operand, xlm_dim d) {
  if (!shape_is_packed(x, xlm_infer_type(x, operand), d)) return true;
  return xlm_infer_fail(
      x, XLM_FAULT_ATTR, operand,
      "dimension `%s` belongs to ragged rows and cannot be changed between dispatch and combine",
      shape_name(x, d));
}

static inline bool shape_is_index(xlm_infer *x, int operand, const char *what) {
  if (xlm_infer_type(x, operand)->dtype == XLM_I32) return true;
  return xlm_infer_fail(x, XLM_FAULT_DTYPE, operand, "%s must be integers, not %s", what,
                        xlm_dtype_name(xlm_infer_type(x, operand)->dtype));
}

// Operands in the order of real numbers, integers. `call` shows the order to those who turn it round.
static inline bool shape_has_index(xlm_infer *x, const char *what, const char *call) {
  bool turned = xlm_infer_type(x, 0)->dtype == XLM_I32 && xlm_infer_type(x, 1)->dtype != XLM_I32;
  if (xlm_infer_is_float(x, 0)) return shape_is_index(x, 1, what);
  return turned ? xlm_infer_help(x, "the order is %s", call) : false;
}

// Checks that the operand and `like` have the same dimensions, in any order.
static inline bool shape_match(xlm_infer *x, int operand, const xlm_type *like, const char *what) {
  const xlm_type *t = xlm_infer_type(x, operand);
  if (shape_same_dims(t, like)) return true;
  return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, operand, "%s must have the dimensions %s, not %s", what,
                        xlm_infer_dims_text(x, like), xlm_infer_dims_text(x, t));
}

static inline const xlm_attrs *shape_grad_attrs(const xlm_grad *x) {
  return &xlm_node_at(x->b->g, x->node)->attrs;
}

// The gradient of output i, in the output's own storage order.
static inline xlm_val shape_dout(const xlm_grad *x, int i) {
  xlm_type like = *xlm_val_type(x->b->g, x->out[i]);
  return xlm_order_to(x->b, x->dout[i], &like);
}

#define SHAPE_NO_SECOND "it is itself part of a gradient; gradients are not differentiated again"

#endif
