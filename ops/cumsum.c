// cumsum: running sums along a dimension. The gradient of a running sum is the running sum from the other
// end. The result is f32 whatever the operand, as that of `sum`.
#include "ops/cut_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim seq;
  if (!xlm_infer_is_float(x, 0) || !shape_single(x, XLM_A_seq)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, 0, "seq", false, &seq) || !shape_not_packed(x, 0, seq)) return false;
  x->out[0] = *xlm_infer_type(x, 0);
  x->out[0].dtype = shape_wide(x->out[0].dtype);
  return true;
}

static void grad(xlm_grad *x) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_put_int(&l, XLM_A_inverse, !xlm_attr_int(shape_grad_attrs(x), XLM_A_inverse, 0));
  x->din[0] = xlm_emit(x->b, XLM_OP_CUMSUM, &x->dout[0], 1, &l);
}

// The sum of the pieces before this one is added.
static void cut(const xlm_cut *x) {
  bool reverse = xlm_attr_int(x->attrs, XLM_A_inverse, 0);
  xlm_dim seq = cut_along(x);
  xlm_val y = cut_here(x, XLM_OP_CUMSUM);
  int64_t last = reverse ? 0 : x->b->g->dims[seq].size - 1;
  xlm_val before = cut_carried(x, xlm_slice_to(x->b, y, seq, last, cut_member(x)), 0, reverse);
  x->out[0] = cut_add(x->b, y, before);
}

static void chunk(xlm_chunk *c) {
  cut_chunk(c, cut, (cut_idle[]){{0, 0}}, 1);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = (double)xlm_type_elements(xlm_val_type(g, xlm_node_at(g, n)->in[0]), g->dims);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_seq, false},
                                   {"reverse", XLM_P_FLAG, XLM_A_inverse, false},
                                   {0}};

const xlm_op xlm_op_cumsum = {
    .name = "cumsum",
    .facts = {.linear = 1, .mixes = XLM_KEY(seq)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_inverse, .low = 0, .high = 1, .may = true}),
    .layout = "[* seq] -> [* seq] | seq: place, *: linear",
    .cut = cut,
    .cut_along = XLM_A_seq,
    .reach = cut_reach,
    .chunk = chunk,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`cumsum(x, over seq)`: running sums, `y[t] = x[0] + .. + x[t]` along `seq` (the default "
           "dimension); `reverse` begins "
           "at the end: `y[t] = x[t] + .. + x[n - 1]`. The result is f32, and its bits do not depend on the "
           "number of "
           "threads. Without its own element, a running sum is `shift(cumsum(x))`. Example, the number of "
           "the document "
           "at each position: `cumsum(f32(eq(f32(tokens), separator)))`. Where the "
           "sequence is split over ranks, they exchange their totals.",
};
