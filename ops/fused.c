// fused: a chain of elementwise functions in one pass over memory. Emitted by the fuse pass only.
//
// Attributes: `code`, the program (runtime/plan/code.h); `dims`, the dims of all results, in storage order;
// `dtypes`, the element types of the results. Operands have any of these dims, in any order.
#include "ops/rules_priv.h"
#include "runtime/plan/code.h"

static bool result_types(xlm_infer *x, const xlm_code *code) {
  xlm_type t = {0};
  t.rank = (uint8_t)xlm_attr_dims(&x->attrs, XLM_A_dims, t.dim);
  xlm_ints dtypes = xlm_attr_ints(&x->attrs, XLM_A_dtypes);
  if (dtypes.n != code->n_out)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`fused` has %d results and %u element types", code->n_out,
                          dtypes.n);
  for (int i = 0; i < code->n_out; i++) {
    t.dtype = (xlm_dtype)dtypes.at[i];
    x->out[i] = t;
  }
  x->n_out = code->n_out;
  return true;
}

static bool infer(xlm_infer *x) {
  const xlm_attr *code = xlm_attr_find(&x->attrs, XLM_A_code);
  if (!code || code->code->n_in != x->n_in)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`fused` has %d operands, but not the program for them",
                          x->n_in);
  if (!result_types(x, code->code)) return false;
  for (int i = 0; i < x->n_in; i++) {
    const xlm_type *t = xlm_infer_type(x, i);
    for (int j = 0; j < t->rank; j++)
      if (xlm_type_find(&x->out[0], t->dim[j]) < 0)
        return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, i, "%s has a dimension that the result %s lacks",
                              xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, &x->out[0]));
  }
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  const xlm_attr *code = xlm_attr_find(&node->attrs, XLM_A_code);
  out->flops = (double)code->code->n * xlm_rule_elements(g, node->out);
}

const xlm_op xlm_op_fused = {
    .name = "fused",
    .flags = XLM_OPF_INTERNAL,
    .min_in = 0,
    .max_in = XLM_CODE_MAX_IN,
    .n_out = XLM_CODE_MAX_OUT,
    .in_place = (1u << XLM_CODE_MAX_IN) - 1,
    XLM_TAKES({XLM_A_dims, XLM_OUT(0), 0, 8}, {XLM_A_dtypes, .least = 1}, {XLM_A_code}),
    .layout = "[*].. -> [*]..",
    .infer = infer,
    .cost = cost,
    .no_grad = "made after differentiation",
    .doc = "Elementwise functions run as one pass over memory: each block of elements is read once, goes "
           "through the whole "
           "program in cache, and is written once. Inside, numbers are fp32 whatever the operands' types.",
};
