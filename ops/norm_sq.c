// norm_sq: one number over all gradients, for the global norm. In f64, so that clipping does not depend on
// how the sum was split.
#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  for (int i = 0; i < x->n_in; i++)
    if (!xlm_infer_is_float(x, i)) return false;
  x->out[0] = (xlm_type){.dtype = XLM_F64};
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  for (int i = 0; i < node->n_in; i++)
    out->flops += 2 * (double)xlm_type_elements(xlm_val_type(g, node->in[i]), g->dims);
}

const xlm_op xlm_op_norm_sq = {.name = "norm_sq",
                               .flags = XLM_OPF_INTERNAL,
                               .min_in = 0,
                               .max_in = -1,
                               .n_out = 1,
                               .layout = "[*] -> [] | *: sum",
                               .infer = infer,
                               .no_grad = "used after differentiation only",
                               .cost = cost,
                               .doc = "The sum of the squares of all elements of all operands, in f64, in an "
                                      "order that depends on their sizes alone."};
