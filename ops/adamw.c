// adamw: AdamW of Loshchilov & Hutter, "Decoupled Weight Decay Regularization", algorithm 2. One pass over
// memory updates the parameter and both moments in place.
#include <string.h>

#include "compiler/ir/op.h"

enum { P, M, V, G, SCALE, LR, STEP };

static bool infer(xlm_infer *x) {
  const xlm_type *p = xlm_infer_type(x, P);
  for (int i = P; i <= STEP; i++) {
    const xlm_type *t = xlm_infer_type(x, i);
    if (!xlm_infer_is_float(x, i)) return false;
    if (i != G && t->dtype == XLM_BF16)
      return xlm_infer_fail(x, XLM_FAULT_DTYPE, i,
                            "parameters, moments and settings of an update are f32, not bf16");
    bool fits =
        i > G ? t->rank == 0 : t->rank == p->rank && !memcmp(t->dim, p->dim, p->rank * sizeof *p->dim);
    if (!fits)
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, i, "an update of %s cannot take %s here",
                            xlm_infer_dims_text(x, p), xlm_infer_dims_text(x, t));
  }
  for (int i = P; i <= V; i++) x->out[i] = *xlm_infer_type(x, i);
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_type *p = xlm_val_type(g, xlm_node_at(g, n)->in[P]);
  out->flops = 16 * (double)xlm_type_elements(p, g->dims);
}

const xlm_op xlm_op_adamw = {.name = "adamw",
                             .flags = XLM_OPF_INTERNAL,
                             .min_in = 7,
                             .max_in = 7,
                             .n_out = 3,
                             .n_alias = 3,
                             XLM_TAKES({XLM_A_decay, .low = 0, .high = XLM_ATTR_MOST, .may = true},
                                       {XLM_A_beta1, .low = 0, .high = 1, .may = true, .unset = 0.9},
                                       {XLM_A_beta2, .low = 0, .high = 1, .may = true, .unset = 0.95},
                                       {XLM_A_eps, .low = 0, .high = XLM_ATTR_MOST, .may = true, .unset = 1e-8}),
                             .layout = "[*], [*], [*], [*], [], [], [] -> [*], [*], [*]",
                             .infer = infer,
                             .no_grad = "used after differentiation only",
                             .cost = cost,
                             .doc = "One step of AdamW on parameter p with moments m, v, gradient g, "
                                    "gradient factor `scale`, learning rate lr and "
                                    "the number t of this step, from 1: h = scale g; m = beta1 m + (1 - "
                                    "beta1) h; v = beta2 v + (1 - beta2) h^2; "
                                    "p = p - lr (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + decay "
                                    "p). beta1 = 0.9, beta2 = 0.95, "
                                    "eps = 1e-8, decay = 0 unless given."};
