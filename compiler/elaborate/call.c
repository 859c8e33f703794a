// Calls of operations, according to their signatures (xlm_op.params). No operation is referred to by name
// except those the language defines: f32(x), compile-time functions of numbers, and max(x, over d), which is
// the reduction `amax`.
#include <stdio.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "compiler/ir/signature.h"

enum { MOST_PARAMS = 32 };

typedef struct xlm_el_filling { // a call under construction; large, so it is heap-allocated and reused
  xlm_el *e;
  xlm_el_frame *f;
  const xlm_expr *x;
  const xlm_op *op;
  xlm_el_operand *in;
  int n_in;
  xlm_el_operand named[XLM_OPERANDS]; // optional operands ..
  uint32_t given;                     // .. and which of them are there, as a set
  xlm_attr_list attrs;
  bool filled[MOST_PARAMS];
  const xlm_arg *over, *arrow;
  bool ok;
  struct xlm_el_filling *spare;
} filling;

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

static int count_params(const xlm_op *op) {
  int n = 0;
  while (op->params && op->params[n].name) n++;
  XLM_ASSERT(n <= MOST_PARAMS, "%s has %d parameters", op->name, n);
  return n;
}

static const char *signature(xlm_el *e, const xlm_op *op) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_op_signature(op, &t, NULL);
  return t.data;
}

static xlm_diag *wrong(filling *c, xlm_span at, const char *fmt, ...) XLM_PRINTF(3, 4);
static xlm_diag *wrong(filling *c, xlm_span at, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  c->ok = false;
  return xlm_diag_push(c->e->diags, XLM_E_ARGUMENTS, at, "%s", text);
}

static void say_signature(filling *c, xlm_diag *g) {
  xlm_diag_help(c->e->diags, g, "it is %s", signature(c->e, c->op));
}

// A tensor where the operation takes no further one, but a number.
static bool is_surplus_tensor(filling *c, const xlm_param *p, const xlm_expr *x) {
  if (p->kind != XLM_P_FLOAT && p->kind != XLM_P_INT) return false;
  if (x->kind == XLM_EXPR_NUMBER || x->kind == XLM_EXPR_STRING) return false;
  xlm_el_value v = xlm_el_one(c->e, c->f, x);
  if (v.kind == XLM_EL_BAD) return !(c->ok = false);
  if (v.kind != XLM_EL_TENSOR) return false;
  xlm_diag *g = wrong(c, x->span, "`%s` takes %d tensor%s, and this is one more", c->op->name, c->n_in,
                      c->n_in == 1 ? "" : "s");
  xlm_diag_primary(c->e->diags, g, "%s", xlm_el_type_text(c->e, v.val));
  say_signature(c, g);
  return true;
}

// --- setting one parameter from an expression

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
    say_signature(c, wrong(c, x->span, "`%s` of `%s` is the name of a dimension", p->name, c->op->name));
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
    say_signature(c, wrong(c, x->span, "`%s` of `%s` is a name", p->name, c->op->name));
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
  xlm_diag *g = name ? wrong(c, x->span, "no %s is called `%s`", xlm_enum_what(set), name)
                     : wrong(c, x->span, "`%s` of `%s` is a name", p->name, c->op->name);
  xlm_diag_help(c->e->diags, g, "write one of %s", names.data);
}

static bool takes_numbers(const filling *c) {
  return c->op->flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_NUMBERS);
}

static xlm_el_operand operand_of(filling *c, const xlm_expr *x) {
  xlm_el_value v = xlm_el_one(c->e, c->f, x);
  if (v.kind == XLM_EL_NUMBER && !takes_numbers(c)) {
    xlm_diag *g = xlm_diag_push(c->e->diags, XLM_E_NOT_TENSOR, x->span,
                                "`%s` needs a tensor here, and this is the number %s", c->op->name,
                                xlm_num_text(c->e->arena, v.num));
    say_signature(c, g);
    v = xlm_el_bad();
  }
  if (v.kind == XLM_EL_BAD) c->ok = false;
  return (xlm_el_operand){v, x->span};
}

static void put_operand(filling *c, const xlm_expr *x) {
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
    say_signature(c, wrong(c, x->span, "the tensors of `%s` come in order, and `%s` is not the next one",
                           c->op->name, p->name));
    return;
  }
  put_operand(c, x);
}

static void set_misplaced(filling *c, const xlm_param *p, const xlm_expr *x) {
  say_signature(c, wrong(c, x->span, "`%s` of `%s` is not given with `=`", p->name, c->op->name));
}

static void set(filling *c, int i, const xlm_expr *x) {
  static void (*const by_kind[])(filling *, const xlm_param *, const xlm_expr *) = {
      [XLM_P_TENSOR] = set_operand, [XLM_P_REST] = set_misplaced,  [XLM_P_FLOAT] = set_float,
      [XLM_P_INT] = set_int,        [XLM_P_FLAG] = set_flag,       [XLM_P_DIM] = set_dim,
      [XLM_P_OVER] = set_misplaced, [XLM_P_ARROW] = set_misplaced, [XLM_P_TEXT] = set_text,
      [XLM_P_ENUM] = set_enum,      [XLM_P_NAMED] = set_named,
  };
  const xlm_param *p = &c->op->params[i];
  if (c->filled[i]) {
    wrong(c, x->span, "`%s` is given twice", p->name);
    return;
  }
  c->filled[i] = true;
  by_kind[p->kind](c, p, x);
}

// --- arguments

static int find_param(const filling *c, const char *name) {
  for (int i = 0, n = count_params(c->op); i < n; i++)
    if (!strcmp(c->op->params[i].name, name)) return i;
  return -1;
}

static int find_kind(const filling *c, xlm_param_kind k) {
  for (int i = 0, n = count_params(c->op); i < n; i++)
    if (c->op->params[i].kind == k) return i;
  return -1;
}

static bool names_dimension(const char *name) { // in PyTorch, JAX and NumPy
  return !strcmp(name, "dim") || !strcmp(name, "axis") || !strcmp(name, "dims") || !strcmp(name, "axes");
}

static void take_named(filling *c, const xlm_arg *a) {
  int i = find_param(c, a->name->text);
  if (i >= 0) {
    set(c, i, a->value);
    return;
  }
  const char *names[MOST_PARAMS];
  int n = count_params(c->op);
  for (int k = 0; k < n; k++) names[k] = c->op->params[k].name;
  xlm_diag *g = wrong(c, a->name->span, "`%s` has no argument `%s`", c->op->name, a->name->text);
  const char *near = xlm_text_nearest(a->name->text, names, (size_t)n);
  if (names_dimension(a->name->text) && find_kind(c, XLM_P_OVER) >= 0)
    xlm_diag_help(c->e->diags, g, "dimensions have names: %s(x, over hidden)", c->op->name);
  else if (near)
    xlm_diag_help(c->e->diags, g, "did you mean `%s`?", near);
  else
    say_signature(c, g);
}

static bool is_flag(filling *c, const xlm_expr *x) {
  int i = x->kind == XLM_EXPR_NAME ? find_param(c, x->name.text) : -1;
  if (i < 0 || c->op->params[i].kind != XLM_P_FLAG) return false;
  c->filled[i] = true;
  xlm_attr_put_int(&c->attrs, c->op->params[i].key, 1);
  return true;
}

// Does an undefined bare word resemble a flag, like `casual`?
static bool is_misspelt_flag(filling *c, const xlm_expr *x) {
  const char *flags[MOST_PARAMS];
  size_t n = 0;
  if (x->kind != XLM_EXPR_NAME || xlm_el_find(c->f, x->name.text)) return false;
  for (const xlm_param *p = c->op->params; p->name; p++)
    if (p->kind == XLM_P_FLAG) flags[n++] = p->name;
  const char *near = xlm_text_nearest(x->name.text, flags, n);
  if (!near) return false;
  xlm_diag *g = wrong(c, x->span, "`%s` has no flag `%s`", c->op->name, x->name.text);
  xlm_diag_help(c->e->diags, g, "did you mean `%s`?", near);
  return true;
}

static int next_open(const filling *c, bool tensors) {
  for (int i = 0, n = count_params(c->op); i < n; i++) {
    xlm_param_kind k = c->op->params[i].kind;
    if (c->filled[i]) continue;
    if (tensors ? k == XLM_P_TENSOR || k == XLM_P_REST
                : k == XLM_P_FLOAT || k == XLM_P_INT || k == XLM_P_DIM || k == XLM_P_TEXT || k == XLM_P_ENUM)
      return i;
  }
  return -1;
}

static bool only_numbers(xlm_el *e, xlm_el_frame *f, const xlm_expr *x);

static bool is_tensor(filling *c, const xlm_expr *x) { // without evaluating it
  if (x->kind == XLM_EXPR_STRING) return false;
  if (x->kind != XLM_EXPR_NAME) return !only_numbers(c->e, c->f, x);
  const xlm_el_symbol *s = xlm_el_find(c->f, x->name.text);
  return s && (s->kind >= XLM_SYM_PARAM || (s->kind == XLM_SYM_VALUE && s->value.kind == XLM_EL_TENSOR));
}

// A tensor more than the operation has places for: those that remain are given by name.
static bool is_one_too_many(filling *c, const xlm_arg *a) {
  if (!is_tensor(c, a->value)) return false;
  xlm_text names = xlm_text_new(c->e->arena);
  const char *text = a->value->kind == XLM_EXPR_NAME ? a->value->name.text : NULL, *same = NULL;
  for (const xlm_param *p = c->op->params; p->name; p++) {
    if (p->kind != XLM_P_NAMED) continue;
    if (text && !strcmp(p->name, text)) same = p->name;
    xlm_text_printf(&names, "%s`%s`", *names.data ? ", " : "", p->name);
  }
  xlm_diag *g = wrong(c, a->span, "`%s` takes %d tensor%s by position, and this is one more", c->op->name,
                      c->n_in, c->n_in == 1 ? "" : "s");
  if (same)
    xlm_diag_help(c->e->diags, g, "write `%s = %s`", same, text);
  else if (*names.data)
    xlm_diag_help(c->e->diags, g, "other tensors are given by name: %s", names.data);
  else
    say_signature(c, g);
  return true;
}

static void take_value(filling *c, const xlm_arg *a) {
  if (is_flag(c, a->value) || is_misspelt_flag(c, a->value)) return;
  int i = next_open(c, true);
  // A number passes over a tensor that may be left out: rope(x, 10000).
  bool over =
      i >= 0 && c->op->params[i].kind == XLM_P_TENSOR && !c->op->params[i].required && !takes_numbers(c);
  if (i >= 0 && !(over && only_numbers(c->e, c->f, a->value))) {
    c->filled[i] = c->op->params[i].kind == XLM_P_TENSOR;
    put_operand(c, a->value);
    return;
  }
  if (is_one_too_many(c, a)) return;
  i = next_open(c, false);
  if (i >= 0 && is_surplus_tensor(c, &c->op->params[i], a->value)) return;
  if (i >= 0)
    set(c, i, a->value);
  else
    say_signature(c, wrong(c, a->span, "`%s` takes no further argument", c->op->name));
}

static void take_over(filling *c, const xlm_arg *a) {
  int i = find_kind(c, XLM_P_OVER), n;
  xlm_dim dims[XLM_MAX_RANK];
  if (i < 0 || c->filled[i]) {
    say_signature(c, wrong(c, a->span, i < 0 ? "`%s` takes no `over`" : "`%s` has two `over`s", c->op->name));
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
  int i = find_kind(c, XLM_P_ARROW), n_from = 0, n_to = 0, more_from, more_to;
  if (i < 0) {
    say_signature(c, wrong(c, a->span, "`%s` takes no `->`", c->op->name));
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
    wrong(c, a->span, "this `->` and the one before it do not make one list; write two calls of `%s`",
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
    wrong(c, c->x->span, "a call with %d arguments", n);
    return;
  }
  c->in = XLM_NEW_N(c->e->arena, xlm_el_operand, n);
  for (const xlm_arg *a = c->x->call.args; a; a = a->next) take[a->kind](c, a);
  put_named(c);
}

static void check_required(filling *c) {
  if (!c->ok) return;
  for (int i = 0, n = count_params(c->op); i < n; i++) {
    const xlm_param *p = &c->op->params[i];
    if (!p->required || c->filled[i] || (p->kind == XLM_P_REST && c->n_in > 1)) continue;
    const char *what = p->kind == XLM_P_OVER ? "over" : p->kind == XLM_P_ARROW ? "->" : p->name;
    say_signature(c, wrong(c, c->x->span, "`%s` needs `%s`", c->op->name, what));
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
    if (n == fn->arity || a->kind != XLM_ARG_VALUE || !xlm_el_number(e, f, a->value, "an argument", &in[n]))
      return xlm_el_bad();
  if (n < fn->arity) return xlm_el_bad();
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

static xlm_el_value to_f32(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  const xlm_arg *a = x->call.args;
  if (!a || a->next || a->kind != XLM_ARG_VALUE) {
    xlm_diag_push(e->diags, XLM_E_ARGUMENTS, x->span, "f32 takes one tensor: f32(x)");
    return xlm_el_bad();
  }
  xlm_el_value v = xlm_el_one(e, f, a->value);
  if (v.kind != XLM_EL_TENSOR) return v;
  e->b.span = x->span;
  return xlm_el_tensor(xlm_el_cast(e, v, true));
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
  if (!strcmp(name, "f32")) return to_f32(e, f, x);
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
