// dropout: the mask comes from a counter-based generator, keyed by (seed, name, step) and the global index of
// the element, so that it is the same in every layout and the gradient can recompute it.
//
// The counter of element x[i0, i1, ..]: the high word is its sample (the index along the dimension named
// `batch`, plus the first sample of the microbatch); the low word is the row-major index of the other
// dimensions, by full sizes. Four neighbours share a draw.
#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  double p = xlm_attr_float(&x->attrs, XLM_A_p, -1);
  if (!xlm_infer_is_float(x, 0)) return false;
  if (!(p >= 0 && p < 1))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1,
                          "the probability of dropping must be at least 0 and below 1, not %g", p);
  const xlm_type *t = xlm_infer_type(x, 0);
  for (int i = 0; i < t->rank; i++)
    if (x->g->dims[t->dim[i]].ragged)
      return xlm_infer_fail(x, XLM_FAULT_ATTR, 0,
                            "ragged rows have no fixed place, so their mask would depend on the routing") ||
             xlm_infer_help(x, "drop before dispatch or after combine");
  x->out[0] = *t;
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val dy = shape_dout(x, 0);
  x->din[0] = xlm_emit(x->b, XLM_OP_DROPOUT_BWD, &dy, 1, &as);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  const xlm_type *t = xlm_val_type(g, node->out);
  out->flops = (double)xlm_type_elements(t, g->dims);
  out->bytes = 2.0 * (double)xlm_type_bytes(t, g->dims);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"p", XLM_P_FLOAT, XLM_A_p, true},
                                   {"name", XLM_P_TEXT, XLM_A_name, false},
                                   {0}};

const xlm_op xlm_op_dropout = {
    .name = "dropout",
    .flags = XLM_OPF_RANDOM,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1u << 0,
    .params = params,
    XLM_TAKES({XLM_A_p, .low = 0, .high = 1}, {XLM_A_name, .may = true, .without = "the empty name"}),
    .layout = "[*] -> [*] | *: place",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`dropout(x, p)`: each element is zero with probability p, else `x / (1 - p)`. The mask is a "
           "function of the run's "
           "seed, the step, the call's place in the model and the element's global index: it is the same in "
           "every layout "
           "and for every number of microbatches. In evaluation there is no dropout.",
};

const xlm_op xlm_op_dropout_bwd = {
    .name = "dropout_bwd",
    .flags = XLM_OPF_INTERNAL | XLM_OPF_RANDOM,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1u << 0,
    XLM_TAKES({XLM_A_p, .low = 0, .high = 1}, {XLM_A_name, .may = true, .without = "the empty name"}),
    .layout = "[*] -> [*] | *: place",
    .infer = infer,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost,
    .doc = "Gradient of `dropout`: dy with the same mask and factor, drawn again.",
};
