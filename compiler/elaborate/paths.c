// The paths that a model's text can give its parameters under any settings: through blocks by their
// instances, through repeats by their names, through both branches of every `if`. A pattern is matched
// against the text, so paths are not enumerated; every block consumes a part of the pattern, so recursion
// ends.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

static bool in_list(const xlm_el *e, const xlm_stmt *list, const char *path);
static bool in_expr(const xlm_el *e, const xlm_expr *x, const char *path);

// The rest of the path after "name."; NULL: it does not begin so.
static const char *after(const char *path, const char *name) {
  size_t n = strlen(name);
  return !strncmp(path, name, n) && path[n] == '.' ? path + n + 1 : NULL;
}

static const xlm_stmt *block_named(const xlm_stmt *list, const char *name) {
  for (; list; list = list->next)
    if (list->kind == XLM_STMT_BLOCK && !strcmp(list->name->text, name)) return list;
  return NULL;
}

static bool in_call(const xlm_el *e, const xlm_expr *x, const char *path) {
  const xlm_ast_name *instance = x->call.instance ? x->call.instance : x->call.callee;
  const xlm_stmt *block = block_named(e->ast->stmts, x->call.callee->text);
  const char *inside = after(path, instance->text);
  if (block && inside && in_list(e, block->block.body, inside)) return true;
  for (const xlm_arg *a = x->call.args; a; a = a->next)
    if (in_expr(e, a->value, path)) return true;
  return false;
}

static bool in_unary(const xlm_el *e, const xlm_expr *x, const char *path) {
  return in_expr(e, x->unary.x, path);
}
static bool in_binary(const xlm_el *e, const xlm_expr *x, const char *path) {
  return in_expr(e, x->binary.a, path) || in_expr(e, x->binary.b, path);
}
static bool in_choice(const xlm_el *e, const xlm_expr *x, const char *path) {
  return in_expr(e, x->cond.then, path) || in_expr(e, x->cond.otherwise, path);
}

static bool in_tuple(const xlm_el *e, const xlm_expr *x, const char *path) {
  for (const xlm_expr *i = x->tuple.items; i; i = i->next)
    if (in_expr(e, i, path)) return true;
  return false;
}

static bool in_expr(const xlm_el *e, const xlm_expr *x, const char *path) {
  static bool (*const in[XLM_EXPR_KINDS])(const xlm_el *, const xlm_expr *,
                                          const char *) = {[XLM_EXPR_CALL] = in_call,
                                                           [XLM_EXPR_UNARY] = in_unary,
                                                           [XLM_EXPR_BINARY] = in_binary,
                                                           [XLM_EXPR_IF] = in_choice,
                                                           [XLM_EXPR_TUPLE] = in_tuple};
  return x && in[x->kind] && in[x->kind](e, x, path);
}

static bool in_tensor(const xlm_el *e, const xlm_stmt *s, const char *path) {
  (void)e;
  return !strcmp(s->name->text, path);
}

// Uses the names that stmt.c gives the frames of rounds.
static bool in_repeat(const xlm_el *e, const xlm_stmt *s, const char *path) {
  if (s->repeat.shared) return in_list(e, s->repeat.body, path);
  const char *name = s->expr && s->expr->kind == XLM_EXPR_NAME ? s->expr->name.text
                     : s->repeat.var                           ? s->repeat.var->text
                                                               : "repeat";
  const char *inside = after(path, name);
  if (inside) inside = after(inside, "*");
  return inside && in_list(e, s->repeat.body, inside);
}

static bool in_if(const xlm_el *e, const xlm_stmt *s, const char *path) {
  return in_list(e, s->cond.then, path) || in_list(e, s->cond.otherwise, path);
}

static bool in_list(const xlm_el *e, const xlm_stmt *list, const char *path) {
  static bool (*const in[XLM_STMT_KINDS])(const xlm_el *, const xlm_stmt *,
                                          const char *) = {[XLM_STMT_PARAM] = in_tensor,
                                                           [XLM_STMT_STATE] = in_tensor,
                                                           [XLM_STMT_REPEAT] = in_repeat,
                                                           [XLM_STMT_IF] = in_if};
  for (const xlm_stmt *s = list; s; s = s->next)
    if ((in[s->kind] && in[s->kind](e, s, path)) || in_expr(e, s->expr, path)) return true;
  return false;
}

bool xlm_el_may_have(const xlm_el *e, const char *pattern) {
  return in_list(e, e->ast->stmts, pattern);
}
