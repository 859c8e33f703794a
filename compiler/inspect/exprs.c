// Expressions: references to names, operations, their arguments and named values. Arguments are matched to
// the signature as in compiler/elaborate/call.c.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"

const xlm_op *xlm_callable(const char *name) {
  xlm_op_id id = xlm_op_find(name);
  const xlm_op *op = id ? xlm_op_at(id) : NULL;
  return op && op->params && !(op->flags & XLM_OPF_INTERNAL) ? op : NULL;
}

const xlm_op *xlm_called(const xlm_expr *x) {
  const char *name = x->call.callee->text;
  bool over = x->call.args && !x->call.args->next;
  for (const xlm_arg *a = x->call.args; a; a = a->next) over |= a->kind == XLM_ARG_OVER;
  return xlm_callable(!strcmp(name, "max") && over ? "amax" : name);
}

static bool is_function(const char *name) {
  for (int i = 0; xlm_number_function(i); i++)
    if (!strcmp(xlm_number_function(i), name)) return true;
  return !strcmp(name, "f32");
}

static const xlm_param *param_named(const xlm_op *op, const char *name) {
  for (const xlm_param *p = op->params; p->name; p++)
    if (!strcmp(p->name, name)) return p;
  return NULL;
}

// --- arguments of operations

// A bare word that is a value of the parameter's set; otherwise an expression.
static void argument(xlm_walk *w, uint32_t scope, const xlm_param *p, const xlm_expr *x) {
  bool word = x->kind == XLM_EXPR_NAME && p && (p->kind == XLM_P_ENUM || p->kind == XLM_P_TEXT);
  int value;
  if (!word) {
    xlm_walk_expr(w, scope, x);
  } else if (p->kind == XLM_P_ENUM && xlm_enum_find(xlm_attr_set_of(p->key), x->name.text, &value)) {
    xlm_walk_mark(
        w,
        (xlm_mark){.span = x->span, .kind = XLM_MARK_VALUE, .set = xlm_attr_set_of(p->key), .value = value});
  }
}

typedef struct places { // the parameters that values by position fill
  const xlm_op *op;
  const xlm_param *tensor, *other; // the next of either kind
} places;

static bool takes_tensor(const xlm_param *p) {
  return p->kind == XLM_P_TENSOR || p->kind == XLM_P_REST;
}

static bool takes_number(const xlm_param *p) {
  return p->kind == XLM_P_FLOAT || p->kind == XLM_P_INT || p->kind == XLM_P_DIM || p->kind == XLM_P_TEXT ||
         p->kind == XLM_P_ENUM;
}

static const xlm_param *next_place(places *p) {
  while (p->tensor->name && !takes_tensor(p->tensor)) p->tensor++;
  if (p->tensor->name) return p->tensor->kind == XLM_P_REST ? p->tensor : p->tensor++;
  while (p->other->name && !takes_number(p->other)) p->other++;
  return p->other->name ? p->other++ : NULL;
}

static void positional(xlm_walk *w, uint32_t scope, places *at, const xlm_expr *x) {
  const xlm_param *flag = x->kind == XLM_EXPR_NAME ? param_named(at->op, x->name.text) : NULL;
  if (flag && flag->kind == XLM_P_FLAG)
    xlm_walk_mark(w, (xlm_mark){.span = x->span, .kind = XLM_MARK_ATTR, .op = at->op, .param = flag});
  else
    argument(w, scope, next_place(at), x);
}

static void op_argument(xlm_walk *w, uint32_t scope, places *at, const xlm_arg *a) {
  if (a->kind == XLM_ARG_NAMED) {
    const xlm_param *p = param_named(at->op, a->name->text);
    xlm_mark m = {.span = a->name->span, .kind = XLM_MARK_ATTR, .op = at->op, .param = p};
    if (p) xlm_walk_mark(w, m);
    if (p && takes_tensor(p)) (void)next_place(at);
    argument(w, scope, p, a->value);
  } else if (a->kind == XLM_ARG_VALUE) {
    positional(w, scope, at, a->value);
  } else {
    xlm_walk_names(w, scope, a->dims);
    if (a->kind == XLM_ARG_ARROW) xlm_walk_names(w, scope, a->to);
  }
}

// --- calls

static void block_argument(xlm_walk *w, uint32_t scope, uint32_t inner, const xlm_arg *a) {
  if (a->kind == XLM_ARG_NAMED && inner != XLM_NO_SYMBOL) {
    uint32_t s = xlm_symbol_of(xlm_dict_get(&w->v->scopes[inner].names, a->name->text));
    xlm_symbol_kind kind = s != XLM_NO_SYMBOL ? w->v->symbols[s].kind : XLM_SYMBOLS;
    if (kind == XLM_SYMBOL_ARGUMENT || kind == XLM_SYMBOL_DIM) // DIM: generic
      xlm_walk_mark(w, (xlm_mark){.span = a->name->span, .symbol = s});
  }
  xlm_walk_expr(w, scope, a->value);
  xlm_walk_names(w, scope, a->dims);
  if (a->kind == XLM_ARG_ARROW) xlm_walk_names(w, scope, a->to);
}

static void call(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  const xlm_ast_name *callee = x->call.callee, *instance = x->call.instance;
  uint32_t block = xlm_symbol_of(xlm_dict_get(&w->blocks, callee->text)),
           inner = xlm_symbol_of(xlm_dict_get(&w->inner, callee->text));
  const xlm_op *op = block == XLM_NO_SYMBOL && !instance ? xlm_called(x) : NULL;
  places at = {op, op ? op->params : NULL, op ? op->params : NULL};
  xlm_mark m = {.span = callee->span, .symbol = block, .op = op, .expr = x};
  if (block == XLM_NO_SYMBOL) m.kind = op ? XLM_MARK_OP : XLM_MARK_FUNCTION;
  if (block != XLM_NO_SYMBOL || op || is_function(callee->text)) xlm_walk_mark(w, m);
  if (instance && block != XLM_NO_SYMBOL)
    xlm_walk_mark(w,
                  (xlm_mark){.span = instance->span, .kind = XLM_MARK_INSTANCE, .symbol = block, .expr = x});
  for (const xlm_arg *a = x->call.args; a; a = a->next)
    if (op)
      op_argument(w, scope, &at, a);
    else
      block_argument(w, scope, inner, a);
}

// --- operators

static const xlm_op *op_of_sign(const xlm_expr *x) {
  static const char *const names[XLM_BIN_COUNT] = {
      [XLM_BIN_ADD] = "add", [XLM_BIN_SUB] = "sub", [XLM_BIN_MUL] = "mul",
      [XLM_BIN_DIV] = "div", [XLM_BIN_POW] = "pow", [XLM_BIN_MATMUL] = "contract",
  };
  return names[x->binary.op] ? xlm_callable(names[x->binary.op]) : NULL;
}

static void binary(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  xlm_walk_expr(w, scope, x->binary.a);
  xlm_mark m = {.span = x->binary.op_span, .kind = XLM_MARK_OP, .op = op_of_sign(x), .expr = x};
  xlm_walk_mark(w, m);
  xlm_walk_expr(w, scope, x->binary.b);
}

static void name(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  xlm_span span = {x->span.begin, x->span.end};
  if (x->parens) { // the span includes the parentheses
    const char *text = w->v->source->text, *at = strstr(text + span.begin, x->name.text);
    span.begin = at ? (uint32_t)(at - text) : span.begin;
    span.end = span.begin + (uint32_t)strlen(x->name.text);
  }
  xlm_walk_use(w, scope, x->name.text, span);
}

static void index_of(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  xlm_walk_use(w, scope, x->index.base->text, x->index.base->span);
  xlm_walk_expr(w, scope, x->index.index);
}

static void unary(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  xlm_walk_expr(w, scope, x->unary.x);
}

static void choice(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  xlm_walk_expr(w, scope, x->cond.cond);
  xlm_walk_expr(w, scope, x->cond.then);
  xlm_walk_expr(w, scope, x->cond.otherwise);
}

static void tuple(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  for (const xlm_expr *i = x->tuple.items; i; i = i->next) xlm_walk_expr(w, scope, i);
}

void xlm_walk_expr(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  static void (*const visit[XLM_EXPR_KINDS])(xlm_walk *, uint32_t, const xlm_expr *) = {
      [XLM_EXPR_NAME] = name,   [XLM_EXPR_INDEX] = index_of, [XLM_EXPR_UNARY] = unary,
      [XLM_EXPR_CALL] = call,   [XLM_EXPR_BINARY] = binary,  [XLM_EXPR_IF] = choice,
      [XLM_EXPR_TUPLE] = tuple,
  };
  if (x && visit[x->kind]) visit[x->kind](w, scope, x);
}

void xlm_walk_init(xlm_walk *w, uint32_t scope, const xlm_expr *x) {
  if (!x || (x->kind != XLM_EXPR_NAME && x->kind != XLM_EXPR_CALL)) {
    xlm_walk_expr(w, scope, x);
    return;
  }
  const char *text = x->kind == XLM_EXPR_NAME ? x->name.text : x->call.callee->text;
  xlm_span span = x->kind == XLM_EXPR_NAME ? x->span : x->call.callee->span;
  int value;
  if (xlm_enum_find(XLM_ENUM_INIT, text, &value))
    xlm_walk_mark(w, (xlm_mark){.span = span, .kind = XLM_MARK_VALUE, .set = XLM_ENUM_INIT, .value = value});
  for (const xlm_arg *a = x->kind == XLM_EXPR_CALL ? x->call.args : NULL; a; a = a->next)
    xlm_walk_expr(w, scope, a->value);
}
