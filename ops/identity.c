// The two identities of the language: stop_gradient, without a gradient, and per_microbatch, which marks a
// loss as the mean of its microbatches' values. The pass global_batch reads and removes the second.
#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *x) {
  x->din[0] = x->dout[0];
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true}, {0}};

#define IDENTITY                                                                                             \
  .flags = XLM_OPF_VIEW, .min_in = 1, .max_in = 1, .n_out = 1, .params = params,                             \
  .layout = "[*] -> [*] | *: linear", .infer = infer

const xlm_op xlm_op_stop_gradient = {
    .name = "stop_gradient",
    .facts = {.linear = 1, .opaque = true, .moves = true},
    IDENTITY,
    .no_grad = "that is its purpose",
    .doc = "`stop_gradient(x)` is `x`; the gradient of anything computed from it does not reach `x`. Costs "
           "nothing. Example: "
           "`x + stop_gradient(round_trip(x) - x)` uses one value in the forward pass and differentiates "
           "another.",
};

const xlm_op xlm_op_per_microbatch = {
    .name = "per_microbatch",
    .facts = {.linear = 1, .opaque = true, .moves = true, .per_microbatch = true},
    IDENTITY,
    .grad = grad,
    .doc = "`per_microbatch(x)` is `x`. It says that a loss which joins the samples of a batch in a way that "
           "does "
           "not add up over microbatches (`max(x, over batch)`, a product of two sums) is meant for each "
           "microbatch by itself, and averaged over them. Without it such a loss is an error as soon as "
           "there are "
           "several microbatches. `load_balance` has it built in.",
};
