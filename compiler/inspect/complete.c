// Completion: everything that may stand at a place. Editors filter by what is typed already.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"
#include "compiler/ir/signature.h"
#include "compiler/optimizer/optimizer.h"

typedef struct list {
  const xlm_inspection *v;
  xlm_arena *arena;
  uint32_t offset;
  xlm_context context;
  xlm_completion *at;
  uint32_t n, cap;
} list;

static void add(list *l, xlm_completion c) {
  XLM_PUSH(l->arena, l->at, l->n, l->cap, c);
}

static void words(list *l, bool statements) {
  bool statement;
  const char *word;
  for (int i = 0; (word = xlm_parse_word(l->arena, i, &statement)); i++)
    if (statement == statements || !strcmp(word, "if") || !strcmp(word, "recompute"))
      add(l, (xlm_completion){.label = word, .kind = XLM_COMPLETE_WORD});
}

// --- symbols

static const char *detail(const list *l, const xlm_symbol *s) {
  xlm_text t = xlm_text_new(l->arena), facts = xlm_text_new(l->arena);
  xlm_text_add(&t, xlm_symbol_what(s->kind));
  if (s->span.begin < s->span.end && xlm_inspect_facts(l->v, s->span, &facts))
    xlm_text_printf(&t, " %.*s", (int)strcspn(facts.data, ",\n"), facts.data);
  return t.data;
}

static void symbol(list *l, const xlm_symbol *s) {
  bool computed = s->kind == XLM_SYMBOL_VARIABLE || s->kind == XLM_SYMBOL_INDEX;
  if (computed && s->span.begin >= l->offset) return; // not computed yet
  add(l, (xlm_completion){
             .label = s->name, .detail = detail(l, s), .kind = XLM_COMPLETE_SYMBOL, .symbol = s->kind});
}

static void symbols(list *l, uint32_t kinds) {
  uint32_t scope = xlm_inspect_scope(l->v, l->offset);
  for (uint32_t i = scope; i != XLM_NO_SYMBOL; i = l->v->scopes[i].outer) {
    const xlm_dict *names = &l->v->scopes[i].names;
    for (uint32_t k = 0; k < names->n; k++) {
      const xlm_symbol *s = &l->v->symbols[xlm_symbol_of(names->at[k].value)];
      bool hidden = &l->v->symbols[xlm_walk_find(l->v, scope, s->name)] != s;
      if (!hidden && kinds >> s->kind & 1) symbol(l, s);
    }
  }
}

enum {
  ALL = 0xFFFF,
  DIMS = 1 << XLM_SYMBOL_DIM | 1 << XLM_SYMBOL_BUILT_IN,
  SETTABLE = 1 << XLM_SYMBOL_DIM | 1 << XLM_SYMBOL_LET | 1 << XLM_SYMBOL_BUILT_IN,
  ASSIGNED = 1 << XLM_SYMBOL_VARIABLE
};

static void blocks(list *l) {
  for (uint32_t i = 0; i < l->v->n_symbols; i++)
    if (l->v->symbols[i].kind == XLM_SYMBOL_BLOCK) symbol(l, &l->v->symbols[i]);
}

// --- operations

static void operations(list *l) {
  for (xlm_op_id id = 1; id < XLM_OP_COUNT; id++) {
    const xlm_op *op = xlm_op_at(id) ? xlm_callable(xlm_op_at(id)->name) : NULL;
    if (!op) continue;
    xlm_text t = xlm_text_new(l->arena);
    xlm_op_signature(op, &t, NULL);
    add(l, (xlm_completion){.label = op->name, .detail = t.data, .doc = op->doc, .kind = XLM_COMPLETE_OP});
  }
  for (int i = 0; xlm_number_function(i); i++)
    if (!xlm_callable(xlm_number_function(i)))
      add(l, (xlm_completion){
                 .label = xlm_number_function(i), .detail = "function of numbers", .kind = XLM_COMPLETE_OP});
}

static void expression(list *l) {
  symbols(l, ALL);
  blocks(l);
  operations(l);
  words(l, false);
}

static void arguments_of_op(list *l, const xlm_op *op) {
  for (const xlm_param *p = op->params; p->name; p++) {
    bool bare = p->kind == XLM_P_FLAG;
    if (p->kind == XLM_P_TENSOR || p->kind == XLM_P_REST || p->kind == XLM_P_OVER || p->kind == XLM_P_ARROW)
      continue;
    add(l, (xlm_completion){.label = p->name,
                            .insert = bare ? NULL : xlm_arena_printf(l->arena, "%s = ", p->name),
                            .detail = bare ? "flag" : "argument",
                            .doc = xlm_attr_doc(p->key),
                            .kind = XLM_COMPLETE_ATTR});
  }
}

static const xlm_stmt *block_named(const list *l, const char *name) {
  for (const xlm_stmt *s = l->v->ast->stmts; s; s = s->next)
    if (s->kind == XLM_STMT_BLOCK && !strcmp(s->name->text, name)) return s;
  return NULL;
}

static void arguments(list *l) {
  const xlm_stmt *block = block_named(l, l->context.call);
  const xlm_op *op = block ? NULL : xlm_callable(l->context.call);
  for (const xlm_block_param *p = block ? block->block.params : NULL; p; p = p->next)
    add(l, (xlm_completion){.label = p->name->text,
                            .insert = xlm_arena_printf(l->arena, "%s = ", p->name->text),
                            .detail = "argument",
                            .kind = XLM_COMPLETE_ATTR});
  if (op) arguments_of_op(l, op);
  expression(l);
}

static void named_values(list *l, xlm_enum set, uint32_t among) {
  for (int i = 0; i < xlm_enum_end(set); i++)
    if (xlm_enum_name(set, i) && (!among || among >> i & 1))
      add(l, (xlm_completion){
                 .label = xlm_enum_name(set, i), .doc = xlm_enum_doc(set, i), .kind = XLM_COMPLETE_VALUE});
}

static void argument_value(list *l) {
  const xlm_op *op = block_named(l, l->context.call) ? NULL : xlm_callable(l->context.call);
  const xlm_param *p = op ? op->params : NULL;
  while (p && p->name && strcmp(p->name, l->context.key) != 0) p++;
  if (!p || !p->name) {
    expression(l);
    return;
  }
  uint32_t among = 0;
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == p->key) among = op->attrs[i].among;
  if (p->kind == XLM_P_ENUM)
    named_values(l, xlm_attr_set_of(p->key), among);
  else if (p->kind == XLM_P_DIM)
    symbols(l, DIMS);
  else
    expression(l);
}

// --- the rest

static void axes(list *l) {
  static const char *const usual[][2] = {{"dp", "data parallelism"},
                                         {"tp", "tensor parallelism"},
                                         {"pp", "pipeline parallelism"},
                                         {"cp", "context parallelism"},
                                         {"ep", "expert parallelism"}};
  for (int i = 0; i < 5; i++)
    if (!strcmp(usual[i][0], "pp") == l->context.repeat)
      add(l, (xlm_completion){.label = usual[i][0], .detail = usual[i][1], .kind = XLM_COMPLETE_VALUE});
  if (!l->context.repeat) add(l, (xlm_completion){.label = "none", .kind = XLM_COMPLETE_VALUE});
}

static void group_keys(list *l) {
  for (int i = 0; xlm_group_key(i); i++)
    add(l, (xlm_completion){.label = xlm_group_key(i),
                            .insert = xlm_arena_printf(l->arena, "%s = ", xlm_group_key(i)),
                            .kind = XLM_COMPLETE_ATTR});
}

static void optimizers(list *l) {
  for (int i = 0; xlm_optimizers[i]; i++)
    add(l, (xlm_completion){
               .label = xlm_optimizers[i]->name, .doc = xlm_optimizers[i]->doc, .kind = XLM_COMPLETE_VALUE});
}

static void statement(list *l) {
  words(l, true);
  symbols(l, ASSIGNED);
}

uint32_t xlm_inspect_complete(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_completion **out) {
  list l = {.v = v, .arena = a, .offset = offset, .context = xlm_inspect_context(v->source, offset, a)};
  switch (l.context.kind) {
  case XLM_IN_NOTHING:
    break;
  case XLM_IN_STATEMENT:
    statement(&l);
    break;
  case XLM_IN_EXPR:
    expression(&l);
    break;
  case XLM_IN_ARGUMENT:
    arguments(&l);
    break;
  case XLM_IN_VALUE:
    argument_value(&l);
    break;
  case XLM_IN_DIMS:
    symbols(&l, DIMS);
    break;
  case XLM_IN_AXES:
    axes(&l);
    break;
  case XLM_IN_INIT:
    named_values(&l, XLM_ENUM_INIT, 0);
    break;
  case XLM_IN_SETTINGS:
    symbols(&l, SETTABLE);
    break;
  case XLM_IN_GROUP:
    group_keys(&l);
    break;
  case XLM_IN_OPTIMIZER:
    optimizers(&l);
    break;
  }
  *out = l.at;
  return l.n;
}
