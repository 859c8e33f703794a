// rope: rotary position embedding (Su et al., "RoFormer"). A linear map by an orthogonal matrix per position,
// so its gradient is the same op with the opposite rotation.
#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  xlm_dim seq, feature;
  if (!xlm_infer_is_float(x, 0) || !xlm_infer_dim_attr(x, XLM_A_seq, 0, "seq", false, &seq) ||
      !xlm_infer_dim_attr(x, XLM_A_feature, 0, NULL, true, &feature))
    return false;
  const xlm_dim_info *f = &x->g->dims[feature];
  if (seq == feature) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, 0, "rope turns `%s` by its own position", f->name);
    return xlm_infer_help(x, "name the dimension of one head's vector: rope(x, feature = ..)");
  }
  if (f->size % 2)
    return xlm_infer_fail(x, XLM_FAULT_SIZE, 0, "rope turns pairs, and `%s` = %lld is odd", f->name,
                          (long long)f->size);
  if (xlm_attr_float(&x->attrs, XLM_A_base, 10000) <= 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "rope's base must be positive");
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *d) {
  if (!d->dout[0] || !d->need[0]) return;
  const xlm_attrs *as = &xlm_node_at(d->b->g, d->node)->attrs;
  xlm_attr_list l = xlm_attr_list_from(d->b->g->arena, as);
  xlm_attr_put_int(&l, XLM_A_inverse, !xlm_attr_int(as, XLM_A_inverse, 0));
  d->din[0] = xlm_emit(d->b, XLM_OP_ROPE, d->dout, 1, &l);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_type *t = xlm_val_type(g, xlm_node_at(g, n)->out);
  out->flops = 3 * (double)xlm_type_elements(t, g->dims);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"base", XLM_P_FLOAT, XLM_A_base, false},
                                   {"position", XLM_P_INT, XLM_A_position, false},
                                   {"seq", XLM_P_DIM, XLM_A_seq, false},
                                   {"feature", XLM_P_DIM, XLM_A_feature, false},
                                   {"interleaved", XLM_P_FLAG, XLM_A_interleaved, false},
                                   {NULL}};

const xlm_op xlm_op_rope = {
    .name = "rope",
    .facts = {.linear = 1, .mixes = XLM_KEY(feature), .published = {XLM_A_base, "rope_theta", 10000}},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_feature, XLM_IN(0), 1, 1},
              {XLM_A_base, .low = 0, .high = XLM_ATTR_MOST, .may = true, .unset = 10000},
              {XLM_A_position, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true},
              {XLM_A_interleaved, .low = 0, .high = 1, .may = true},
              {XLM_A_inverse, .low = 0, .high = 1, .may = true}),
    .layout = "[* seq feature] -> [* seq feature] | seq: place, feature: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "Turns each pair (a, b) of `feature` (default: the last dimension, n of them) at position p of "
           "`seq` by the "
           "angle p * base^(-2j/n): (a cos - b sin, b cos + a sin). Pair j is (j, j + n/2) as in Llama, with "
           "`interleaved` (2j, 2j + 1). base = 10000 unless given; `position` is added to every position."};
