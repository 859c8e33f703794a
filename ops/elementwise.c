// What the elementwise functions have in common: inference, broadcasting, gradients. Their rules are in the
// files elementwise_*.c, one xlm_op each.
//
// Operands broadcast by name: the result has the dimensions of the operand with the most, in its order, then
// the others' further ones. Gradients are emitted as elementwise functions, so that the fuse pass turns them
// into one pass over memory; a costly derivative (silu, gelu) is a separate function. If the derivative is
// cheap in terms of the result (exp, tanh, sigmoid, sqrt, ...), the gradient uses the result, so that the
// operand need not be stored.
#include <math.h>

#include "ops/elementwise_priv.h"

enum { MOST_WHOLE = 1 << 24 }; // integers below it are exact in f32

bool xlm_fn_is_number(const xlm_infer *x, int i) {
  return xlm_infer_type(x, i)->rank == 0 && xlm_node_is(xlm_val_node(x->g, x->in[i]), XLM_LEAF_CONSTANT);
}

static xlm_dtype promoted(const xlm_infer *x, int first) {
  bool any = false;
  for (int i = first; i < x->n_in; i++) {
    xlm_dtype t = xlm_infer_type(x, i)->dtype;
    if (xlm_fn_is_number(x, i) || t == XLM_I32) continue;
    if (t != XLM_BF16) return t;
    any = true;
  }
  return any ? XLM_BF16 : XLM_F32;
}

static int widest(const xlm_infer *x) {
  int best = 0;
  for (int i = 1; i < x->n_in; i++)
    if (xlm_infer_type(x, i)->rank > xlm_infer_type(x, best)->rank) best = i;
  return best;
}

static bool add_dims(xlm_infer *x, xlm_type *out, int operand) {
  const xlm_type *t = xlm_infer_type(x, operand);
  for (int i = 0; i < t->rank; i++) {
    if (xlm_type_find(out, t->dim[i]) >= 0) continue;
    if (out->rank == XLM_MAX_RANK)
      return xlm_infer_fail(x, XLM_FAULT_RANK, operand,
                            "the result of `%s` would have more than %d dimensions", x->op->name,
                            XLM_MAX_RANK);
    out->dim[out->rank++] = t->dim[i];
  }
  return true;
}

// Rows of experts are packed: an operand with a value per expert but not per row cannot be broadcast along
// them. Real numbers have been repeated for the rows (compiler/elaborate/emit.c).
static bool check_ragged(xlm_infer *x, const xlm_type *out) {
  for (int i = 1; i < out->rank; i++) {
    if (!x->g->dims[out->dim[i]].ragged) continue;
    for (int j = 0; j < x->n_in; j++) {
      const xlm_type *t = xlm_infer_type(x, j);
      if ((xlm_type_find(t, out->dim[i - 1]) >= 0) == (xlm_type_find(t, out->dim[i]) >= 0)) continue;
      xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, j,
                     "%s does not broadcast to the rows of %s, whose number differs per `%s`",
                     xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, out),
                     x->g->dims[out->dim[i - 1]].name);
      return xlm_infer_help(x, "real numbers do: write `f32(..)`");
    }
  }
  return true;
}

bool xlm_fn_infer_dims(xlm_infer *x, xlm_dtype dtype) {
  xlm_type out = *xlm_infer_type(x, widest(x));
  out.dtype = dtype;
  for (int i = 0; i < x->n_in; i++)
    if (!add_dims(x, &out, i)) return false;
  x->out[0] = out;
  return check_ragged(x, &out);
}

bool xlm_fn_infer(xlm_infer *x) {
  for (int i = 0; i < x->n_in; i++) {
    if (xlm_infer_is_float(x, i)) continue;
    return xlm_infer_help(x, "`f32(...)` makes real numbers of integers");
  }
  return xlm_fn_infer_dims(x, promoted(x, 0));
}

bool xlm_fn_infer_real(xlm_infer *x) {
  return xlm_fn_infer_dims(x, promoted(x, 0));
}

static bool is_whole(const xlm_infer *x, int i) {
  if (xlm_infer_type(x, i)->dtype == XLM_I32) return true;
  double v =
      xlm_fn_is_number(x, i) ? xlm_attr_float(&xlm_val_node(x->g, x->in[i])->attrs, XLM_A_value, 0) : 0.5;
  return v == floor(v) && fabs(v) < MOST_WHOLE;
}

xlm_dtype xlm_fn_integers(const xlm_infer *x, int first) {
  bool integers = false;
  for (int i = first; i < x->n_in; i++) {
    if (!is_whole(x, i)) return promoted(x, first);
    integers |= xlm_infer_type(x, i)->dtype == XLM_I32;
  }
  return integers ? XLM_I32 : promoted(x, first);
}

bool xlm_fn_infer_whole(xlm_infer *x) {
  return xlm_fn_infer_dims(x, xlm_fn_integers(x, 0));
}

void xlm_fn_cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->out);
}

void xlm_fn_give(xlm_grad *g, int i, xlm_val v) {
  xlm_type like = *xlm_val_type(g->b->g, g->in[i]);
  g->din[i] = xlm_sum_to(g->b, v, &like);
}

const char xlm_fn_flat[] = "its derivative is 0 wherever it exists";
const char xlm_fn_first_order[] = "only first derivatives are defined";

const xlm_param xlm_fn_params_1[] = {{"x", XLM_P_TENSOR, 0, true}, {0}};
const xlm_param xlm_fn_params_2[] = {{"x", XLM_P_TENSOR, 0, true}, {"y", XLM_P_TENSOR, 0, true}, {0}};
const xlm_param xlm_fn_params_3[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"y", XLM_P_TENSOR, 0, true}, {"z", XLM_P_TENSOR, 0, true}, {0}};
