// Names, arities and attributes of the functions; see code.h.
#include "runtime/plan/code.h"

static const struct {
  const char *name;
  int arity;
  xlm_attr_key attr;
} fn_table[XLM_FN_COUNT] = {
#define XLM_FN(name, NAME, arity, doc) {#name, arity, 0},
#include "ops/elementwise.def"
#undef XLM_FN
#define XLM_ROW_FN(name, NAME, arity, attribute) {#name, arity, XLM_A_##attribute},
#include "ops/rows.def"
#undef XLM_ROW_FN
};

const char *xlm_fn_name(xlm_fn f) { return fn_table[f].name; }
int xlm_fn_arity(xlm_fn f) { return fn_table[f].arity; }
xlm_attr_key xlm_fn_attr(xlm_fn f) { return fn_table[f].attr; }

xlm_fn xlm_fn_of(xlm_op_id op) {
  static const xlm_fn of[XLM_OP_COUNT] = {
#define XLM_FN(name, NAME, arity, doc) [XLM_OP_##NAME] = XLM_FN_##NAME,
#include "ops/elementwise.def"
#undef XLM_FN
#define XLM_ROW_FN(name, NAME, arity, attribute) [XLM_OP_##NAME] = XLM_FN_##NAME,
#include "ops/rows.def"
#undef XLM_ROW_FN
  };
  return of[op];
}

xlm_type xlm_code_space(const xlm_attrs *attrs) {
  xlm_type t = {.dtype = XLM_F32};
  t.rank = (uint8_t)xlm_attr_dims(attrs, XLM_A_dims, t.dim);
  return t;
}

xlm_type xlm_code_row_type(const xlm_code *code, const xlm_type *space) {
  xlm_type t = {.dtype = XLM_F32, .rank = (uint8_t)code->row};
  for (int i = 0; i < code->row; i++) t.dim[i] = space->dim[space->rank - code->row + i];
  return t;
}

bool xlm_code_mixes(const xlm_attrs *attrs, xlm_dim d) {
  const xlm_code *code = xlm_attr_find(attrs, XLM_A_code)->code;
  xlm_type space = xlm_code_space(attrs);
  int at = xlm_type_find(&space, d);
  bool functions = false;
  for (int i = 0; i < code->n; i++) functions |= xlm_fn_is_row(code->at[i].fn);
  if (at < 0 || !code->row) return false;
  return at < space.rank - code->row ? code->n_summed > 0 : functions;
}

void xlm_code_print(const xlm_code *c, xlm_text *out) {
  xlm_text_printf(out, "<in %u;", c->n_in);
  if (c->row) xlm_text_printf(out, " row %u;", c->row);
  for (int i = 0; i < c->n; i++) {
    const xlm_code_instr *at = &c->at[i];
    xlm_text_printf(out, " %s", xlm_fn_name((xlm_fn)at->fn));
    for (int j = 0; j < xlm_fn_arity((xlm_fn)at->fn); j++) {
      bool imm = at->a[j] == XLM_CODE_IMM;
      xlm_text_printf(out, imm ? " #" : " r%u", at->a[j]);
      if (imm) xlm_text_double(out, at->imm);
    }
    if (at->fn == XLM_FN_CAST) { // its immediate encodes the element type
      xlm_text_printf(out, " to %s", xlm_enum_name(XLM_ENUM_DTYPE, (int64_t)at->imm));
    } else if (xlm_fn_is_row(at->fn)) {
      xlm_text_printf(out, " %s ", xlm_attr_name(xlm_fn_attr((xlm_fn)at->fn)));
      xlm_text_double(out, at->imm);
    }
    xlm_text_add(out, ";");
  }
  xlm_text_add(out, " out");
  for (int i = 0; i < c->n_out; i++) {
    if (i == c->n_out - c->n_summed) xlm_text_add(out, " sum");
    xlm_text_printf(out, " r%u", c->out[i]);
  }
  xlm_text_add(out, ">");
}

double xlm_code_number(const xlm_code *code, const double *in) {
  double reg[XLM_CODE_MAX_IN + XLM_CODE_MAX];
  for (int i = 0; i < code->n_in; i++) reg[i] = in[i];
  for (int k = 0; k < code->n; k++) {
    const xlm_code_instr *at = &code->at[k];
    double x[3] = {0};
    for (int i = 0; i < xlm_fn_arity((xlm_fn)at->fn); i++)
      x[i] = at->a[i] == XLM_CODE_IMM ? at->imm : reg[at->a[i]];
    reg[code->n_in + k] = xlm_fn_number((xlm_fn)at->fn, x[0], x[1], x[2]);
  }
  return reg[code->out[0]];
}
