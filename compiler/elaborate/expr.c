// Expressions: numbers are computed, tensors become nodes.
#include <math.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

static bool can_be_contracted(const xlm_el *e, const xlm_el_symbol *s, const void *arg) {
  const xlm_type *with = arg;
  if (s->value.kind != XLM_EL_TENSOR) return false;
  const xlm_type *t = xlm_val_type(e->g, s->value.val);
  for (int i = 0; i < t->rank; i++)
    if (xlm_type_find(with, t->dim[i]) >= 0) return true;
  return false;
}

// --- names

static xlm_el_value use_decl(xlm_el *e, xlm_el_decl *d, xlm_span at) {
  if (!xlm_el_force(e, d, at)) return xlm_el_bad();
  return (xlm_el_value){.kind = XLM_EL_NUMBER, .num = d->value, .decl = d};
}

static xlm_el_value use_symbol(xlm_el *e, xlm_el_symbol *s, xlm_span at) {
  if (s->use) s->use->read = true;
  if (s->kind == XLM_SYM_DECL) return use_decl(e, s->decl, at);
  if (s->kind != XLM_SYM_ARRAY) return s->value;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INDEX, at, "`%s` has one tensor per index", s->name);
  xlm_diag_label(e->diags, g, s->span, "first element given here");
  xlm_diag_help(e->diags, g, "choose one: %s[0]", s->name);
  return xlm_el_bad();
}

static xlm_el_value eval_name(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_el_symbol *s = xlm_el_find(f, x->name.text);
  return s ? use_symbol(e, s, x->span) : xlm_el_unknown_name(e, f, x->name.text, x->span);
}

static xlm_el_value no_element(xlm_el *e, const xlm_el_symbol *s, const xlm_expr *x, int64_t i) {
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_INDEX, x->span, "`%s` has no element %lld", s->name, (long long)i);
  xlm_text have = xlm_text_new(e->arena);
  for (uint32_t k = 0; k < s->n_items && k < 12; k++)
    xlm_text_printf(&have, "%s%lld", k ? ", " : "", (long long)s->items[k].index);
  xlm_diag_label(e->diags, g, s->span, "elements are given here");
  xlm_diag_note(e->diags, g, "up to here it has %s%s", have.data, s->n_items > 12 ? ", .." : "");
  return xlm_el_bad();
}

static xlm_el_value not_indexed(xlm_el *e, xlm_el_frame *f, const xlm_el_symbol *s, const xlm_expr *x) {
  xlm_span at = x->span;
  if (s->value.kind == XLM_EL_BAD && s->kind == XLM_SYM_VALUE) return xlm_el_bad();
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_INDEX, at, "`%s` is not indexed and has no elements", s->name);
  xlm_diag_label(e->diags, g, s->span, "defined here");
  const xlm_expr *i = x->index.index;
  const xlm_el_symbol *by = i->kind == XLM_EXPR_NAME ? xlm_el_find(f, i->name.text) : NULL;
  if (by && (by->kind >= XLM_SYM_PARAM || by->value.kind == XLM_EL_TENSOR))
    xlm_diag_help(e->diags, g,
                  "rows by index are `lookup(%s, %s)`, choices by element `where(condition, x, y)`", s->name,
                  i->name.text);
  else
    xlm_diag_help(e->diags, g,
                  "`slice(%s, seq -> part, start = 0)` takes a part of a tensor, where `dim part = 1` is its "
                  "length; `k[i] = ..` stores a tensor per index",
                  s->name);
  return xlm_el_bad();
}

static xlm_el_value eval_index(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  const xlm_ast_name *base = x->index.base;
  xlm_el_symbol *s = xlm_el_find(f, base->text);
  int64_t i;
  if (!s) return xlm_el_unknown_name(e, f, base->text, base->span);
  if (s->use) s->use->read = true;
  if (s->kind != XLM_SYM_ARRAY) return not_indexed(e, f, s, x);
  if (!xlm_el_integer(e, f, x->index.index, "an index", &i)) return xlm_el_bad();
  for (uint32_t k = 0; k < s->n_items; k++)
    if (s->items[k].index == i) return s->items[k].value;
  return no_element(e, s, x, i);
}

// --- operators

static const char *const signs[XLM_BIN_COUNT] = {
    "+", "-", "*", "/", "%", "**", "@", "==", "!=", "<", "<=", ">", ">=", "and", "or"};

static xlm_el_value arithmetic(xlm_el *e, const xlm_expr *x, xlm_number a, xlm_number b) {
  xlm_number r;
  const char *wrong = xlm_num_binary(x->binary.op, a, b, &r);
  if (wrong) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_ARITHMETIC, x->span, "%s", wrong);
    xlm_diag_note(e->diags, g, "this is %s %s %s", xlm_num_text(e->arena, a), signs[x->binary.op],
                  xlm_num_text(e->arena, b));
    return xlm_el_bad();
  }
  if (e->exact && x->binary.op == XLM_BIN_DIV && a.integer && b.integer && !r.integer) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_DIVISIBLE, x->span, "%lld is not divisible by %lld",
                                (long long)a.i, (long long)b.i);
    if (e->computing) xlm_diag_label(e->diags, g, e->computing->span, "a dimension must be a whole number");
    xlm_el_help_sizes(e, g, x->binary.a, a.i, x->binary.b, b.i);
    return xlm_el_bad();
  }
  return xlm_el_num(r);
}

typedef struct operation { // the node for an operator on tensors; of `and` and `or` see below
  xlm_op_id op;
  bool swap;   // a > b is b < a
  bool negate; // a != b is 1 - (a == b)
} operation;

static const operation operations[XLM_BIN_COUNT] = {
    [XLM_BIN_ADD] = {XLM_OP_ADD},
    [XLM_BIN_SUB] = {XLM_OP_SUB},
    [XLM_BIN_MUL] = {XLM_OP_MUL},
    [XLM_BIN_DIV] = {XLM_OP_DIV},
    [XLM_BIN_MOD] = {XLM_OP_MOD},
    [XLM_BIN_POW] = {XLM_OP_POW},
    [XLM_BIN_MATMUL] = {XLM_OP_CONTRACT},
    [XLM_BIN_LT] = {XLM_OP_LT},
    [XLM_BIN_LE] = {XLM_OP_LE},
    [XLM_BIN_GT] = {XLM_OP_LT, .swap = true},
    [XLM_BIN_GE] = {XLM_OP_LE, .swap = true},
    [XLM_BIN_EQ] = {XLM_OP_EQ},
    [XLM_BIN_NE] = {XLM_OP_EQ, .negate = true},
};

static xlm_el_value choose(xlm_el *e, const xlm_expr *x, const xlm_expr *which, xlm_el_value c,
                           xlm_el_value then, xlm_el_value otherwise) {
  xlm_el_operand in[] = {{c, which->span}, {then, x->span}, {otherwise, x->span}};
  return xlm_el_emit(e, XLM_OP_WHERE, in, 3, NULL, x->span);
}

// a and b: (b, as 0 or 1) where a is not 0, else 0. a or b: 1 where a is not 0, else (b, as 0 or 1).
static xlm_el_value logical(xlm_el *e, const xlm_expr *x, xlm_el_value a, xlm_el_value b) {
  xlm_el_value yes = xlm_el_num(xlm_num_int(1)), no = xlm_el_num(xlm_num_int(0));
  b = choose(e, x, x->binary.b, b, yes, no);
  return x->binary.op == XLM_BIN_AND ? choose(e, x, x->binary.a, a, b, no)
                                     : choose(e, x, x->binary.a, a, yes, b);
}

static const char *bare(const xlm_expr *x) {
  return x->kind == XLM_EXPR_NAME ? x->name.text : "..";
}

// A dimension of each operand that have the same size: perhaps meant to be the same.
static bool help_rename(xlm_el *e, xlm_diag *g, const xlm_expr *x, xlm_val a, xlm_val b) {
  const xlm_type *s = xlm_val_type(e->g, a), *t = xlm_val_type(e->g, b);
  for (int i = s->rank; i-- > 0;)
    for (int k = 0; k < t->rank; k++) {
      const xlm_dim_info *from = &e->g->dims[s->dim[i]], *to = &e->g->dims[t->dim[k]];
      if (from->full != to->full || from->full < 2) continue;
      xlm_diag_help(e->diags, g,
                    "`%s` and `%s` are both %lld long: if they are the same, write rename(%s, %s -> %s)",
                    from->name, to->name, (long long)to->full, bare(x->binary.a), from->name, to->name);
      return true;
    }
  return false;
}

static bool is_float(const xlm_el *e, xlm_val v) {
  return xlm_dtype_is_float(xlm_val_type(e->g, v)->dtype);
}

static xlm_el_value not_shared(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_val a, xlm_val b) {
  const xlm_expr *left = x->binary.a, *right = x->binary.b;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_NO_SHARED_DIM, right->span, "%s and %s share no dimension to contract",
                    xlm_el_text(e, left->span), xlm_el_text(e, right->span));
  xlm_diag_primary(e->diags, g, "%s", xlm_el_type_text(e, b));
  xlm_diag_label(e->diags, g, left->span, "%s", xlm_el_type_text(e, a));
  const char *near = right->kind == XLM_EXPR_NAME && right->name.text[1] // one letter resembles any other
                         ? xlm_el_nearest(e, f, right->name.text, can_be_contracted, xlm_val_type(e->g, a))
                         : NULL;
  if (near)
    xlm_diag_help(e->diags, g, "`%s` %s has a similar name", near,
                  xlm_el_type_text(e, xlm_el_find(f, near)->value.val));
  else if (!is_float(e, a) && is_float(e, b))
    xlm_diag_help(e->diags, g, "rows of a table by index are `lookup(%s, %s)`", bare(right), bare(left));
  else if (!help_rename(e, g, x, a, b))
    xlm_diag_help(
        e->diags, g,
        "`@` sums over the dimensions that both have; rename(x, a -> b) gives a dimension another name");
  return xlm_el_bad();
}

static xlm_el_value not_scaled(xlm_el *e, const xlm_expr *x, bool left) {
  const xlm_expr *number = left ? x->binary.a : x->binary.b;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NO_SHARED_DIM, number->span,
                              "%s is a number and has no dimension", xlm_el_text(e, number->span));
  xlm_diag_help(e->diags, g,
                "`@` sums over the dimensions that both have; a tensor times a number is `x * 2`");
  return xlm_el_bad();
}

static bool share_dimension(const xlm_el *e, xlm_val a, xlm_val b) {
  const xlm_type *s = xlm_val_type(e->g, a), *t = xlm_val_type(e->g, b);
  for (int i = 0; i < s->rank; i++)
    if (xlm_type_find(t, s->dim[i]) >= 0) return true;
  return false;
}

static xlm_el_value not_equal(xlm_el *e, const xlm_expr *x, xlm_el_value equal) {
  if (equal.kind != XLM_EL_TENSOR) return equal;
  xlm_el_operand in[] = {{xlm_el_num(xlm_num_int(1)), x->span}, {equal, x->span}};
  return xlm_el_emit(e, XLM_OP_SUB, in, 2, NULL, x->span);
}

// number ** tensor = exp(tensor * log(number)); `pow` takes a number as the exponent.
static xlm_el_value power_of(xlm_el *e, const xlm_expr *x, double base, xlm_el_value exponent) {
  xlm_el_operand in[] = {{exponent, x->binary.b->span},
                         {xlm_el_num(xlm_num_real(log(base))), x->binary.a->span}};
  xlm_el_operand product = {xlm_el_emit(e, XLM_OP_MUL, in, 2, NULL, x->span), x->span};
  return xlm_el_emit(e, XLM_OP_EXP, &product, 1, NULL, x->span);
}

static xlm_el_value on_tensors(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_el_value a,
                               xlm_el_value b) {
  const operation *o = &operations[x->binary.op];
  if (x->binary.op == XLM_BIN_AND || x->binary.op == XLM_BIN_OR) return logical(e, x, a, b);
  if (xlm_op_facts_of(o->op)->product) {
    if (a.kind != XLM_EL_TENSOR || b.kind != XLM_EL_TENSOR) return not_scaled(e, x, a.kind != XLM_EL_TENSOR);
    if (!share_dimension(e, a.val, b.val)) return not_shared(e, f, x, a.val, b.val);
  }
  if (x->binary.op == XLM_BIN_POW && a.kind == XLM_EL_NUMBER && a.num.v > 0)
    return power_of(e, x, a.num.v, b);
  xlm_el_operand in[] = {{o->swap ? b : a, o->swap ? x->binary.b->span : x->binary.a->span},
                         {o->swap ? a : b, o->swap ? x->binary.a->span : x->binary.b->span}};
  xlm_el_value r = xlm_el_emit(e, o->op, in, 2, NULL, x->span);
  return o->negate ? not_equal(e, x, r) : r;
}

static xlm_el_value eval_binary(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_el_value a = xlm_el_one(e, f, x->binary.a);
  bool decided = a.kind == XLM_EL_NUMBER && ((x->binary.op == XLM_BIN_AND && a.num.v == 0) ||
                                             (x->binary.op == XLM_BIN_OR && a.num.v != 0));
  if (decided) return xlm_el_num(xlm_num_int(a.num.v != 0));
  xlm_el_value b = xlm_el_one(e, f, x->binary.b);
  if (a.kind == XLM_EL_BAD || b.kind == XLM_EL_BAD) return xlm_el_bad();
  if (a.kind == XLM_EL_NUMBER && b.kind == XLM_EL_NUMBER) return arithmetic(e, x, a.num, b.num);
  return on_tensors(e, f, x, a, b);
}

static xlm_el_value eval_unary(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_el_value v = xlm_el_one(e, f, x->unary.x);
  if (v.kind == XLM_EL_NUMBER) {
    if (x->unary.logical_not) return xlm_el_num(xlm_num_int(v.num.v == 0));
    return xlm_el_num(v.num.integer && v.num.i != INT64_MIN ? xlm_num_int(-v.num.i) : xlm_num_real(-v.num.v));
  }
  if (v.kind != XLM_EL_TENSOR) return xlm_el_bad();
  if (!x->unary.logical_not)
    return xlm_el_emit(e, XLM_OP_NEG, &(xlm_el_operand){v, x->unary.x->span}, 1, NULL, x->span);
  return choose(e, x, x->unary.x, v, xlm_el_num(xlm_num_int(0)), xlm_el_num(xlm_num_int(1)));
}

// --- other expressions

static xlm_el_value eval_number(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  (void)e, (void)f;
  return xlm_el_num(x->number.integer ? xlm_num_int(x->number.exact) : xlm_num_real(x->number.value));
}

static xlm_el_value eval_string(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  (void)f;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_TENSOR, x->span, "a string is not a value");
  xlm_diag_help(e->diags, g, "strings are used in checks, weights and where an operation takes a name");
  return xlm_el_bad();
}

static xlm_el_value eval_if(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_number c;
  if (!xlm_el_condition(e, f, x->cond.cond, &c)) return xlm_el_bad();
  const xlm_expr *taken = c.v != 0 ? x->cond.then : x->cond.otherwise;
  const xlm_expr *other = c.v != 0 ? x->cond.otherwise : x->cond.then;
  xlm_el_choose(e, taken->span, other->span);
  return xlm_el_eval(e, f, taken);
}

static xlm_el_value eval_tuple(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_el_value *item = XLM_NEW_N(e->arena, xlm_el_value, x->tuple.n);
  int n = 0;
  for (const xlm_expr *i = x->tuple.items; i && n < x->tuple.n; i = i->next) item[n++] = xlm_el_one(e, f, i);
  return (xlm_el_value){.kind = XLM_EL_TUPLE, .item = item, .n = n};
}

xlm_el_value xlm_el_eval(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  static xlm_el_value (*const eval[XLM_EXPR_KINDS])(xlm_el *, xlm_el_frame *, const xlm_expr *) = {
      [XLM_EXPR_NUMBER] = eval_number, [XLM_EXPR_STRING] = eval_string, [XLM_EXPR_NAME] = eval_name,
      [XLM_EXPR_INDEX] = eval_index,   [XLM_EXPR_UNARY] = eval_unary,   [XLM_EXPR_BINARY] = eval_binary,
      [XLM_EXPR_CALL] = xlm_el_call,   [XLM_EXPR_IF] = eval_if,         [XLM_EXPR_TUPLE] = eval_tuple,
  };
  if (!x || !xlm_el_enter(e, x->span)) return xlm_el_bad();
  xlm_node first = e->g->n_nodes;
  xlm_el_value v = eval[x->kind](e, f, x);
  xlm_el_saw(e, f, x->span, &v, first);
  xlm_el_leave(e);
  return v;
}

xlm_el_value xlm_el_one(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  xlm_el_value v = xlm_el_eval(e, f, x);
  if (v.kind != XLM_EL_TUPLE) return v;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_TUPLE, x->span, "there are %d values here, and one is needed", v.n);
  xlm_diag_help(e->diags, g, "give them names first: (a, b) = ..");
  return xlm_el_bad();
}

bool xlm_el_number(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const char *what, xlm_number *out) {
  xlm_el_value v = xlm_el_one(e, f, x);
  if (v.kind == XLM_EL_NUMBER) return *out = v.num, true;
  if (v.kind == XLM_EL_BAD) return false;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_CONSTANT, x->span,
                              "%s must be known when the model is compiled", what);
  xlm_diag_primary(e->diags, g, "this is a tensor %s", xlm_el_type_text(e, v.val));
  xlm_diag_help(e->diags, g, "use numbers, dims, lets and arithmetic on them");
  return false;
}

bool xlm_el_condition(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_number *out) {
  xlm_el_value v = xlm_el_one(e, f, x);
  if (v.kind == XLM_EL_NUMBER) return *out = v.num, true;
  if (v.kind == XLM_EL_BAD) return false;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_CONSTANT, x->span,
                              "a condition must be known when the model is compiled");
  xlm_diag_primary(e->diags, g, "this is a tensor %s", xlm_el_type_text(e, v.val));
  xlm_diag_help(e->diags, g, "for a choice by the elements of a tensor, write `where(condition, x, y)`");
  return false;
}

bool xlm_el_integer(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const char *what, int64_t *out) {
  xlm_number v;
  if (!xlm_el_number(e, f, x, what, &v)) return false;
  bool whole = v.integer || (v.v > -9e15 && v.v < 9e15 && v.v == (double)(int64_t)v.v);
  if (whole) return *out = v.integer ? v.i : (int64_t)v.v, true;
  xlm_diag_push(e->diags, XLM_E_NOT_CONSTANT, x->span, "%s must be a whole number, not %s", what,
                xlm_num_text(e->arena, v));
  return false;
}
