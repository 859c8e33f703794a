// Names: the scopes of the language on the syntax tree, by the rules of compiler/elaborate, but with all
// branches of `if` and all blocks. Assignments to a name in one scope are one symbol.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"

const char *xlm_symbol_what(xlm_symbol_kind k) {
  static const char *const what[XLM_SYMBOLS] = {
      [XLM_SYMBOL_BUILT_IN] = "built in",
      [XLM_SYMBOL_DIM] = "dimension",
      [XLM_SYMBOL_LET] = "compile-time value",
      [XLM_SYMBOL_BLOCK] = "block",
      [XLM_SYMBOL_ARGUMENT] = "argument",
      [XLM_SYMBOL_PARAM] = "parameter",
      [XLM_SYMBOL_STATE] = "state",
      [XLM_SYMBOL_INPUT] = "input",
      [XLM_SYMBOL_VARIABLE] = "variable",
      [XLM_SYMBOL_INDEX] = "index of a repeat",
      [XLM_SYMBOL_PRESET] = "preset",
  };
  return what[k];
}

void xlm_walk_mark(xlm_walk *w, xlm_mark m) {
  if (m.span.begin < m.span.end) XLM_PUSH(w->arena, w->v->marks, w->v->n_marks, w->v->cap_marks, m);
}

static uint32_t add_scope(xlm_walk *w, xlm_span span, uint32_t outer) {
  XLM_PUSH(w->arena, w->v->scopes, w->v->n_scopes, w->v->cap_scopes,
           ((xlm_scope){.span = span, .outer = outer}));
  return w->v->n_scopes - 1;
}

static uint32_t find_here(const xlm_inspection *v, uint32_t scope, const char *name) {
  return xlm_symbol_of(xlm_dict_get(&v->scopes[scope].names, name));
}

uint32_t xlm_walk_find(const xlm_inspection *v, uint32_t scope, const char *name) {
  for (; scope != XLM_NO_SYMBOL; scope = v->scopes[scope].outer) {
    uint32_t s = find_here(v, scope, name);
    if (s != XLM_NO_SYMBOL) return s;
  }
  return XLM_NO_SYMBOL;
}

static uint32_t add_symbol(xlm_walk *w, uint32_t scope, xlm_symbol_kind k, const char *name, xlm_span span,
                           const xlm_stmt *stmt) {
  xlm_inspection *v = w->v;
  xlm_symbol s = {.kind = k, .name = name, .span = span, .stmt = stmt, .scope = scope};
  XLM_PUSH(w->arena, v->symbols, v->n_symbols, v->cap_symbols, s);
  return v->n_symbols - 1;
}

// Defines the name here, or once more if this scope has it.
static uint32_t define(xlm_walk *w, uint32_t scope, xlm_symbol_kind k, const char *name, xlm_span span,
                       const xlm_stmt *stmt) {
  uint32_t s = find_here(w->v, scope, name);
  if (s == XLM_NO_SYMBOL || w->v->symbols[s].kind == XLM_SYMBOL_BUILT_IN) {
    s = add_symbol(w, scope, k, name, span, stmt);
    xlm_dict_put(w->arena, &w->v->scopes[scope].names, name, xlm_symbol_ref(s));
  }
  xlm_walk_mark(w, (xlm_mark){.span = span, .kind = XLM_MARK_SYMBOL, .symbol = s, .defines = true});
  return s;
}

void xlm_walk_use(xlm_walk *w, uint32_t scope, const char *name, xlm_span span) {
  uint32_t s = xlm_walk_find(w->v, scope, name);
  if (s != XLM_NO_SYMBOL) xlm_walk_mark(w, (xlm_mark){.span = span, .kind = XLM_MARK_SYMBOL, .symbol = s});
}

void xlm_walk_names(xlm_walk *w, uint32_t scope, const xlm_ast_name *n) {
  for (; n; n = n->next) xlm_walk_use(w, scope, n->text, n->span);
}

static void dims(xlm_walk *w, uint32_t scope, const xlm_ast_dim *d) {
  for (; d; d = d->next)
    if (d->name)
      xlm_walk_use(w, scope, d->name, (xlm_span){d->span.begin, d->span.begin + (uint32_t)strlen(d->name)});
}

// --- declarations

static xlm_symbol_kind declared(const xlm_stmt *s) { // XLM_SYMBOLS: it declares nothing
  static const xlm_symbol_kind kinds[XLM_STMT_KINDS] = {
      [XLM_STMT_DIM] = XLM_SYMBOL_DIM,     [XLM_STMT_LET] = XLM_SYMBOL_LET,
      [XLM_STMT_PARAM] = XLM_SYMBOL_PARAM, [XLM_STMT_STATE] = XLM_SYMBOL_STATE,
      [XLM_STMT_INPUT] = XLM_SYMBOL_INPUT,
  };
  return kinds[s->kind] ? kinds[s->kind] : XLM_SYMBOLS;
}

static void declare(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  uint32_t symbol = define(w, scope, declared(s), s->name->text, s->name->span, s);
  if (s->kind != XLM_STMT_DIM && s->kind != XLM_STMT_LET) return;
  for (const xlm_ast_name *n = s->decl.aliases; n; n = n->next) {
    xlm_dict_put(w->arena, &w->publics, n->text, xlm_symbol_ref(symbol));
    xlm_walk_mark(w, (xlm_mark){.span = n->span, .kind = XLM_MARK_ALIAS, .symbol = symbol});
  }
}

// Top-level declarations, also those in an `if`, are visible everywhere.
static void hoist(xlm_walk *w, const xlm_stmt *list) {
  for (const xlm_stmt *s = list; s; s = s->next) {
    if (declared(s) != XLM_SYMBOLS) declare(w, XLM_SCOPE_GLOBAL, s);
    if (s->kind != XLM_STMT_IF) continue;
    hoist(w, s->cond.then);
    hoist(w, s->cond.otherwise);
  }
}

static void collect_blocks(xlm_walk *w) {
  for (const xlm_stmt *s = w->v->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_BLOCK || xlm_dict_get(&w->blocks, s->name->text)) continue;
    uint32_t symbol = add_symbol(w, XLM_SCOPE_GLOBAL, XLM_SYMBOL_BLOCK, s->name->text, s->name->span, s);
    xlm_dict_put(w->arena, &w->blocks, s->name->text, xlm_symbol_ref(symbol));
    uint32_t inner = add_scope(w, s->span, XLM_SCOPE_GLOBAL);
    xlm_dict_put(w->arena, &w->inner, s->name->text, xlm_symbol_ref(inner));
    for (const xlm_ast_name *n = s->block.dims; n; n = n->next)
      define(w, inner, XLM_SYMBOL_DIM, n->text, n->span, s);
    for (const xlm_block_param *p = s->block.params; p; p = p->next)
      define(w, inner, XLM_SYMBOL_ARGUMENT, p->name->text, p->name->span, s);
  }
}

static void built_in(xlm_walk *w) {
  static const char *const names[] = {"batch", "seq", "true", "false"};
  for (int i = 0; i < 4; i++) {
    if (find_here(w->v, XLM_SCOPE_GLOBAL, names[i]) != XLM_NO_SYMBOL) continue;
    uint32_t s = add_symbol(w, XLM_SCOPE_GLOBAL, XLM_SYMBOL_BUILT_IN, names[i], (xlm_span){0}, NULL);
    xlm_dict_put(w->arena, &w->v->scopes[XLM_SCOPE_GLOBAL].names, names[i], xlm_symbol_ref(s));
  }
}

// --- statements; `list` of a body is walked in the scope of the body

static void statements(xlm_walk *w, uint32_t scope, const xlm_stmt *list);

static void declaration(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  uint32_t in = scope == XLM_SCOPE_TOP ? XLM_SCOPE_GLOBAL : scope;
  bool tensor = s->kind == XLM_STMT_PARAM || s->kind == XLM_STMT_STATE || s->kind == XLM_STMT_INPUT;
  if (in != XLM_SCOPE_GLOBAL) declare(w, in, s);
  if (tensor) dims(w, in, s->tensor.dims);
  if (tensor) xlm_walk_names(w, in, s->tensor.of);
  if (s->kind == XLM_STMT_PARAM || s->kind == XLM_STMT_STATE)
    xlm_walk_init(w, in, s->expr);
  else
    xlm_walk_expr(w, in, s->expr);
}

static void value(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_expr(w, scope, s->expr);
}

static void shard(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_names(w, scope, s->shard.dims);
}

static void block(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  (void)scope;
  uint32_t symbol = xlm_symbol_of(xlm_dict_get(&w->blocks, s->name->text)),
           inner = xlm_symbol_of(xlm_dict_get(&w->inner, s->name->text));
  xlm_walk_mark(w, (xlm_mark){.span = s->name->span, .symbol = symbol, .defines = true});
  for (const xlm_block_param *p = s->block.params; p; p = p->next) dims(w, inner, p->dims);
  for (const xlm_block_result *r = s->block.results; r; r = r->next) dims(w, inner, r->dims);
  statements(w, inner, s->block.body);
}

static bool is_home(const xlm_inspection *v, uint32_t scope) { // of the top level or a block
  return scope <= XLM_SCOPE_TOP || v->scopes[scope].outer == XLM_SCOPE_GLOBAL;
}

static void assign_one(xlm_walk *w, uint32_t scope, const xlm_stmt *s, const char *name, xlm_span span,
                       bool element) {
  uint32_t home = scope, in = scope;
  while (!is_home(w->v, home)) home = w->v->scopes[home].outer;
  while (in != XLM_SCOPE_GLOBAL && find_here(w->v, in, name) == XLM_NO_SYMBOL) in = w->v->scopes[in].outer;
  if (in == XLM_SCOPE_GLOBAL) in = element ? home : scope;
  define(w, in, XLM_SYMBOL_VARIABLE, name, span, s);
}

static void assign(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_expr(w, scope, s->expr);
  for (const xlm_expr *t = s->assign.targets; t; t = t->next) {
    bool element = t->kind == XLM_EXPR_INDEX;
    if (element) xlm_walk_expr(w, scope, t->index.index);
    assign_one(w, scope, s, element ? t->index.base->text : t->name.text,
               element ? t->index.base->span : t->span, element);
  }
}

static void repeat(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_expr(w, scope, s->expr);
  uint32_t round = add_scope(w, s->body, scope);
  const xlm_ast_name *var = s->repeat.var;
  if (var) define(w, round, XLM_SYMBOL_INDEX, var->text, var->span, s);
  statements(w, round, s->repeat.body);
}

static void choice(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_expr(w, scope, s->expr);
  statements(w, scope, s->cond.then);
  statements(w, scope, s->cond.otherwise);
}

static void named(xlm_walk *w, uint32_t scope, const xlm_stmt *s) { // update
  xlm_walk_names(w, scope, s->name);
  xlm_walk_expr(w, scope, s->expr);
}

static void output(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  xlm_walk_names(w, scope, s->output.names);
}

static void preset(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  (void)scope;
  uint32_t symbol = add_symbol(w, XLM_SCOPE_GLOBAL, XLM_SYMBOL_PRESET, s->name->text, s->name->span, s);
  xlm_walk_mark(w, (xlm_mark){.span = s->name->span, .symbol = symbol, .defines = true});
  for (const xlm_setting *p = s->preset.settings; p; p = p->next) {
    uint32_t known = find_here(w->v, XLM_SCOPE_GLOBAL, p->name->text),
             alias = xlm_symbol_of(xlm_dict_get(&w->publics, p->name->text));
    xlm_mark m = {.span = p->name->span, .kind = XLM_MARK_SYMBOL, .symbol = known};
    if (known == XLM_NO_SYMBOL) m.kind = XLM_MARK_ALIAS, m.symbol = alias;
    if (m.symbol != XLM_NO_SYMBOL) xlm_walk_mark(w, m);
    xlm_walk_expr(w, XLM_SCOPE_GLOBAL, p->value);
  }
}

// Names in `{experts}` and `{layers + i}` of the external name, except indices of the path.
static void external_name(xlm_walk *w, const xlm_weight *e) {
  const char *text = w->v->source->text;
  bool inside = false;
  for (uint32_t i = e->external_span.begin, n = 1; i < e->external_span.end; i += n) {
    n = (uint32_t)strcspn(text + i, "{}+ \"");
    if (n && inside) {
      const char *name = xlm_arena_strndup(w->arena, text + i, n),
                 *index = xlm_arena_printf(w->arena, "[%s]", name);
      if (!strstr(e->path, index)) xlm_walk_use(w, XLM_SCOPE_GLOBAL, name, (xlm_span){i, i + n});
    }
    if (!n) inside = text[i] != '}' && (inside || text[i] == '{'), n = 1;
  }
}

static void factors(xlm_walk *w, const xlm_weight_factor *f) {
  for (; f; f = f->next) {
    if (f->dim) xlm_walk_use(w, XLM_SCOPE_GLOBAL, f->dim, f->span);
    for (const xlm_weight_size *z = f->sizes; z; z = z->next) xlm_walk_names(w, XLM_SCOPE_GLOBAL, z->terms);
  }
}

static void weights(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  (void)scope;
  for (const xlm_weight *e = s->weights.entries; e; e = e->next) {
    for (const xlm_weight_group *g = e->layout; g; g = g->next) factors(w, g->factors);
    for (const xlm_weight_split *p = e->splits; p; p = p->next) {
      xlm_walk_names(w, XLM_SCOPE_GLOBAL, p->dim);
      xlm_walk_names(w, XLM_SCOPE_GLOBAL, p->to);
    }
    external_name(w, e);
    xlm_walk_expr(w, XLM_SCOPE_GLOBAL, e->stored);
  }
}

static void config_items(xlm_walk *w, uint32_t scope, const xlm_config_item *i) {
  for (; i; i = i->next) {
    uint32_t in = scope;
    xlm_walk_expr(w, scope, i->expr);
    if (i->kind == XLM_CONFIG_REPEAT) in = add_scope(w, i->span, scope);
    if (i->var) define(w, in, XLM_SYMBOL_INDEX, i->var->text, i->var->span, w->section);
    config_items(w, in, i->items);
  }
}

static void config(xlm_walk *w, uint32_t scope, const xlm_stmt *s) {
  (void)scope;
  w->section = s;
  config_items(w, XLM_SCOPE_GLOBAL, s->config.items);
}

static void statements(xlm_walk *w, uint32_t scope, const xlm_stmt *list) {
  static void (*const visit[XLM_STMT_KINDS])(xlm_walk *, uint32_t, const xlm_stmt *) = {
      [XLM_STMT_DIM] = declaration,   [XLM_STMT_LET] = declaration,   [XLM_STMT_CHECK] = value,
      [XLM_STMT_SHARD] = shard,       [XLM_STMT_BLOCK] = block,       [XLM_STMT_INPUT] = declaration,
      [XLM_STMT_PARAM] = declaration, [XLM_STMT_STATE] = declaration, [XLM_STMT_UPDATE] = named,
      [XLM_STMT_ASSIGN] = assign,     [XLM_STMT_RETURN] = value,      [XLM_STMT_REPEAT] = repeat,
      [XLM_STMT_IF] = choice,         [XLM_STMT_LOSS] = value,        [XLM_STMT_OUTPUT] = output,
      [XLM_STMT_METRIC] = value,      [XLM_STMT_PRESET] = preset,     [XLM_STMT_WEIGHTS] = weights,
      [XLM_STMT_CONFIG] = config,
  };
  for (const xlm_stmt *s = list; s; s = s->next)
    if (visit[s->kind]) visit[s->kind](w, scope, s);
}

void xlm_walk_all(xlm_walk *w) {
  xlm_span all = {0, w->v->source->n};
  add_scope(w, all, XLM_NO_SYMBOL);
  add_scope(w, all, XLM_SCOPE_GLOBAL);
  hoist(w, w->v->ast->stmts);
  built_in(w);
  collect_blocks(w);
  statements(w, XLM_SCOPE_TOP, w->v->ast->stmts);
}
