// Emits nodes: converts operands to the right precision, enforces limits, and turns failed inference into
// diagnostics.
//
// Elementwise operations broadcast by name. Rows of experts are packed, so a value per expert has no place
// among them: it is repeated for the rows of its expert before the operation, by a product with ones.
//
// The whole rule of mixed precision (compute type bf16): parameters are stored in f32. Where one is used it
// is cast to bf16, unless another operand of the same operation is f32 (then the f32 value is used).
// Activations are bf16; f32(x) widens, cast(x) narrows again. Numbers take the type of the other operands (ops/const.c). An
// elementwise operation on bf16 and f32 gives f32; every other operation gets its operands unchanged and, if
// it cannot mix types, all in f32. Losses are f32. With compute type f32 or f64 everything has that type.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

xlm_dtype xlm_el_wide(const xlm_el *e) {
  return e->set->dtype == XLM_F64 ? XLM_F64 : XLM_F32;
}

xlm_val xlm_el_cast(xlm_el *e, xlm_el_value v, bool wide) {
  if (wide) return xlm_cast_to(&e->b, v.val, xlm_el_wide(e));
  return v.param && e->set->dtype == XLM_BF16 ? xlm_cast_to(&e->b, v.val, XLM_BF16) : v.val;
}

static bool is_float(const xlm_el *e, xlm_val v) {
  return xlm_dtype_is_float(xlm_val_type(e->g, v)->dtype);
}

// The place of the ragged dimension in the type of v, after that of its experts; 0: it has none.
static int rows_in(const xlm_el *e, xlm_val v) {
  const xlm_type *t = xlm_val_type(e->g, v);
  for (int i = 1; i < t->rank; i++)
    if (e->g->dims[t->dim[i]].ragged) return i;
  return 0;
}

// v, with a value for every expert, for every row of `rows`. A sum of rows is the gradient.
static xlm_val repeated(xlm_el *e, xlm_val v, xlm_val rows) {
  xlm_attr_list l = xlm_attr_list_new(e->arena);
  xlm_attr_put_enum(&l, XLM_A_dtype, xlm_val_type(e->g, v)->dtype);
  return xlm_contract(&e->b, xlm_emit(&e->b, XLM_OP_ROW_ONES, &rows, 1, &l), v, NULL, 0, NULL, -1);
}

static void repeat_for_rows(xlm_el *e, xlm_val *v, int n) {
  int with = 0;
  while (with < n && !rows_in(e, v[with])) with++;
  if (with == n) return;
  xlm_val rows = v[with];
  int at = rows_in(e, rows);
  xlm_dim experts = xlm_val_type(e->g, rows)->dim[at - 1], routed = xlm_val_type(e->g, rows)->dim[at];
  for (int i = 0; i < n; i++) {
    const xlm_type *t = xlm_val_type(e->g, v[i]);
    bool per_expert = xlm_type_find(t, experts) >= 0 && xlm_type_find(t, routed) < 0;
    if (per_expert && is_float(e, v[i])) v[i] = repeated(e, v[i], rows);
  }
}

// v with the dimensions that `like` has besides its `own`, in that order.
static xlm_val repeated_like(xlm_el *e, xlm_val v, xlm_dim from, const xlm_type *like, xlm_dim own) {
  const xlm_type *t = xlm_val_type(e->g, v);
  xlm_type to = *like;
  xlm_attr_list l = xlm_attr_list_new(e->arena);
  for (int i = 0; i < to.rank; i++)
    if (to.dim[i] == own) to.dim[i] = from;
  for (int i = 0; i < t->rank; i++)
    if (xlm_type_find(&to, t->dim[i]) < 0) return v; // an error, which inference describes
  if (t->rank == to.rank) return v;
  xlm_attr_put_dims(&l, XLM_A_dims, to.dim, to.rank);
  return xlm_emit(&e->b, XLM_OP_BROADCAST, &v, 1, &l);
}

// Tensors that are joined broadcast by name, too: a learned prompt stands before each sequence of the batch.
static void repeat_beside(xlm_el *e, xlm_val *v, int n, const xlm_attr_list *attrs) {
  xlm_attrs as = xlm_attr_freeze(attrs);
  xlm_dim from[XLM_MAX_RANK];
  int n_from = xlm_attr_dims(&as, XLM_A_from, from), most = 0;
  if (n > XLM_MAX_RANK || (n_from != 1 && n_from != n)) return;
  for (int i = n_from; i < n; i++) from[i] = from[0];
  for (int i = 1; i < n; i++)
    if (xlm_val_type(e->g, v[i])->rank > xlm_val_type(e->g, v[most])->rank) most = i;
  for (int i = 0; i < n; i++)
    v[i] = repeated_like(e, v[i], from[i], xlm_val_type(e->g, v[most]), from[most]);
}

// Is some operand wide that is neither a parameter nor a number? Then the others are widened, too.
static bool is_wide(const xlm_el *e, const xlm_el_operand *in, int n) {
  for (int i = 0; i < n; i++)
    if (in[i].value.kind == XLM_EL_TENSOR && !in[i].value.param && is_float(e, in[i].value.val) &&
        xlm_val_type(e->g, in[i].value.val)->dtype != XLM_BF16)
      return true;
  return e->wide || e->set->dtype != XLM_BF16;
}

static const xlm_val *operands(xlm_el *e, const xlm_op *op, const xlm_el_operand *in, int n,
                               const xlm_attr_list *attrs, bool all_wide) {
  bool wide = is_wide(e, in, n), elementwise = op->flags & XLM_OPF_ELEMENTWISE;
  xlm_val *v = XLM_NEW_N(e->arena, xlm_val, n);
  for (int i = 0; i < n; i++) {
    const xlm_el_value *x = &in[i].value;
    if (x->kind == XLM_EL_NUMBER)
      v[i] = xlm_scalar(&e->b, x->num.v);
    else if (!is_float(e, x->val))
      v[i] = x->val;
    else
      v[i] = xlm_el_cast(e, *x, wide && (x->param || elementwise || all_wide));
  }
  if (elementwise) repeat_for_rows(e, v, n);
  if (op->facts.joins && attrs) repeat_beside(e, v, n, attrs);
  return v;
}

// --- failed inference

static const xlm_diag_id fault_codes[XLM_FAULTS] = {
    [XLM_FAULT_NO_SHARED_DIM] = XLM_E_NO_SHARED_DIM,
    [XLM_FAULT_DIM_MISMATCH] = XLM_E_DIM_MISMATCH,
    [XLM_FAULT_MISSING_DIM] = XLM_E_MISSING_DIM,
    [XLM_FAULT_EXTRA_DIM] = XLM_E_EXTRA_DIM,
    [XLM_FAULT_DTYPE] = XLM_E_DTYPE,
    [XLM_FAULT_ATTR] = XLM_E_ATTRIBUTE,
    [XLM_FAULT_SIZE] = XLM_E_SIZE,
    [XLM_FAULT_RANK] = XLM_E_RANK,
};

static xlm_el_value refused(xlm_el *e, const xlm_infer *x, const xlm_el_operand *in, int n, xlm_span span) {
  int at = x->fault_operand < n ? x->fault_operand : -1;
  xlm_diag *g = xlm_diag_push(e->diags, fault_codes[x->fault], at >= 0 ? in[at].span : span, "%s",
                              x->fault_text ? x->fault_text : "these operands do not fit");
  for (int i = 0; i < n && n <= 4; i++) {
    if (in[i].value.kind != XLM_EL_TENSOR) continue;
    const char *dims = xlm_el_type_text(e, in[i].value.val);
    if (i == at)
      xlm_diag_primary(e->diags, g, "%s", dims);
    else
      xlm_diag_label(e->diags, g, in[i].span, "%s", dims);
  }
  if (x->fault_help) xlm_diag_help(e->diags, g, "%s", x->fault_help);
  return xlm_el_bad();
}

static bool too_many(xlm_el *e, xlm_span span) {
  if (e->stop) return true;
  if (e->g->n_nodes < XLM_MAX_NODES) return false;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_TOO_MUCH, span, "the model expands to more than %s operations",
                              xlm_text_thousands(e->arena, XLM_MAX_NODES));
  xlm_diag_help(e->diags, g,
                "look for blocks that call each other twice per level, or for very large repeat counts");
  return e->stop = true;
}

static bool too_large(xlm_el *e, xlm_node n, xlm_span span) {
  const xlm_node_info *info = xlm_node_at(e->g, n);
  for (int i = 0; i < info->n_out; i++) {
    const xlm_type *t = xlm_val_type(e->g, info->out + (xlm_val)i);
    double elements = 1;
    for (int k = 0; k < t->rank; k++) elements *= (double)e->g->dims[t->dim[k]].full;
    if (elements <= 0x1p48) continue;
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_TOO_LARGE, span, "this tensor has about %.2g elements", elements);
    xlm_diag_primary(e->diags, g, "%s", xlm_el_dims_text(e, t->dim, t->rank, false));
    xlm_diag_note(e->diags, g, "the largest tensor has 2^48 elements");
    return true;
  }
  return false;
}

// Numbers of the text outside the range that the operation declares.
static bool out_of_range(xlm_el *e, xlm_node n, xlm_span span) {
  const xlm_node_info *info = xlm_node_at(e->g, n);
  xlm_val out[8];
  for (int i = 0; i < info->n_out; i++) out[i] = info->out + (xlm_val)i;
  const char *wrong = xlm_op_attrs_wrong(xlm_op_at(info->op), e->g, &info->attrs, info->n_in, info->in,
                                         info->n_out, out, e->arena);
  if (wrong) xlm_diag_push(e->diags, XLM_E_ATTRIBUTE, span, "`%s`: %s", xlm_op_at(info->op)->name, wrong);
  return wrong != NULL;
}

xlm_el_value xlm_el_emit(xlm_el *e, xlm_op_id id, const xlm_el_operand *in, int n, const xlm_attr_list *attrs,
                         xlm_span span) {
  const xlm_op *op = xlm_op_at(id);
  for (int i = 0; i < n; i++)
    if (in[i].value.kind == XLM_EL_BAD) return xlm_el_bad();
  if (too_many(e, span)) return xlm_el_bad();
  e->b.span = span;
  xlm_infer x;
  xlm_val v = xlm_emit_checked(&e->b, id, operands(e, op, in, n, attrs, false), n, attrs, &x);
  if (!v && x.fault == XLM_FAULT_DTYPE && e->set->dtype == XLM_BF16)
    v = xlm_emit_checked(&e->b, id, operands(e, op, in, n, attrs, true), n, attrs, &x);
  if (!v) return refused(e, &x, in, n, span);
  xlm_node def = xlm_val_at(e->g, v)->def;
  if (too_large(e, def, span) || (attrs && attrs->n && out_of_range(e, def, span))) return xlm_el_bad();
  xlm_el_value r = xlm_el_tensor(v);
  r.outs = (uint8_t)xlm_node_at(e->g, def)->n_out;
  return r;
}
