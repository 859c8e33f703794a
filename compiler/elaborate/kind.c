// What a number is for other tools, which distinguish 1, 1.0 and true: by its text, not by its value. A let
// has the kind of its declaration, also when a preset or a setting gives it another value.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

static xlm_plan_number written(xlm_el *e, xlm_el_frame *f, const xlm_expr *x);

static xlm_plan_number wider(xlm_plan_number a, xlm_plan_number b) {
  return a == XLM_NUMBER_REAL || b == XLM_NUMBER_REAL ? XLM_NUMBER_REAL : XLM_NUMBER_INT;
}

static xlm_plan_number declared(xlm_el *e, xlm_el_decl *d) {
  if (d->is_dim || !d->stmt || d->kind_state == XLM_KIND_BUSY) return XLM_NUMBER_INT;
  if (d->kind_state == XLM_KIND_NEW) {
    d->kind_state = XLM_KIND_BUSY; // declarations that settings replace may form a circle
    d->kind = written(e, d->frame, d->stmt->expr);
    d->kind_state = XLM_KIND_DONE;
  }
  return d->kind;
}

static xlm_plan_number of_number(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  (void)e, (void)f;
  return x->number.integer ? XLM_NUMBER_INT : XLM_NUMBER_REAL;
}

static xlm_plan_number of_name(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  const xlm_el_symbol *s = xlm_el_find(f, x->name.text);
  if (!s || s->kind != XLM_SYM_DECL) return XLM_NUMBER_INT;
  bool truth = s->decl->built_in && !s->decl->is_dim;
  return truth ? XLM_NUMBER_BOOL : declared(e, s->decl);
}

static xlm_plan_number of_unary(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  return x->unary.logical_not ? XLM_NUMBER_BOOL : wider(written(e, f, x->unary.x), XLM_NUMBER_INT);
}

static xlm_plan_number of_binary(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  if (x->binary.op >= XLM_BIN_EQ) return XLM_NUMBER_BOOL;
  return wider(written(e, f, x->binary.a), written(e, f, x->binary.b));
}

static xlm_plan_number of_call(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  static const char *const whole[] = {"floor", "ceil", "round"}, *const same[] = {"abs", "square", "min",
                                                                                  "max"};
  xlm_plan_number k = XLM_NUMBER_INT;
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    if (!strcmp(x->call.callee->text, whole[i])) return k;
  for (const xlm_arg *a = x->call.args; a; a = a->next)
    if (a->value) k = wider(k, written(e, f, a->value));
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    if (!strcmp(x->call.callee->text, same[i])) return k;
  return XLM_NUMBER_REAL;
}

// Both branches count: which of them is taken may depend on the settings.
static xlm_plan_number of_if(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_plan_number a = written(e, f, x->cond.then), b = written(e, f, x->cond.otherwise);
  return a == b ? a : wider(a, b);
}

static xlm_plan_number written(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  static xlm_plan_number (*const of[XLM_EXPR_KINDS])(xlm_el *, xlm_el_frame *, const xlm_expr *) = {
      [XLM_EXPR_NUMBER] = of_number, [XLM_EXPR_NAME] = of_name, [XLM_EXPR_UNARY] = of_unary,
      [XLM_EXPR_BINARY] = of_binary, [XLM_EXPR_CALL] = of_call, [XLM_EXPR_IF] = of_if};
  return x && of[x->kind] ? of[x->kind](e, f, x) : XLM_NUMBER_INT;
}

static xlm_plan_number settle(xlm_plan_number k, xlm_number value) {
  if (k == XLM_NUMBER_BOOL && value.v != 0 && value.v != 1) k = XLM_NUMBER_INT;
  return k == XLM_NUMBER_INT && !value.integer ? XLM_NUMBER_REAL : k;
}

xlm_plan_number xlm_el_kind_of(xlm_el *e, xlm_el_decl *d) {
  return settle(declared(e, d), d->value);
}

xlm_plan_number xlm_el_kind_of_expr(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_number value) {
  return settle(written(e, f, x), value);
}
