// Calls that do not fit the signature of the operation: what is wrong and what was probably meant.
#include <stdio.h>
#include <string.h>

#include "compiler/elaborate/call_priv.h"
#include "compiler/ir/signature.h"
#include "compiler/parse/foreign.h"

static const char *signature(xlm_el *e, const xlm_op *op) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_op_signature(op, &t, NULL);
  return t.data;
}

xlm_diag *xlm_call_wrong(filling *c, xlm_span at, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  c->ok = false;
  return xlm_diag_push(c->e->diags, XLM_E_ARGUMENTS, at, "%s", text);
}

// The call with which the documentation of the operation begins, in backquotes; NULL: it begins otherwise.
static const char *example(filling *c) {
  const char *doc = c->op->doc, *end = doc && *doc == '`' ? strchr(doc + 1, '`') : NULL;
  const char *name = end ? strstr(doc, c->op->name) : NULL;
  return name && name < end && end[-1] == ')' ? xlm_arena_strndup(c->e->arena, doc, (size_t)(end + 1 - doc))
                                              : NULL;
}

void xlm_call_say_signature(filling *c, xlm_diag *g) {
  const char *shown = xlm_call_find_kind(c->op, XLM_P_ARROW) >= 0 ? example(c) : NULL;
  xlm_diag_help(c->e->diags, g, shown ? "it is %s, as in %s" : "it is %s", signature(c->e, c->op), shown);
}

// --- names

static bool names_dimension(const char *name) { // in PyTorch, JAX and NumPy
  return !strcmp(name, "dim") || !strcmp(name, "axis") || !strcmp(name, "dims") || !strcmp(name, "axes");
}

void xlm_call_unknown(filling *c, const xlm_arg *a) {
  const char *names[MOST_PARAMS];
  int n = xlm_call_params(c->op);
  for (int k = 0; k < n; k++) names[k] = c->op->params[k].name;
  xlm_diag *g = xlm_call_wrong(c, a->name->span, "`%s` has no argument `%s`", c->op->name, a->name->text);
  const char *near = xlm_text_nearest(a->name->text, names, (size_t)n);
  const char *foreign = xlm_foreign_argument(a->name->text);
  if (names_dimension(a->name->text) && xlm_call_find_kind(c->op, XLM_P_OVER) >= 0)
    xlm_diag_help(c->e->diags, g, "dimensions have names: %s(x, over hidden)", c->op->name);
  else if (foreign)
    xlm_diag_help(c->e->diags, g, "%s", foreign);
  else if (near)
    xlm_diag_help(c->e->diags, g, "did you mean `%s`?", near);
  else
    xlm_call_say_signature(c, g);
}

// Does an undefined bare word resemble a flag, like `casual`?
bool xlm_call_misspelt_flag(filling *c, const xlm_expr *x) {
  const char *flags[MOST_PARAMS];
  size_t n = 0;
  if (x->kind != XLM_EXPR_NAME || xlm_el_find(c->f, x->name.text)) return false;
  for (const xlm_param *p = c->op->params; p->name; p++)
    if (p->kind == XLM_P_FLAG) flags[n++] = p->name;
  const char *near = xlm_text_nearest(x->name.text, flags, n);
  if (!near) return false;
  xlm_diag *g = xlm_call_wrong(c, x->span, "`%s` has no flag `%s`", c->op->name, x->name.text);
  xlm_diag_help(c->e->diags, g, "did you mean `%s`?", near);
  return true;
}

// An optional operand of the name that is given by position and means nothing: attend(q, k, v, mask).
bool xlm_call_unset_operand(filling *c, const xlm_arg *a) {
  const xlm_expr *x = a->value;
  int i =
      x->kind == XLM_EXPR_NAME && !xlm_el_find(c->f, x->name.text) ? xlm_call_find(c->op, x->name.text) : -1;
  if (i < 0 || c->op->params[i].kind != XLM_P_NAMED) return false;
  xlm_diag *g = xlm_call_wrong(c, a->span, "`%s` of `%s` has no value", x->name.text, c->op->name);
  xlm_diag_help(c->e->diags, g, "it is a tensor and given by name: `%s = ..`", x->name.text);
  return true;
}

// over (a, b) and over [a]
bool xlm_call_bracketed_over(filling *c, const xlm_arg *a) {
  const xlm_expr *x = a->value;
  const char *name = x->kind == XLM_EXPR_CALL    ? x->call.callee->text
                     : x->kind == XLM_EXPR_INDEX ? x->index.base->text
                                                 : "";
  if (strcmp(name, "over") != 0) return false;
  xlm_diag *g = xlm_call_wrong(c, a->span, "dimensions after `over` stand without brackets");
  xlm_diag_help(c->e->diags, g, "write `over seq, hidden`");
  return true;
}

// --- places

bool xlm_call_is_dimension(const filling *c, const xlm_expr *x) { // the bare name of one
  const xlm_el_symbol *s = x->kind == XLM_EXPR_NAME ? xlm_el_find(c->f, x->name.text) : NULL;
  if (s && s->kind == XLM_SYM_VALUE) return s->value.kind == XLM_EL_NUMBER && s->value.dim;
  return s && s->kind == XLM_SYM_DECL && s->decl->is_dim;
}

static bool is_integer(const xlm_expr *x) { // as written: 1, -1
  return x->kind == XLM_EXPR_UNARY ? is_integer(x->unary.x) : x->kind == XLM_EXPR_NUMBER && x->number.integer;
}

// A dimension by name or number where the operation takes none: only the first of a call is reported.
bool xlm_call_surplus_dimension(filling *c, const xlm_arg *a) {
  bool named = xlm_call_is_dimension(c, a->value), over = xlm_call_find_kind(c->op, XLM_P_OVER) >= 0;
  if (!over || (!named && !is_integer(a->value))) return false;
  if (c->surplus) return true;
  c->surplus = true;
  xlm_diag *g = xlm_call_wrong(c, a->span, "`%s` takes no dimension by position", c->op->name);
  xlm_diag_help(c->e->diags, g, "dimensions have names and follow `over`: %s(.., over %s)", c->op->name,
                named ? a->value->name.text : "hidden");
  return true;
}

void xlm_call_surplus(filling *c, const xlm_arg *a) {
  if (c->surplus) return;
  c->surplus = true;
  xlm_call_say_signature(c, xlm_call_wrong(c, a->span, "`%s` takes no further argument", c->op->name));
}

// A tensor where the operation takes no further one, but a number.
bool xlm_call_surplus_tensor(filling *c, const xlm_param *p, const xlm_expr *x) {
  if (p->kind != XLM_P_FLOAT && p->kind != XLM_P_INT) return false;
  if (x->kind == XLM_EXPR_NUMBER || x->kind == XLM_EXPR_STRING) return false;
  xlm_el_value v = xlm_el_one(c->e, c->f, x);
  if (v.kind == XLM_EL_BAD) return !(c->ok = false);
  if (v.kind != XLM_EL_TENSOR) return false;
  xlm_diag *g = xlm_call_wrong(c, x->span, "`%s` takes %d tensor%s, and this is one more", c->op->name,
                               c->n_in, c->n_in == 1 ? "" : "s");
  xlm_diag_primary(c->e->diags, g, "%s", xlm_el_type_text(c->e, v.val));
  xlm_call_say_signature(c, g);
  return true;
}

// A tensor more than the operation has places for: those that remain are given by name.
bool xlm_call_one_too_many(filling *c, const xlm_arg *a) {
  if (!xlm_call_is_tensor(c, a->value)) return false;
  xlm_text names = xlm_text_new(c->e->arena);
  const char *text = a->value->kind == XLM_EXPR_NAME ? a->value->name.text : NULL, *same = NULL;
  for (const xlm_param *p = c->op->params; p->name; p++) {
    if (p->kind != XLM_P_NAMED) continue;
    if (text && !strcmp(p->name, text)) same = p->name;
    xlm_text_printf(&names, "%s`%s`", *names.data ? ", " : "", p->name);
  }
  xlm_diag *g = xlm_call_wrong(c, a->span, "`%s` takes %d tensor%s by position, and this is one more",
                               c->op->name, c->n_in, c->n_in == 1 ? "" : "s");
  if (same)
    xlm_diag_help(c->e->diags, g, "write `%s = %s`", same, text);
  else if (*names.data)
    xlm_diag_help(c->e->diags, g, "other tensors are given by name: %s", names.data);
  else
    xlm_call_say_signature(c, g);
  return true;
}
