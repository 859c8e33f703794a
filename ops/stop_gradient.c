// stop_gradient: the identity, without a gradient.
#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {0}};

const xlm_op xlm_op_stop_gradient = {
    .name = "stop_gradient",
    .facts = {.opaque = true},
    .flags = XLM_OPF_VIEW,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    .layout = "[*] -> [*] | *: linear",
    .infer = infer,
    .no_grad = "that is its purpose",
    .doc = "`stop_gradient(x)` is `x`; the gradient of anything computed from it does not reach `x`. Costs "
           "nothing. Example: "
           "`x + stop_gradient(round_trip(x) - x)` uses one value in the forward pass and differentiates "
           "another.",
};
