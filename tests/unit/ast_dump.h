// The tree as text without spans: two texts have the same tree iff their dumps are equal.
#ifndef XLM_TESTS_AST_DUMP_H
#define XLM_TESTS_AST_DUMP_H

#include "compiler/parse/ast.h"

static void dump_names(xlm_text *t, const char *what, const xlm_ast_name *n) {
  if (!n) return;
  xlm_text_printf(t, " (%s", what);
  for (; n; n = n->next) xlm_text_printf(t, " %s", n->text);
  xlm_text_add(t, ")");
}

static void dump_expr(xlm_text *t, const xlm_expr *e);

static void dump_arg(xlm_text *t, const xlm_arg *a) {
  xlm_text_printf(t, " <%d", (int)a->kind);
  if (a->kind == XLM_ARG_NAMED) dump_names(t, "name", a->name);
  if (a->value) dump_expr(t, a->value);
  dump_names(t, "dims", a->dims);
  if (a->kind == XLM_ARG_ARROW) dump_names(t, "to", a->to);
  xlm_text_add(t, ">");
}

static void dump_call(xlm_text *t, const xlm_expr *e) {
  dump_names(t, e->call.recompute ? "recompute" : "call", e->call.callee);
  dump_names(t, "instance", e->call.instance);
  for (const xlm_arg *a = e->call.args; a; a = a->next) dump_arg(t, a);
}

static void dump_expr(xlm_text *t, const xlm_expr *e) {
  if (!e) return;
  xlm_text_printf(t, " {%d", (int)e->kind);
  if (e->kind == XLM_EXPR_NUMBER)
    xlm_text_printf(t, " %.17g %d %lld", e->number.value, e->number.integer, (long long)e->number.exact);
  if (e->kind == XLM_EXPR_STRING) xlm_text_printf(t, " '%s'", e->string.text);
  if (e->kind == XLM_EXPR_NAME) xlm_text_printf(t, " %s", e->name.text);
  if (e->kind == XLM_EXPR_INDEX) dump_names(t, "of", e->index.base), dump_expr(t, e->index.index);
  if (e->kind == XLM_EXPR_UNARY) xlm_text_printf(t, " %d", e->unary.logical_not), dump_expr(t, e->unary.x);
  if (e->kind == XLM_EXPR_BINARY)
    xlm_text_printf(t, " %d", (int)e->binary.op), dump_expr(t, e->binary.a), dump_expr(t, e->binary.b);
  if (e->kind == XLM_EXPR_CALL) dump_call(t, e);
  if (e->kind == XLM_EXPR_IF)
    dump_expr(t, e->cond.cond), dump_expr(t, e->cond.then), dump_expr(t, e->cond.otherwise);
  if (e->kind == XLM_EXPR_TUPLE)
    for (const xlm_expr *x = e->tuple.items; x; x = x->next) dump_expr(t, x);
  xlm_text_add(t, "}");
}

static void dump_dims(xlm_text *t, const xlm_ast_dim *d) {
  xlm_text_add(t, " [");
  for (; d; d = d->next) {
    xlm_text_printf(t, " %s%s", d->name ? d->name : "..", d->over_set ? " over" : "");
    dump_names(t, "axes", d->over);
  }
  xlm_text_add(t, "]");
}

static void dump_stmts(xlm_text *t, const xlm_stmt *s);

static void dump_block(xlm_text *t, const xlm_stmt *s) {
  for (const xlm_block_param *p = s->block.params; p; p = p->next) {
    dump_names(t, p->is_tensor ? "tensor" : "value", p->name);
    dump_dims(t, p->dims);
  }
  for (const xlm_block_result *r = s->block.results; r; r = r->next) dump_dims(t, r->dims);
  dump_stmts(t, s->block.body);
}

static void dump_weight(xlm_text *t, const xlm_weight *w) {
  xlm_text_printf(t, " %s='%s' %d %d", w->path, w->external, w->layout_set, w->optional);
  for (const xlm_weight_group *g = w->layout; g; g = g->next) {
    xlm_text_add(t, " [");
    for (const xlm_weight_factor *f = g->factors; f; f = f->next) {
      xlm_text_printf(t, " %s %d/%d", f->dim ? f->dim : "part", f->part, f->parts);
      for (const xlm_weight_size *z = f->sizes; z; z = z->next) dump_names(t, "size", z->terms);
    }
    xlm_text_add(t, "]");
  }
  for (const xlm_weight_split *x = w->splits; x; x = x->next)
    dump_names(t, "split", x->dim), dump_names(t, "to", x->to);
}

static void dump_items(xlm_text *t, const xlm_config_item *i) {
  for (; i; i = i->next) {
    xlm_text_printf(t, " <%d", (int)i->kind);
    dump_names(t, "key", i->key);
    dump_names(t, "var", i->var);
    dump_expr(t, i->expr);
    dump_items(t, i->items);
    xlm_text_add(t, ">");
  }
}

static void dump_stmt(xlm_text *t, const xlm_stmt *s) {
  xlm_text_printf(t, "(%d", (int)s->kind);
  dump_names(t, "name", s->name);
  dump_expr(t, s->expr);
  if (s->kind == XLM_STMT_DIM || s->kind == XLM_STMT_LET) dump_names(t, "as", s->decl.aliases);
  if (s->kind == XLM_STMT_CHECK && s->check.message) xlm_text_printf(t, " '%s'", s->check.message);
  if (s->kind == XLM_STMT_SHARD) {
    dump_names(t, "dims", s->shard.dims);
    dump_names(t, s->shard.where_free ? "free" : "axes", s->shard.axes);
    xlm_text_printf(t, " %d %d", s->shard.none, s->shard.where_free);
  }
  if (s->kind == XLM_STMT_BLOCK) dump_block(t, s);
  if (s->kind == XLM_STMT_INPUT || s->kind == XLM_STMT_PARAM || s->kind == XLM_STMT_STATE) {
    dump_dims(t, s->tensor.dims);
    dump_names(t, "of", s->tensor.of);
    dump_names(t, "from", s->tensor.from);
  }
  if (s->kind == XLM_STMT_ASSIGN)
    for (const xlm_expr *e = s->assign.targets; e; e = e->next) dump_expr(t, e);
  if (s->kind == XLM_STMT_BLOCK) dump_names(t, "generic", s->block.dims);
  if (s->kind == XLM_STMT_REPEAT) {
    dump_names(t, "var", s->repeat.var);
    dump_names(t, "over", s->repeat.over);
    xlm_text_printf(t, " %d %d", s->repeat.shared, s->repeat.recompute);
    dump_stmts(t, s->repeat.body);
  }
  if (s->kind == XLM_STMT_IF) dump_stmts(t, s->cond.then), dump_stmts(t, s->cond.otherwise);
  if (s->kind == XLM_STMT_OUTPUT) dump_names(t, "names", s->output.names);
  if (s->kind == XLM_STMT_PRESET || s->kind == XLM_STMT_GROUP)
    for (const xlm_setting *p = s->preset.settings; p; p = p->next)
      dump_names(t, "set", p->name), dump_expr(t, p->value);
  if (s->kind == XLM_STMT_WEIGHTS)
    for (const xlm_weight *w = s->weights.entries; w; w = w->next) dump_weight(t, w);
  if (s->kind == XLM_STMT_CONFIG) dump_items(t, s->config.items);
  xlm_text_add(t, ")\n");
}

static void dump_stmts(xlm_text *t, const xlm_stmt *s) {
  xlm_text_add(t, "{\n");
  for (; s; s = s->next) dump_stmt(t, s);
  xlm_text_add(t, "}");
}

static inline const char *ast_dump(xlm_arena *a, const xlm_ast *ast) {
  xlm_text t = xlm_text_new(a);
  dump_stmts(&t, ast->stmts);
  return t.data;
}

#endif
