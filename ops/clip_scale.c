// clip_scale: the factor that reduces the global gradient norm to its limit.
#include "compiler/ir/op.h"
#include "ops/norm_sq.h"

static bool infer(xlm_infer *x) {
  for (int i = 0; i < x->n_in; i++) {
    const xlm_type *t = xlm_infer_type(x, i);
    if (t->dtype != XLM_F64)
      return xlm_infer_fail(x, XLM_FAULT_DTYPE, i, "squared norms are f64, not %s", xlm_dtype_name(t->dtype));
    if (xlm_type_elements(t, x->g->dims) != XLM_NORM_LIMBS)
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, i, "a squared norm is what norm_sq gives, not %s",
                            xlm_infer_dims_text(x, t));
  }
  if (xlm_attr_float(&x->attrs, XLM_A_value, 1) <= 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "the largest allowed norm must be positive");
  x->out[0] = x->out[1] = (xlm_type){.dtype = XLM_F32};
  return true;
}

const xlm_op xlm_op_clip_scale = {
    .name = "clip_scale",
    .facts = {.adds_operands = true},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 1,
    .max_in = -1,
    .n_out = 2,
    XLM_TAKES({XLM_A_value, .low = 0, .high = XLM_ATTR_MOST, .may = true, .without = "any norm"}),
    .layout = "[*] -> [], []",
    .infer = infer,
    .no_grad = "used after differentiation only",
    .doc = "From squared norms (added up) the norm and the factor min(1, value "
           "/ (norm + 1e-6)) that clips it to `value`; "
           "without `value` the factor is 1. A norm that is not finite gives a factor that is "
           "not a number, and the optimizers then change nothing. Results: factor, norm."};
