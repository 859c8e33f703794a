// Calls of operations, according to their signatures (xlm_op.params): which argument is which parameter, and
// the node. call_params.c sets the parameters, call_wrong.c reports mistakes. No operation is referred to by
// name except those the language defines: f32(x), compile-time functions of numbers, and max(x, over d),
// which is the reduction `amax`.
#include <stdio.h>
#include <string.h>

#include "compiler/elaborate/call_priv.h"

// Are all arguments numbers? (Names of tensors are looked up, not used.)
static bool only_numbers(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  if (x->kind == XLM_EXPR_NUMBER) return true;
  if (x->kind == XLM_EXPR_UNARY) return only_numbers(e, f, x->unary.x);
  if (x->kind == XLM_EXPR_BINARY) return only_numbers(e, f, x->binary.a) && only_numbers(e, f, x->binary.b);
  if (x->kind == XLM_EXPR_IF)
    return only_numbers(e, f, x->cond.then) && only_numbers(e, f, x->cond.otherwise);
  if (x->kind == XLM_EXPR_NAME) {
    const xlm_el_symbol *s = xlm_el_find(f, x->name.text);
    return s && (s->kind == XLM_SYM_DECL || (s->kind == XLM_SYM_VALUE && s->value.kind == XLM_EL_NUMBER));
  }
  if (x->kind != XLM_EXPR_CALL || x->call.instance || !xlm_num_find(x->call.callee->text)) return false;
  for (const xlm_arg *a = x->call.args; a; a = a->next)
    if (a->kind != XLM_ARG_VALUE || !only_numbers(e, f, a->value)) return false;
  return x->call.args != NULL;
}

// --- arguments

static void take_named(filling *c, const xlm_arg *a) {
  int i = xlm_call_find(c->op, a->name->text);
  if (i >= 0) {
    xlm_call_set(c, i, a->value);
    return;
  }
  xlm_call_unknown(c, a);
}

static bool is_flag(filling *c, const xlm_expr *x) {
  int i = x->kind == XLM_EXPR_NAME ? xlm_call_find(c->op, x->name.text) : -1;
  if (i < 0 || c->op->params[i].kind != XLM_P_FLAG) return false;
  c->filled[i] = true;
  xlm_attr_put_int(&c->attrs, c->op->params[i].key, 1);
  return true;
}

static int next_open(const filling *c, bool tensors) {
  for (int i = 0, n = xlm_call_params(c->op); i < n; i++) {
    xlm_param_kind k = c->op->params[i].kind;
    if (c->filled[i]) continue;
    if (tensors ? k == XLM_P_TENSOR || k == XLM_P_REST
                : k == XLM_P_FLOAT || k == XLM_P_INT || k == XLM_P_DIM || k == XLM_P_TEXT || k == XLM_P_ENUM)
      return i;
  }
  return -1;
}

bool xlm_call_is_tensor(filling *c, const xlm_expr *x) { // without evaluating it
  if (x->kind == XLM_EXPR_STRING) return false;
  if (x->kind != XLM_EXPR_NAME) return !only_numbers(c->e, c->f, x);
  const xlm_el_symbol *s = xlm_el_find(c->f, x->name.text);
  return s && (s->kind >= XLM_SYM_PARAM || (s->kind == XLM_SYM_VALUE && s->value.kind == XLM_EL_TENSOR));
}

static void take_value(filling *c, const xlm_arg *a) {
  if (is_flag(c, a->value) || xlm_call_misspelt_flag(c, a->value) || xlm_call_unset_operand(c, a) ||
      xlm_call_bracketed_over(c, a))
    return;
  int i = next_open(c, true);
  // A number passes over a tensor that may be left out: rope(x, 10000).
  bool over = i >= 0 && c->op->params[i].kind == XLM_P_TENSOR && !c->op->params[i].required &&
              !xlm_call_takes_numbers(c);
  if (i >= 0 && !(over && only_numbers(c->e, c->f, a->value))) {
    c->filled[i] = c->op->params[i].kind == XLM_P_TENSOR;
    xlm_call_put_operand(c, a->value);
    return;
  }
  if (xlm_call_one_too_many(c, a)) return;
  i = next_open(c, false);
  bool real = i >= 0 && c->op->params[i].kind == XLM_P_FLOAT; // no dimension is meant as a real number
  if ((i < 0 || (real && xlm_call_is_dimension(c, a->value))) && xlm_call_surplus_dimension(c, a)) return;
  if (i >= 0 && xlm_call_surplus_tensor(c, &c->op->params[i], a->value)) return;
  if (i >= 0)
    xlm_call_set(c, i, a->value);
  else
    xlm_call_surplus(c, a);
}

static void take_over(filling *c, const xlm_arg *a) {
  int i = xlm_call_find_kind(c->op, XLM_P_OVER), n;
  xlm_dim dims[XLM_MAX_RANK];
  if (i < 0 || c->filled[i]) {
    xlm_call_say_signature(
        c, xlm_call_wrong(c, a->span, i < 0 ? "`%s` takes no `over`" : "`%s` has two `over`s", c->op->name));
    return;
  }
  c->filled[i] = true;
  c->over = a;
  if (xlm_el_dim_names(c->e, c->f, a->dims, dims, &n))
    xlm_attr_put_dims(&c->attrs, c->op->params[i].key, dims, n);
  else
    c->ok = false;
}

// Several arrows, as in rename(x, a -> b, c -> d), make one list of dimensions `from` and one `to`.
static void take_arrow(filling *c, const xlm_arg *a) {
  xlm_dim from[2 * XLM_MAX_RANK], to[2 * XLM_MAX_RANK];
  int i = xlm_call_find_kind(c->op, XLM_P_ARROW), n_from = 0, n_to = 0, more_from, more_to;
  if (i < 0) {
    xlm_call_say_signature(c, xlm_call_wrong(c, a->span, "`%s` takes no `->`", c->op->name));
    return;
  }
  if (c->filled[i]) {
    xlm_attrs as = xlm_attr_freeze(&c->attrs);
    n_from = xlm_attr_dims(&as, XLM_A_from, from);
    n_to = xlm_attr_dims(&as, XLM_A_to, to);
  }
  bool ok = xlm_el_dim_names(c->e, c->f, a->dims, from + n_from, &more_from);
  ok = xlm_el_dim_names(c->e, c->f, a->to, to + n_to, &more_to) && ok;
  bool single = !c->filled[i] || (n_from == n_to && more_from == more_to);
  c->filled[i] = true;
  if (!ok)
    c->ok = false;
  else if (!single || n_from + more_from > XLM_MAX_RANK || n_to + more_to > XLM_MAX_RANK)
    xlm_call_wrong(c, a->span,
                   "this `->` and the one before it do not make one list; write two calls of `%s`",
                   c->op->name);
  if (!c->ok) return;
  xlm_attr_put_dims(&c->attrs, XLM_A_from, from, n_from + more_from);
  xlm_attr_put_dims(&c->attrs, XLM_A_to, to, n_to + more_to);
}

static void put_named(filling *c) { // after the other operands, in the order of their set
  int64_t which[XLM_OPERANDS];
  uint32_t n = 0;
  for (int i = 0; i < XLM_OPERANDS; i++) {
    if (!(c->given >> i & 1)) continue;
    c->in[c->n_in++] = c->named[i];
    which[n++] = i;
  }
  if (n) xlm_attr_put_ints(&c->attrs, XLM_A_operands, which, n);
}

static void take_all(filling *c) {
  static void (*const take[])(filling *, const xlm_arg *) = {[XLM_ARG_VALUE] = take_value,
                                                             [XLM_ARG_NAMED] = take_named,
                                                             [XLM_ARG_OVER] = take_over,
                                                             [XLM_ARG_ARROW] = take_arrow};
  int n = 0;
  for (const xlm_arg *a = c->x->call.args; a; a = a->next) n++;
  if (n > UINT16_MAX / 2) {
    xlm_call_wrong(c, c->x->span, "a call with %d arguments", n);
    return;
  }
  c->in = XLM_NEW_N(c->e->arena, xlm_el_operand, n);
  for (const xlm_arg *a = c->x->call.args; a; a = a->next) take[a->kind](c, a);
  put_named(c);
}

static void check_required(filling *c) {
  if (!c->ok) return;
  for (int i = 0, n = xlm_call_params(c->op); i < n; i++) {
    const xlm_param *p = &c->op->params[i];
    if (!p->required || c->filled[i] || (p->kind == XLM_P_REST && c->n_in > 1)) continue;
    const char *what = p->kind == XLM_P_OVER ? "over" : p->kind == XLM_P_ARROW ? "->" : p->name;
    xlm_call_say_signature(c, xlm_call_wrong(c, c->x->span, "`%s` needs `%s`", c->op->name, what));
    return;
  }
}

// --- the node

// Names a random operation's stream after its place in the model, so that it is the same in every layout.
static void name_stream(filling *c) {
  xlm_el *e = c->e;
  if (!(c->op->flags & XLM_OPF_RANDOM)) return;
  xlm_attrs as = xlm_attr_freeze(&c->attrs);
  const char *name = xlm_el_join(e, c->f->path, xlm_attr_text(&as, XLM_A_name, c->op->name));
  xlm_attr_put_text(&c->attrs, XLM_A_name, xlm_el_unique(e, name));
}

// Outside training dropout is the identity; the call is checked anyway, and its nodes are removed.
static xlm_el_value check_only(filling *c, xlm_op_id op) {
  xlm_graph *g = c->e->g;
  uint32_t nodes = g->n_nodes, values = g->n_values;
  xlm_el_value v = xlm_el_emit(c->e, op, c->in, c->n_in, &c->attrs, c->x->span);
  g->n_nodes = nodes;
  g->n_values = values;
  return v.kind == XLM_EL_TENSOR ? c->in[0].value : v;
}

static xlm_el_value fill_and_emit(filling *c, xlm_op_id op) {
  xlm_el *e = c->e;
  take_all(c);
  check_required(c);
  if (!c->ok) return xlm_el_bad();
  name_stream(c);
  if ((c->op->flags & XLM_OPF_RANDOM) && !e->set->training) return check_only(c, op);
  return xlm_el_emit(e, op, c->in, c->n_in, &c->attrs, c->x->span);
}

static xlm_el_value call_op(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_op_id op) {
  filling *c = e->spare ? e->spare : XLM_NEW(e->arena, filling);
  e->spare = c->spare;
  *c = (filling){
      .e = e, .f = f, .x = x, .op = xlm_op_at(op), .attrs = xlm_attr_list_new(e->arena), .ok = true};
  xlm_el_value v = fill_and_emit(c, op);
  c->spare = e->spare;
  e->spare = c;
  return v;
}

// --- dispatch

static xlm_el_value fold(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_num_fn *fn) {
  xlm_number in[2], out;
  int n = 0;
  for (const xlm_arg *a = x->call.args; a; a = a->next, n++)
    if (n < fn->arity && !xlm_el_number(e, f, a->value, "an argument", &in[n])) return xlm_el_bad();
  if (n != fn->arity) {
    xlm_diag_push(e->diags, XLM_E_ARGUMENTS, x->span, "`%s` takes %d number%s, not %d", x->call.callee->text,
                  fn->arity, fn->arity == 1 ? "" : "s", n);
    return xlm_el_bad();
  }
  const char *bad = fn->run(in, &out);
  if (!bad) return xlm_el_num(out);
  xlm_diag_push(e->diags, XLM_E_ARITHMETIC, x->span, "%s", bad);
  return xlm_el_bad();
}

static bool has_over(const xlm_expr *x) {
  for (const xlm_arg *a = x->call.args; a; a = a->next)
    if (a->kind == XLM_ARG_OVER) return true;
  return false;
}

static bool has_one_value(const xlm_expr *x) {
  return x->call.args && !x->call.args->next;
}

static xlm_el_value convert(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_dtype to) {
  const xlm_arg *a = x->call.args;
  if (!a || a->next || a->kind != XLM_ARG_VALUE) {
    const char *name = x->call.callee->text;
    xlm_diag_push(e->diags, XLM_E_ARGUMENTS, x->span, "%s takes one tensor: %s(x)", name, name);
    return xlm_el_bad();
  }
  xlm_el_value v = xlm_el_one(e, f, a->value);
  if (v.kind != XLM_EL_TENSOR) return v;
  e->b.span = x->span;
  return xlm_el_tensor(xlm_cast_to(&e->b, v.val, to));
}

static xlm_el_value call(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  const char *name = x->call.callee->text;
  const xlm_stmt *block = xlm_dict_get(&e->blocks, name);
  if (block) return xlm_el_call_block(e, f, x, block);
  if (x->call.instance) {
    xlm_op_id op = xlm_el_find(f, name) ? XLM_OP_NONE : xlm_el_callable(name);
    if (!op) return xlm_el_unknown_function(e, f, x);
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_ARGUMENTS, x->call.instance->span,
                                "`%s` is an operation; only blocks have instances", name);
    xlm_diag_help(e->diags, g, "write %s(..)", name);
    return xlm_el_bad();
  }
  if (!strcmp(name, "f32")) return convert(e, f, x, xlm_el_wide(e));
  if (!strcmp(name, "cast") && has_one_value(x)) return convert(e, f, x, e->set->dtype);
  if (xlm_el_is_draw(e, name)) return xlm_el_draw(e, f, x);
  if (xlm_num_find(name) && only_numbers(e, f, x)) return fold(e, f, x, xlm_num_find(name));
  if (!strcmp(name, "max") && (has_over(x) || has_one_value(x))) return call_op(e, f, x, XLM_OP_AMAX);
  xlm_op_id op = xlm_el_callable(name);
  return op ? call_op(e, f, x, op) : xlm_el_unknown_function(e, f, x);
}

xlm_el_value xlm_el_call(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  bool outer = e->b.recompute;
  e->b.recompute = outer || x->call.recompute;
  xlm_el_value v = call(e, f, x);
  e->b.recompute = outer;
  return v;
}
