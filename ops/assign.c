// assign: sets the next value of a state.
#include <string.h>

#include "compiler/ir/op.h"

static bool infer(xlm_infer *x) {
  const xlm_type *s = xlm_infer_type(x, 0), *v = xlm_infer_type(x, 1);
  if (s->dtype != v->dtype)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, 1, "the state is %s and its next value %s",
                          xlm_dtype_name(s->dtype), xlm_dtype_name(v->dtype));
  if (s->rank != v->rank || memcmp(s->dim, v->dim, s->rank * sizeof *s->dim))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 1, "the state is %s and its next value %s",
                          xlm_infer_dims_text(x, s), xlm_infer_dims_text(x, v));
  x->out[0] = *s;
  return true;
}

const xlm_op xlm_op_assign = {.name = "assign",
                              .facts = {.stored = 2},
                              .flags = XLM_OPF_INTERNAL,
                              .min_in = 2,
                              .max_in = 2,
                              .n_out = 1,
                              .n_alias = 1,
                              .layout = "[*], [*] -> [*]",
                              .infer = infer,
                              .no_grad = "a state's next value does not count in this step's loss",
                              .doc = "The state, whose value is x from here on."};
