// accumulate: sums gradients, losses and metrics over the microbatches of a step, in place.
#include <string.h>

#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  const xlm_type *acc = xlm_infer_type(x, 0), *g = xlm_infer_type(x, 1);
  if (!xlm_infer_is_float(x, 1)) return false;
  if (acc->dtype != XLM_F32 && acc->dtype != XLM_F64)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, 0, "sums are kept in f32, not in %s",
                          xlm_dtype_name(acc->dtype));
  if (acc->rank != g->rank || memcmp(acc->dim, g->dim, acc->rank * sizeof *acc->dim))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 1,
                          "%s cannot be added into %s: same dimensions, same order",
                          xlm_infer_dims_text(x, g), xlm_infer_dims_text(x, acc));
  x->out[0] = *acc;
  return true;
}

const xlm_op xlm_op_accumulate = {.name = "accumulate",
                                  .facts = {.sums = true, .addend = 2},
                                  .flags = XLM_OPF_INTERNAL,
                                  .min_in = 2,
                                  .max_in = 2,
                                  .n_out = 1,
                                  .n_alias = 1,
                                  XLM_TAKES({XLM_A_store, .low = 0, .high = 1, .may = true}),
                                  .layout = "[*], [*] -> [*]",
                                  .infer = infer,
                                  .no_grad = "made by differentiation itself",
                                  .doc = "acc + g in acc's memory, in f32; with `store`, as in the first "
                                         "microbatch of a step, acc counts as zero."};
