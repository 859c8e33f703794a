// sgd: gradient descent with momentum; updates the parameter and the momentum in place.
#include <string.h>

#include "compiler/ir/op.h"

enum { P, M, G, SCALE, LR };

static bool infer(xlm_infer *x) {
  const xlm_type *p = xlm_infer_type(x, P);
  for (int i = P; i <= LR; i++) {
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
  for (int i = P; i <= M; i++) x->out[i] = *xlm_infer_type(x, i);
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_type *p = xlm_val_type(g, xlm_node_at(g, n)->in[P]);
  out->flops = 7 * (double)xlm_type_elements(p, g->dims);
}

const xlm_op xlm_op_sgd = {
    .name = "sgd",
    .flags = XLM_OPF_INTERNAL,
    .min_in = 5,
    .max_in = 5,
    .n_out = 2,
    .n_alias = 2,
    XLM_TAKES({XLM_A_nesterov, .low = 0, .high = 1, .may = true},
              {XLM_A_decay, .low = 0, .high = XLM_ATTR_MOST, .may = true},
              {XLM_A_beta1, .low = 0, .high = 1, .may = true}),
    .layout = "[*], [*], [*], [], [] -> [*], [*]",
    .infer = infer,
    .no_grad = "used after differentiation only",
    .cost = cost,
    .doc =
        "One step of gradient descent on parameter p with momentum m, gradient g, gradient factor `scale` "
        "and learning "
        "rate lr: h = scale g + decay p; m = beta1 m + h; p = p - lr m, and with `nesterov` p = p - lr (h + "
        "beta1 m). beta1 = decay = 0 unless given."};
