// fused: functions of elements and of rows in one pass over memory, and sums of what they give. Emitted by the
// fuse pass only.
//
// Attributes: `code`, the program (runtime/plan/code.h); `dims`, its space: the dims of all results that are not
// summed, in storage order; `dtypes`, the element types of the results. Operands have any of these dims, in any
// order.
#include "ops/rules_priv.h"
#include "runtime/plan/code.h"

static bool wrong(xlm_infer *x, const char *what) {
  return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "the program of `fused` %s", what);
}

// The size of the rows is checked where all sizes are known to be local: by the pass.
static bool rows_are_sound(xlm_infer *x, const xlm_code *code, const xlm_type *space) {
  bool functions = false;
  for (int i = 0; i < code->n; i++) {
    const xlm_code_instr *at = &code->at[i];
    if (!xlm_fn_is_row(at->fn)) continue;
    functions = true;
    for (int k = 0; k < xlm_fn_arity((xlm_fn)at->fn); k++)
      if (at->a[k] == XLM_CODE_IMM) return wrong(x, "has a function of rows of a number");
  }
  if (!code->row) return !(functions || code->n_summed) || wrong(x, "has functions of rows or sums, and no row");
  if (code->row > space->rank) return wrong(x, "has rows with more dimensions than its space");
  if (code->n_summed > code->n_out) return wrong(x, "has more sums than results");
  for (int i = 0; i < space->rank; i++)
    if (x->g->dims[space->dim[i]].ragged) return wrong(x, "has rows in a ragged space");
  return true;
}

static bool result_types(xlm_infer *x, const xlm_code *code, const xlm_type *space) {
  xlm_ints dtypes = xlm_attr_ints(&x->attrs, XLM_A_dtypes);
  if (dtypes.n != code->n_out)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`fused` has %d results and %u element types", code->n_out,
                          dtypes.n);
  for (int i = 0; i < code->n_out; i++) {
    bool summed = i >= code->n_out - code->n_summed;
    x->out[i] = summed ? xlm_code_row_type(code, space) : *space;
    x->out[i].dtype = (xlm_dtype)dtypes.at[i];
    if (summed && x->out[i].dtype != XLM_F32) return wrong(x, "has a sum that is not f32");
  }
  x->n_out = code->n_out;
  return true;
}

static bool infer(xlm_infer *x) {
  const xlm_attr *code = xlm_attr_find(&x->attrs, XLM_A_code);
  if (!code || code->code->n_in != x->n_in)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`fused` has %d operands, but not the program for them",
                          x->n_in);
  xlm_type space = xlm_code_space(&x->attrs);
  if (!rows_are_sound(x, code->code, &space) || !result_types(x, code->code, &space)) return false;
  for (int i = 0; i < x->n_in; i++) {
    const xlm_type *t = xlm_infer_type(x, i);
    for (int j = 0; j < t->rank; j++)
      if (xlm_type_find(&space, t->dim[j]) < 0)
        return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, i, "%s has a dimension that the result %s lacks",
                              xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, &space));
  }
  return true;
}

enum { ROW_FLOPS = 6 }; // of a function of rows, per element

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_attrs *attrs = &xlm_node_at(g, n)->attrs;
  const xlm_code *code = xlm_attr_find(attrs, XLM_A_code)->code;
  xlm_type space = xlm_code_space(attrs);
  int per_element = code->n_summed;
  for (int i = 0; i < code->n; i++) per_element += xlm_fn_is_row(code->at[i].fn) ? ROW_FLOPS : 1;
  out->flops = (double)per_element * (double)xlm_type_elements(&space, g->dims);
}

const xlm_op xlm_op_fused = {
    .name = "fused",
    .facts = {.mixes = XLM_KEY(code)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 0,
    .max_in = XLM_CODE_MAX_IN,
    .n_out = XLM_CODE_MAX_OUT,
    .in_place = (1u << XLM_CODE_MAX_IN) - 1,
    XLM_TAKES({XLM_A_dims, XLM_ANYWHERE, 0, 8}, {XLM_A_dtypes, .least = 1}, {XLM_A_code}),
    .layout = "[*].. -> [*]..",
    .infer = infer,
    .cost = cost,
    .no_grad = "made after differentiation",
    .doc = "Functions of elements and of rows run as one pass over memory: each block of elements is read once, "
           "goes through the whole program in cache, and is written once. Inside, numbers are fp32 whatever the "
           "operands' types. Results may be sums of what the program gives, over all dimensions but those of the "
           "row.",
};
