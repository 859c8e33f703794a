// norm_sq: the squared norm of all gradients, exact (norm_sq.h), so that clipping does not depend on how the
// sum was split over ranks, stages and threads.
#include "ops/norm_sq.h"

#include "compiler/ir/op.h"

static xlm_dim limbs(xlm_graph *g) {
  static const char name[] = "norm_sq.limbs"; // contains a dot, so no dimension of a model has it
  xlm_dim d = xlm_graph_dim_find(g, name, 0);
  return d ? d
           : xlm_graph_dim_add(g,
                               (xlm_dim_info){.name = name, .size = XLM_NORM_LIMBS, .full = XLM_NORM_LIMBS});
}

static bool infer(xlm_infer *x) {
  for (int i = 0; i < x->n_in; i++)
    if (!xlm_infer_is_float(x, i)) return false;
  x->out[0] = (xlm_type){.dtype = XLM_F64, .rank = 1, .dim = {limbs(x->g)}};
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  for (int i = 0; i < node->n_in; i++)
    out->flops += 2 * (double)xlm_type_elements(xlm_val_type(g, node->in[i]), g->dims);
}

const xlm_op xlm_op_norm_sq = {.name = "norm_sq",
                               .facts = {.additive = true},
                               .flags = XLM_OPF_INTERNAL,
                               .min_in = 0,
                               .max_in = -1,
                               .n_out = 1,
                               .layout = "[*] -> [] | *: sum",
                               .infer = infer,
                               .no_grad = "used after differentiation only",
                               .cost = cost,
                               .doc =
                                   "The exact sum of the squares of all elements of all operands, in several "
                                   "f64 numbers that add up to it."};
