// Syntactic walks over the tree: the names in an expression, and the names mentioned anywhere (dims, lets and
// blocks count as used when any text mentions them, including text that these settings leave out). The parser
// bounds the height of every tree, so plain recursion is safe.
#include "compiler/elaborate/elaborate_priv.h"

typedef void visit(void *context, const char *name, xlm_span span);

static void names(const xlm_ast_name *n, visit *fn, void *context) {
  for (; n; n = n->next) fn(context, n->text, n->span);
}

static void walk_index(const xlm_expr *x, visit *fn, void *context) {
  fn(context, x->index.base->text, x->index.base->span);
  xlm_el_walk_names(x->index.index, fn, context);
}

static void walk_call(const xlm_expr *x, visit *fn, void *context) {
  fn(context, x->call.callee->text, x->call.callee->span);
  for (const xlm_arg *a = x->call.args; a; a = a->next) {
    xlm_el_walk_names(a->value, fn, context);
    names(a->dims, fn, context);
    names(a->to, fn, context);
  }
}

static void walk_name(const xlm_expr *x, visit *fn, void *context) {
  fn(context, x->name.text, x->span);
}
static void walk_unary(const xlm_expr *x, visit *fn, void *context) {
  xlm_el_walk_names(x->unary.x, fn, context);
}

static void walk_binary(const xlm_expr *x, visit *fn, void *context) {
  xlm_el_walk_names(x->binary.a, fn, context);
  xlm_el_walk_names(x->binary.b, fn, context);
}

static void walk_if(const xlm_expr *x, visit *fn, void *context) {
  xlm_el_walk_names(x->cond.cond, fn, context);
  xlm_el_walk_names(x->cond.then, fn, context);
  xlm_el_walk_names(x->cond.otherwise, fn, context);
}

static void walk_tuple(const xlm_expr *x, visit *fn, void *context) {
  for (const xlm_expr *i = x->tuple.items; i; i = i->next) xlm_el_walk_names(i, fn, context);
}

void xlm_el_walk_names(const xlm_expr *x, visit *fn, void *context) {
  static void (*const walk[XLM_EXPR_KINDS])(const xlm_expr *, visit *, void *) = {
      [XLM_EXPR_NAME] = walk_name,     [XLM_EXPR_INDEX] = walk_index, [XLM_EXPR_UNARY] = walk_unary,
      [XLM_EXPR_BINARY] = walk_binary, [XLM_EXPR_CALL] = walk_call,   [XLM_EXPR_IF] = walk_if,
      [XLM_EXPR_TUPLE] = walk_tuple,
  };
  if (x && walk[x->kind]) walk[x->kind](x, fn, context);
}

static void dims(const xlm_ast_dim *d, visit *fn, void *context) {
  for (; d; d = d->next)
    if (d->name) fn(context, d->name, d->span);
}

static void walk_list(const xlm_stmt *s, visit *fn, void *context);

static void stmt_block(const xlm_stmt *s, visit *fn, void *context) {
  for (const xlm_block_param *p = s->block.params; p; p = p->next) dims(p->dims, fn, context);
  for (const xlm_block_result *r = s->block.results; r; r = r->next) dims(r->dims, fn, context);
  walk_list(s->block.body, fn, context);
}

static void stmt_tensor(const xlm_stmt *s, visit *fn, void *context) {
  dims(s->tensor.dims, fn, context);
  names(s->tensor.of, fn, context);
}

static void stmt_assign(const xlm_stmt *s, visit *fn, void *context) {
  for (const xlm_expr *t = s->assign.targets; t; t = t->next)
    if (t->kind == XLM_EXPR_INDEX) xlm_el_walk_names(t->index.index, fn, context);
}

static void stmt_repeat(const xlm_stmt *s, visit *fn, void *context) {
  walk_list(s->repeat.body, fn, context);
}

static void stmt_if(const xlm_stmt *s, visit *fn, void *context) {
  walk_list(s->cond.then, fn, context);
  walk_list(s->cond.otherwise, fn, context);
}

static void stmt_output(const xlm_stmt *s, visit *fn, void *context) {
  names(s->output.names, fn, context);
}

static void stmt_preset(const xlm_stmt *s, visit *fn, void *context) {
  for (const xlm_setting *p = s->preset.settings; p; p = p->next) xlm_el_walk_names(p->value, fn, context);
}

static void stmt_weights(const xlm_stmt *s, visit *fn, void *context) {
  for (const xlm_weight *w = s->weights.entries; w; w = w->next) {
    for (const xlm_weight_split *x = w->splits; x; x = x->next) names(x->to, fn, context);
    for (const xlm_weight_group *g = w->layout; g; g = g->next)
      for (const xlm_weight_factor *f = g->factors; f; f = f->next)
        for (const xlm_weight_size *z = f->sizes; z; z = z->next) names(z->terms, fn, context);
  }
}

static void config_items(const xlm_config_item *i, visit *fn, void *context) {
  for (; i; i = i->next) {
    xlm_el_walk_names(i->expr, fn, context);
    config_items(i->items, fn, context);
  }
}

static void stmt_config(const xlm_stmt *s, visit *fn, void *context) {
  config_items(s->config.items, fn, context);
}

static void walk_list(const xlm_stmt *s, visit *fn, void *context) {
  static void (*const walk[XLM_STMT_KINDS])(const xlm_stmt *, visit *, void *) = {
      [XLM_STMT_BLOCK] = stmt_block,  [XLM_STMT_INPUT] = stmt_tensor,    [XLM_STMT_PARAM] = stmt_tensor,
      [XLM_STMT_STATE] = stmt_tensor, [XLM_STMT_ASSIGN] = stmt_assign,   [XLM_STMT_REPEAT] = stmt_repeat,
      [XLM_STMT_IF] = stmt_if,        [XLM_STMT_OUTPUT] = stmt_output,   [XLM_STMT_PRESET] = stmt_preset,
      [XLM_STMT_GROUP] = stmt_preset, [XLM_STMT_WEIGHTS] = stmt_weights, [XLM_STMT_CONFIG] = stmt_config,
  };
  for (; s; s = s->next) {
    xlm_el_walk_names(s->expr, fn, context);
    if (walk[s->kind]) walk[s->kind](s, fn, context);
  }
}

void xlm_el_walk_all(const xlm_stmt *list, visit *fn, void *context) {
  walk_list(list, fn, context);
}
