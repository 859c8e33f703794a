// The outline of a model: what it declares, and what blocks and repeats declare inside.
#include "compiler/inspect/inspect_priv.h"

typedef struct list {
  const xlm_inspection *v;
  xlm_arena *arena;
  xlm_outline *at;
  uint32_t n, cap;
} list;

static uint32_t add(list *l, const xlm_stmt *s, xlm_symbol_kind kind, const char *name, xlm_span at,
                    uint32_t in) {
  xlm_outline o = {.name = name,
                   .detail = xlm_symbol_what(kind),
                   .kind = kind,
                   .span = s->span,
                   .name_span = at.begin < at.end ? at : s->span,
                   .parent = in};
  XLM_PUSH(l->arena, l->at, l->n, l->cap, o);
  return l->n - 1;
}

static const char *text(const list *l, xlm_span s) {
  return xlm_arena_strndup(l->arena, l->v->source->text + s.begin, s.end - s.begin);
}

static void statements(list *l, const xlm_stmt *s, uint32_t in) {
  static const xlm_symbol_kind kinds[XLM_STMT_KINDS] = {
      [XLM_STMT_DIM] = XLM_SYMBOL_DIM,       [XLM_STMT_LET] = XLM_SYMBOL_LET,
      [XLM_STMT_BLOCK] = XLM_SYMBOL_BLOCK,   [XLM_STMT_PARAM] = XLM_SYMBOL_PARAM,
      [XLM_STMT_STATE] = XLM_SYMBOL_STATE,   [XLM_STMT_INPUT] = XLM_SYMBOL_INPUT,
      [XLM_STMT_PRESET] = XLM_SYMBOL_PRESET,
  };
  for (; s; s = s->next) {
    uint32_t own = kinds[s->kind] ? add(l, s, kinds[s->kind], s->name->text, s->name->span, in) : in;
    if (s->kind == XLM_STMT_BLOCK) statements(l, s->block.body, own);
    if (s->kind == XLM_STMT_IF) statements(l, s->cond.then, in), statements(l, s->cond.otherwise, in);
    if (s->kind != XLM_STMT_REPEAT) continue;
    const char *name = xlm_arena_printf(l->arena, "repeat %s", text(l, s->expr->span));
    statements(l, s->repeat.body, add(l, s, XLM_SYMBOL_INDEX, name, s->expr->span, in));
  }
}

uint32_t xlm_inspect_outline(const xlm_inspection *v, xlm_arena *a, xlm_outline **out) {
  list l = {.v = v, .arena = a};
  statements(&l, v->ast->stmts, XLM_NO_SYMBOL);
  *out = l.at;
  return l.n;
}
