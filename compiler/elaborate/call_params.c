// The parameters of an operation, each set from an expression according to its kind (xlm_param_kind).
#include "compiler/elaborate/call_priv.h"

static void set_float(filling *c, const xlm_param *p, const xlm_expr *x) {
  xlm_number v;
  if (xlm_el_number(c->e, c->f, x, xlm_arena_printf(c->e->arena, "`%s`", p->name), &v))
    xlm_attr_put_float(&c->attrs, p->key, v.v);
  else
    c->ok = false;
}

static void set_int(filling *c, const xlm_param *p, const xlm_expr *x) {
  int64_t v;
  if (xlm_el_integer(c->e, c->f, x, xlm_arena_printf(c->e->arena, "`%s`", p->name), &v))
    xlm_attr_put_int(&c->attrs, p->key, v);
  else
    c->ok = false;
}

static void set_flag(filling *c, const xlm_param *p, const xlm_expr *x) {
  xlm_number v;
  if (xlm_el_number(c->e, c->f, x, xlm_arena_printf(c->e->arena, "`%s`", p->name), &v))
    xlm_attr_put_int(&c->attrs, p->key, v.v != 0);
  else
    c->ok = false;
}

static void set_dim(filling *c, const xlm_param *p, const xlm_expr *x) {
  if (x->kind != XLM_EXPR_NAME) {
    xlm_diag *g = xlm_call_wrong(c, x->span, "`%s` of `%s` is the name of a dimension", p->name, c->op->name);
    if (x->kind == XLM_EXPR_NUMBER && x->number.integer)
      xlm_diag_help(c->e->diags, g, "declare one of this size, `dim %s = %lld`, and name it here",
                    strcmp(p->name, "dim") != 0 ? p->name : "d", (long long)x->number.exact);
    else
      xlm_call_say_signature(c, g);
    return;
  }
  xlm_dim d = xlm_el_dim(c->e, c->f, x->name.text, x->span);
  if (d)
    xlm_attr_put_dims(&c->attrs, p->key, &d, 1);
  else
    c->ok = false;
}

static const char *word(const xlm_expr *x) { // a bare name or a string; NULL: something else
  return x->kind == XLM_EXPR_NAME ? x->name.text : x->kind == XLM_EXPR_STRING ? x->string.text : NULL;
}

static uint32_t among(const xlm_op *op, xlm_attr_key key) {
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == key) return op->attrs[i].among;
  return 0;
}

static void set_text(filling *c, const xlm_param *p, const xlm_expr *x) {
  const char *text = word(x);
  if (text)
    xlm_attr_put_text(&c->attrs, p->key, text);
  else
    xlm_call_say_signature(c, xlm_call_wrong(c, x->span, "`%s` of `%s` is a name", p->name, c->op->name));
}

static void set_enum(filling *c, const xlm_param *p, const xlm_expr *x) {
  xlm_enum set = xlm_attr_set_of(p->key);
  const char *name = word(x);
  int value;
  if (name && xlm_enum_find(set, name, &value)) {
    xlm_attr_put_enum(&c->attrs, p->key, value);
    return;
  }
  xlm_text names = xlm_text_new(c->e->arena);
  xlm_enum_list(set, among(c->op, p->key), &names);
  xlm_diag *g = name ? xlm_call_wrong(c, x->span, "no %s is called `%s`", xlm_enum_what(set), name)
                     : xlm_call_wrong(c, x->span, "`%s` of `%s` is a name", p->name, c->op->name);
  xlm_diag_help(c->e->diags, g, "write one of %s", names.data);
}

bool xlm_call_takes_numbers(const filling *c) {
  return c->op->flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_NUMBERS);
}

static xlm_el_operand operand_of(filling *c, const xlm_expr *x) {
  xlm_el_value v = xlm_el_one(c->e, c->f, x);
  if (v.kind == XLM_EL_NUMBER && !xlm_call_takes_numbers(c)) {
    xlm_diag *g = xlm_diag_push(c->e->diags, XLM_E_NOT_TENSOR, x->span,
                                "`%s` needs a tensor here, and this is the number %s", c->op->name,
                                xlm_num_text(c->e->arena, v.num));
    xlm_call_say_signature(c, g);
    v = xlm_el_bad();
  }
  if (v.kind == XLM_EL_BAD) c->ok = false;
  return (xlm_el_operand){v, x->span};
}

void xlm_call_put_operand(filling *c, const xlm_expr *x) {
  c->in[c->n_in++] = operand_of(c, x);
}

static void set_named(filling *c, const xlm_param *p, const xlm_expr *x) {
  int what;
  bool known = xlm_enum_find(XLM_ENUM_OPERAND, p->name, &what);
  XLM_ASSERT(known, "%s: `%s` is no optional operand", c->op->name, p->name);
  c->named[what] = operand_of(c, x);
  c->given |= 1u << what;
}

static void set_operand(filling *c, const xlm_param *p, const xlm_expr *x) {
  int at = 0;
  for (const xlm_param *q = c->op->params; q != p; q++) at += q->kind == XLM_P_TENSOR;
  if (at != c->n_in) {
    xlm_call_say_signature(
        c, xlm_call_wrong(c, x->span, "the tensors of `%s` come in order, and `%s` is not the next one",
                          c->op->name, p->name));
    return;
  }
  xlm_call_put_operand(c, x);
}

static void set_misplaced(filling *c, const xlm_param *p, const xlm_expr *x) {
  xlm_call_say_signature(
      c, xlm_call_wrong(c, x->span, "`%s` of `%s` is not given with `=`", p->name, c->op->name));
}

void xlm_call_set(filling *c, int i, const xlm_expr *x) {
  static void (*const by_kind[])(filling *, const xlm_param *, const xlm_expr *) = {
      [XLM_P_TENSOR] = set_operand, [XLM_P_REST] = set_misplaced,  [XLM_P_FLOAT] = set_float,
      [XLM_P_INT] = set_int,        [XLM_P_FLAG] = set_flag,       [XLM_P_DIM] = set_dim,
      [XLM_P_OVER] = set_misplaced, [XLM_P_ARROW] = set_misplaced, [XLM_P_TEXT] = set_text,
      [XLM_P_ENUM] = set_enum,      [XLM_P_NAMED] = set_named,
  };
  const xlm_param *p = &c->op->params[i];
  if (c->filled[i]) {
    xlm_call_wrong(c, x->span, "`%s` is given twice", p->name);
    return;
  }
  c->filled[i] = true;
  by_kind[p->kind](c, p, x);
}
