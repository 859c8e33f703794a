// Builders, one per node kind, called by grammar actions. They limit the height of every tree to
// XLM_MAX_NESTING, so that later passes cannot run out of stack.
#include <string.h>

#include "compiler/parse/parse_priv.h"

static int max(int a, int b) {
  return a > b ? a : b;
}

// The depth of a node over children of this depth. Reports once when it exceeds the limit and then restarts
// from 1, since a tree with errors is not used.
static uint16_t above(xlm_parser *p, xlm_span s, int children) {
  if (children < XLM_MAX_NESTING) return (uint16_t)(children + 1);
  if (!p->deep) {
    xlm_span head = {s.begin, s.begin + 1};
    xlm_diag *g =
        xlm_diag_push(p->diags, XLM_E_TOO_DEEP, head, "nested more than %d levels deep", XLM_MAX_NESTING);
    xlm_diag_help(p->diags, g, "give parts of it names: `name = ...`");
  }
  p->deep = true;
  return 1;
}

xlm_ast_name *xlm_build_name(xlm_parser *p, xlm_span s) {
  xlm_ast_name *n = XLM_NEW(p->arena, xlm_ast_name);
  n->text = xlm_arena_strndup(p->arena, p->source->text + s.begin, s.end - s.begin);
  n->span = s;
  return n;
}

// --- expressions

xlm_expr *xlm_build_expr(xlm_parser *p, xlm_expr_kind k, xlm_span s) {
  xlm_expr *e = XLM_NEW(p->arena, xlm_expr);
  e->kind = k;
  e->span = s;
  e->depth = 1;
  return e;
}

xlm_expr *xlm_build_named(xlm_parser *p, xlm_ast_name *n) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_NAME, n->span);
  e->name.text = n->text;
  return e;
}

xlm_expr *xlm_build_index(xlm_parser *p, xlm_span s, xlm_ast_name *base, xlm_expr *index) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_INDEX, s);
  e->index.base = base;
  e->index.index = index;
  e->depth = above(p, s, index->depth);
  return e;
}

xlm_expr *xlm_build_unary(xlm_parser *p, xlm_span s, bool logical_not, xlm_expr *x) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_UNARY, s);
  e->unary.logical_not = logical_not;
  e->unary.x = x;
  e->depth = above(p, s, x->depth);
  return e;
}

xlm_expr *xlm_build_binary(xlm_parser *p, xlm_span s, xlm_binary op, xlm_span op_span, xlm_expr *a,
                           xlm_expr *b) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_BINARY, s);
  e->binary.op = op;
  e->binary.op_span = op_span;
  e->binary.a = a;
  e->binary.b = b;
  e->depth = above(p, s, max(a->depth, b->depth));
  return e;
}

xlm_expr *xlm_build_call(xlm_parser *p, xlm_span s, xlm_ast_name *callee, xlm_ast_name *instance,
                         xlm_list args) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_CALL, s);
  e->call.callee = callee;
  e->call.instance = instance;
  e->call.args = args.first;
  int depth = 0;
  for (xlm_arg *a = args.first; a; a = a->next) depth = max(depth, a->value ? a->value->depth : 0);
  e->depth = above(p, s, depth);
  return e;
}

xlm_expr *xlm_build_if(xlm_parser *p, xlm_span s, xlm_expr *cond, xlm_expr *then, xlm_expr *otherwise) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_IF, s);
  e->cond.cond = cond;
  e->cond.then = then;
  e->cond.otherwise = otherwise;
  e->depth = above(p, s, max(cond->depth, max(then->depth, otherwise->depth)));
  return e;
}

xlm_expr *xlm_build_parens(xlm_span s, xlm_expr *x) {
  x->span = s;
  x->parens = x->kind != XLM_EXPR_TUPLE;
  return x;
}

xlm_expr *xlm_build_tuple(xlm_parser *p, xlm_span s, xlm_expr *first, xlm_list rest) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_TUPLE, s);
  first->next = rest.first;
  e->tuple.items = first;
  int depth = 0;
  for (xlm_expr *x = first; x; x = x->next, e->tuple.n++) depth = max(depth, x->depth);
  e->depth = above(p, s, depth);
  return e;
}

xlm_arg *xlm_build_arg(xlm_parser *p, xlm_arg_kind k, xlm_span s) {
  xlm_arg *a = XLM_NEW(p->arena, xlm_arg);
  a->kind = k;
  a->span = s;
  return a;
}

// `over a, b`: bare names after `over` belong to it. `to` of an OVER argument is the last of its names.
xlm_list xlm_build_add_arg(xlm_parser *p, xlm_list args, xlm_arg *a) {
  xlm_arg *last = args.last;
  bool joins = last && last->kind == XLM_ARG_OVER && a->kind == XLM_ARG_VALUE &&
               a->value->kind == XLM_EXPR_NAME && !a->value->parens;
  if (!joins) {
    XLM_APPEND(args, xlm_arg, a);
    return args;
  }
  last->to->next = xlm_build_name(p, a->value->span);
  last->to = last->to->next;
  last->span.end = a->span.end;
  return args;
}

// --- dimension lists

xlm_ast_dim *xlm_build_dim(xlm_parser *p, xlm_span s, const char *name) {
  xlm_ast_dim *d = XLM_NEW(p->arena, xlm_ast_dim);
  d->span = s;
  d->name = name;
  return d;
}

static bool is_none(const xlm_ast_name *n) {
  return !n->next && !strcmp(n->text, "none");
}

void xlm_build_dim_over(xlm_ast_dim *d, xlm_list axes) {
  d->over_set = true;
  d->over = is_none(axes.first) ? NULL : axes.first;
}

// --- statements

xlm_stmt *xlm_build_stmt(xlm_parser *p, xlm_stmt_kind k, xlm_span s, xlm_ast_name *name, xlm_expr *expr) {
  xlm_stmt *t = XLM_NEW(p->arena, xlm_stmt);
  t->kind = k;
  t->span = s;
  t->name = name;
  t->expr = expr;
  t->depth = 1;
  return t;
}

xlm_stmt *xlm_build_shard(xlm_parser *p, xlm_span s, xlm_list dims, xlm_list axes, xlm_ast_name *where) {
  xlm_stmt *t = xlm_build_stmt(p, XLM_STMT_SHARD, s, NULL, NULL);
  t->shard.dims = dims.first;
  t->shard.none = is_none(axes.first);
  t->shard.axes = t->shard.none ? NULL : axes.first;
  t->shard.where_free = where != NULL;
  if (where && strcmp(where->text, "free")) {
    xlm_diag *g = xlm_diag_push(p->diags, XLM_E_SYNTAX, where->span,
                                "expected `free` after `where`, found `%s`", where->text);
    xlm_diag_note(p->diags, g,
                  "`where free` applies the rule only to tensors in which no other dimension uses the axis");
  }
  return t;
}

xlm_stmt *xlm_build_tensor(xlm_parser *p, xlm_stmt_kind k, xlm_span s, xlm_ast_name *name, xlm_list dims,
                           xlm_expr *init) {
  xlm_stmt *t = xlm_build_stmt(p, k, s, name, init);
  t->tensor.dims = dims.first;
  return t;
}

static const char *const top_level_only[XLM_STMT_KINDS] = {
    [XLM_STMT_MODEL] = "model",   [XLM_STMT_USE] = "use",     [XLM_STMT_BLOCK] = "block",
    [XLM_STMT_PRESET] = "preset", [XLM_STMT_GROUP] = "group", [XLM_STMT_WEIGHTS] = "weights",
    [XLM_STMT_CONFIG] = "config"};

void xlm_build_body(xlm_parser *p, xlm_stmt *s, xlm_list stmts, xlm_span braces) {
  int depth = s->depth - 1;
  for (xlm_stmt *t = stmts.first; t; t = t->next) {
    depth = max(depth, t->depth);
    if (!top_level_only[t->kind]) continue;
    xlm_diag *g = xlm_diag_push(p->diags, XLM_E_NOT_TOP_LEVEL, t->name->span,
                                "`%s` is allowed only at the top level", top_level_only[t->kind]);
    xlm_diag_label(p->diags, g, (xlm_span){braces.begin, braces.begin + 1}, "inside these braces");
    xlm_diag_help(p->diags, g, "move it out, or is a `}` missing before it?");
  }
  s->depth = above(p, s->span, depth);
}

xlm_stmt *xlm_build_if_stmt(xlm_parser *p, xlm_span s, xlm_expr *cond, xlm_list body, xlm_span braces) {
  xlm_stmt *t = xlm_build_stmt(p, XLM_STMT_IF, s, NULL, cond);
  t->cond.then = body.first;
  t->body = braces;
  xlm_build_body(p, t, body, braces);
  return t;
}

xlm_list xlm_build_else_if(xlm_list chain, xlm_stmt *s) {
  if (chain.last)
    ((xlm_stmt *)chain.last)->cond.otherwise = s;
  else
    chain.first = s;
  chain.last = s;
  return chain;
}

// Extends the span of each statement of the chain to its end, and sets depths.
static uint16_t end_chain(xlm_parser *p, xlm_stmt *s, xlm_stmt *last, uint32_t end) {
  int links = 0, deepest = 0;
  for (xlm_stmt *t = s;; t = t->cond.otherwise, links++) {
    t->span.end = end;
    deepest = max(deepest, t->depth);
    if (t == last) break;
  }
  return above(p, s->span, deepest + links - 1);
}

xlm_stmt *xlm_build_if_end(xlm_parser *p, xlm_list chain, xlm_span s) {
  xlm_stmt *first = chain.first;
  first->depth = end_chain(p, first, chain.last, s.end);
  return first;
}

xlm_block_param *xlm_build_block_param(xlm_parser *p, xlm_ast_name *name, bool is_tensor, xlm_list dims) {
  xlm_block_param *b = XLM_NEW(p->arena, xlm_block_param);
  b->name = name;
  b->is_tensor = is_tensor;
  b->dims = dims.first;
  return b;
}

xlm_block_result *xlm_build_block_result(xlm_parser *p, xlm_span s, xlm_list dims) {
  xlm_block_result *r = XLM_NEW(p->arena, xlm_block_result);
  r->span = s;
  r->dims = dims.first;
  return r;
}

xlm_setting *xlm_build_setting(xlm_parser *p, xlm_ast_name *name, xlm_expr *value) {
  xlm_setting *s = XLM_NEW(p->arena, xlm_setting);
  s->name = name;
  s->value = value;
  return s;
}

static xlm_ast_name *string_as_name(xlm_parser *p, xlm_span where, const char *text) {
  xlm_ast_name *name = XLM_NEW(p->arena, xlm_ast_name);
  name->text = text;
  name->span = where;
  return name;
}

xlm_stmt *xlm_build_use(xlm_parser *p, xlm_span s, xlm_span where, const char *file) {
  return xlm_build_stmt(p, XLM_STMT_USE, s, string_as_name(p, where, file), NULL);
}

xlm_stmt *xlm_build_param_group(xlm_parser *p, xlm_span s, xlm_span where, const char *pattern,
                                xlm_list settings, xlm_span braces) {
  xlm_stmt *t = xlm_build_stmt(p, XLM_STMT_GROUP, s, string_as_name(p, where, pattern), NULL);
  t->preset.settings = settings.first;
  t->body = braces;
  return t;
}

void xlm_build_top(xlm_parser *p, xlm_stmt *s) {
  XLM_APPEND(p->stmts, xlm_stmt, s);
}
