// broadcast: repeats a tensor along further dimensions; the gradient of a sum. Elementwise functions
// broadcast their operands, so a pass may drop this op before them.
#include "ops/rules_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *t = xlm_infer_type(x, 0);
  xlm_type out = {.dtype = t->dtype};
  out.rank = (uint8_t)xlm_attr_dims(&x->attrs, XLM_A_dims, out.dim);
  for (int i = 0; i < t->rank; i++)
    if (xlm_type_find(&out, t->dim[i]) < 0)
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 0,
                            "%s has dimensions that %s lacks: `broadcast` only adds",
                            xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, &out));
  for (int i = 0; i < out.rank; i++)
    if (x->g->dims[out.dim[i]].ragged && xlm_type_find(t, out.dim[i]) < 0)
      return xlm_infer_fail(x, XLM_FAULT_ATTR, 0,
                            "`broadcast` cannot add the dimension `%s`, whose length varies",
                            x->g->dims[out.dim[i]].name);
  x->out[0] = out;
  return true;
}

static void grad(xlm_grad *g) {
  xlm_type like = *xlm_val_type(g->b->g, g->in[0]);
  g->din[0] = xlm_sum_to(g->b, g->dout[0], &like);
}

const xlm_op xlm_op_broadcast = {
    .name = "broadcast",
    .facts = {.linear = 1, .of_totals = true, .keeps_values = true, .moves = true},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_dims, XLM_OUT(0), 0, 8}),
    .layout = "[*] -> [* dims] | *: linear",
    .infer = infer,
    .grad = grad,
    .doc = "`broadcast(x; dims)`: `x` repeated to the dimensions `dims`, which contain its own, stored in "
           "that order.",
};
