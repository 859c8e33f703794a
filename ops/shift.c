// shift: y[t] = x[t - by] along a dimension, with zeros at the edge: the previous token, the taps of a causal
// convolution.
#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim seq;
  if (!shape_single(x, XLM_A_seq)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, 0, "seq", false, &seq) || !shape_not_packed(x, 0, seq)) return false;
  xlm_infer_set_int(x, XLM_A_start, xlm_attr_int(&x->attrs, XLM_A_start, 1));
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_put_int(&l, XLM_A_start, -xlm_attr_int(shape_grad_attrs(x), XLM_A_start, 1));
  x->din[0] = xlm_emit(x->b, XLM_OP_SHIFT, &x->dout[0], 1, &l);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_seq, false},
                                   {"by", XLM_P_INT, XLM_A_start, false},
                                   {0}};

const xlm_op xlm_op_shift = {
    .name = "shift",
    .facts = {.linear = 1, .mixes = XLM_KEY(seq), .moves = true},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_start, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST}),
    .layout = "[* seq] -> [* seq] | seq: whole, *: linear",
    .infer = infer,
    .grad = grad,
    .doc = "`shift(x, over seq, by = 1)`: `y[t] = x[t - by]` along `seq` (the default dimension), zero where "
           "t - by lies "
           "outside. A negative `by` looks ahead.",
};
