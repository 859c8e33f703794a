// Paths of weights entries: `layers[i].attention.wq` names the count of a repeat, a block (or an instance of
// one) and a parameter. A path can lead to several places: both branches of an `if` may call a block `mlp`.
#include <ctype.h>
#include <string.h>

#include "compiler/inspect/inspect_priv.h"

enum { MOST_PLACES = 16, MOST_DEPTH = 64 };

typedef struct places { // lists of statements where the rest of a path is looked up
  const xlm_stmt *at[MOST_PLACES];
  int n;
} places;

typedef struct search {
  xlm_walk *w;
  const xlm_inspection *sorted;
  const char *part; // of the path
  places next;
  uint32_t symbol; // that the part names; XLM_NO_SYMBOL: none yet
  bool instance;   // `symbol` is the block of it
} search;

static void found(search *s, uint32_t symbol, bool instance, const xlm_stmt *body) {
  if (s->symbol == XLM_NO_SYMBOL) s->symbol = symbol, s->instance = instance;
  if (body && s->next.n < MOST_PLACES) s->next.at[s->next.n++] = body;
}

static uint32_t symbol_at(const search *s, xlm_span span) {
  const xlm_mark *m = xlm_inspect_mark(s->sorted, span.begin);
  return m && m->kind == XLM_MARK_SYMBOL ? m->symbol : XLM_NO_SYMBOL;
}

static void in_expr(search *s, const xlm_expr *x);

static void in_call(search *s, const xlm_expr *x) {
  const xlm_ast_name *named = x->call.instance ? x->call.instance : x->call.callee;
  uint32_t block = xlm_symbol_of(xlm_dict_get(&s->w->blocks, x->call.callee->text));
  if (block != XLM_NO_SYMBOL && !strcmp(named->text, s->part))
    found(s, block, x->call.instance != NULL, s->w->v->symbols[block].stmt->block.body);
  for (const xlm_arg *a = x->call.args; a; a = a->next) in_expr(s, a->value);
}

static void in_expr(search *s, const xlm_expr *x) {
  if (!x) return;
  if (x->kind == XLM_EXPR_CALL) in_call(s, x);
  if (x->kind == XLM_EXPR_UNARY) in_expr(s, x->unary.x);
  if (x->kind == XLM_EXPR_BINARY) in_expr(s, x->binary.a), in_expr(s, x->binary.b);
  if (x->kind == XLM_EXPR_IF) in_expr(s, x->cond.then), in_expr(s, x->cond.otherwise);
  for (const xlm_expr *i = x->kind == XLM_EXPR_TUPLE ? x->tuple.items : NULL; i; i = i->next) in_expr(s, i);
}

static void in_repeat(search *s, const xlm_stmt *r) {
  bool counted = r->expr->kind == XLM_EXPR_NAME;
  const char *name = counted ? r->expr->name.text : r->repeat.var ? r->repeat.var->text : "repeat";
  if (strcmp(name, s->part) != 0) return;
  xlm_span at = counted ? r->expr->span : r->repeat.var ? r->repeat.var->span : r->span;
  found(s, symbol_at(s, at), false, r->repeat.body);
}

static void in_list(search *s, const xlm_stmt *list) {
  for (; list; list = list->next) {
    bool leaf = list->kind == XLM_STMT_PARAM || list->kind == XLM_STMT_STATE;
    if (leaf && !strcmp(list->name->text, s->part)) found(s, symbol_at(s, list->name->span), false, NULL);
    if (list->kind == XLM_STMT_BLOCK) continue;
    if (list->kind == XLM_STMT_REPEAT) in_repeat(s, list);
    if (list->kind == XLM_STMT_IF) in_list(s, list->cond.then), in_list(s, list->cond.otherwise);
    if (!leaf && list->kind != XLM_STMT_REPEAT) in_expr(s, list->expr);
  }
}

static void path(xlm_walk *w, const xlm_inspection *sorted, const xlm_weight *e) {
  const char *text = w->v->source->text;
  places here = {{w->v->ast->stmts}, 1};
  uint32_t i = e->path_span.begin, end = e->path_span.end;
  for (int depth = 0; i < end && depth < MOST_DEPTH; depth++) {
    uint32_t first = i;
    while (i < end && (isalnum((unsigned char)text[i]) || text[i] == '_')) i++;
    search s = {.w = w,
                .sorted = sorted,
                .part = xlm_arena_strndup(w->arena, text + first, i - first),
                .symbol = XLM_NO_SYMBOL};
    for (int k = 0; k < here.n; k++) in_list(&s, here.at[k]);
    if (s.symbol != XLM_NO_SYMBOL)
      xlm_walk_mark(w, (xlm_mark){.span = {first, i},
                                  .kind = s.instance ? XLM_MARK_INSTANCE : XLM_MARK_SYMBOL,
                                  .symbol = s.symbol});
    here = s.next;
    while (i < end && text[i] != '.') i++; // an index
    while (i < end && !isalnum((unsigned char)text[i]) && text[i] != '_') i++;
  }
}

void xlm_walk_paths(xlm_walk *w) {
  const xlm_inspection sorted = *w->v; // marks are looked up while others are added
  for (const xlm_stmt *s = sorted.ast->stmts; s; s = s->next)
    for (const xlm_weight *e = s->kind == XLM_STMT_WEIGHTS ? s->weights.entries : NULL; e; e = e->next)
      path(w, &sorted, e);
}
