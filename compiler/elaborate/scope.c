// Scopes: the meaning of names.
//
// Frames form a chain: the rounds of repeats, the block being inlined (or the top level), and the global
// frame with what is visible everywhere. The parent of a block's frame is the global one, so it does not see
// its caller's variables. Maps keep insertion order: every walk, and so every message and graph, is
// deterministic.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

xlm_el_frame *xlm_el_home(xlm_el_frame *f) {
  while (f->kind == XLM_FRAME_ROUND) f = f->parent;
  return f;
}

xlm_el_symbol *xlm_el_find(const xlm_el_frame *f, const char *name) {
  for (; f; f = f->parent) {
    xlm_el_symbol *s = xlm_dict_get(&f->symbols, name);
    if (s) return s;
  }
  return NULL;
}

static void place_key(xlm_span span, char key[16]) {
  int n = 0;
  for (uint32_t v = span.begin; n == 0 || v; v >>= 6) key[n++] = (char)('0' + (v & 63));
  key[n] = 0;
}

static void note_branch(xlm_el *e, xlm_span span, bool taken) {
  char key[16];
  if (span.begin == span.end) return;
  place_key(span, key);
  xlm_el_branch *b = xlm_dict_get(&e->branches, key);
  if (!b) {
    b = XLM_NEW(e->arena, xlm_el_branch);
    b->span = span;
    xlm_dict_put(e->arena, &e->branches, xlm_arena_strdup(e->arena, key), b);
  }
  b->taken |= taken;
}

void xlm_el_choose(xlm_el *e, xlm_span taken, xlm_span skipped) {
  note_branch(e, taken, true);
  note_branch(e, skipped, false);
}

xlm_el_use *xlm_el_use_at(xlm_el *e, xlm_el_symbol_kind k, const char *name, xlm_span span) {
  if (span.end == span.begin || name[0] == '_') return NULL;
  char key[16];
  place_key(span, key);
  xlm_el_use *u = xlm_dict_get(&e->uses, key);
  if (u) return u;
  u = XLM_NEW(e->arena, xlm_el_use);
  *u = (xlm_el_use){.name = name, .span = span, .kind = (uint8_t)k};
  xlm_dict_put(e->arena, &e->uses, xlm_arena_strdup(e->arena, key), u);
  return u;
}

xlm_el_symbol *xlm_el_define(xlm_el *e, xlm_el_frame *f, xlm_el_symbol_kind k, const char *name,
                             xlm_span span) {
  xlm_el_symbol *s = XLM_NEW(e->arena, xlm_el_symbol);
  *s = (xlm_el_symbol){.kind = k, .name = name, .span = span, .use = xlm_el_use_at(e, k, name, span)};
  xlm_dict_put(e->arena, &f->symbols, name, s);
  return s;
}

const char *xlm_el_join(xlm_el *e, const char *path, const char *name) {
  return *path ? xlm_arena_printf(e->arena, "%s.%s", path, name) : name;
}

const char *xlm_el_unique(xlm_el *e, const char *name) {
  uint32_t *count = xlm_dict_get(&e->counts, name);
  if (!count) xlm_dict_put(e->arena, &e->counts, name, count = XLM_NEW(e->arena, uint32_t));
  return ++*count == 1 ? name : xlm_arena_printf(e->arena, "%s.%u", name, *count);
}

enum { MOST_CANDIDATES = 2000 }; // bounds the work for a suggestion

const char *xlm_el_nearest_key(xlm_el *e, const xlm_dict *m, const char *name) {
  uint32_t n = m->n < MOST_CANDIDATES ? m->n : MOST_CANDIDATES;
  const char **names = XLM_NEW_N(e->arena, const char *, n);
  for (uint32_t i = 0; i < n; i++) names[i] = m->at[i].key;
  return xlm_text_nearest(name, names, n);
}

const char *xlm_el_nearest(xlm_el *e, const xlm_el_frame *f, const char *name,
                           bool (*want)(const xlm_el *, const xlm_el_symbol *, const void *),
                           const void *arg) {
  const char *names[MOST_CANDIDATES];
  size_t n = 0;
  for (; f; f = f->parent)
    for (uint32_t i = 0; i < f->symbols.n && n < MOST_CANDIDATES; i++) {
      const xlm_el_symbol *s = f->symbols.at[i].value;
      if (strcmp(s->name, name) != 0 && (!want || want(e, s, arg))) names[n++] = s->name;
    }
  return xlm_text_nearest(name, names, n);
}

const char *xlm_el_text(xlm_el *e, xlm_span s) {
  const char *t = e->ast->source->text + s.begin;
  uint32_t n = s.end - s.begin;
  if (n == 0 || n > 48 || memchr(t, '\n', n)) return "this";
  return xlm_arena_printf(e->arena, "`%.*s`", (int)n, t);
}

static bool give_up(xlm_el *e, xlm_diag_id id, xlm_span s, const char *what, const char *help) {
  xlm_diag *g = xlm_diag_push(e->diags, id, s, "%s", what);
  xlm_diag_help(e->diags, g, "%s", help);
  e->stop = true;
  return false;
}

bool xlm_el_enter(xlm_el *e, xlm_span s) {
  if (e->stop || e->diags->suppressed) return false;
  if (++e->steps >= XLM_EL_MAX_STEPS)
    return give_up(e, XLM_E_TOO_MUCH, s, "the model expands to more than 3,000,000 expressions",
                   "look for blocks that call each other twice per level, or for very large repeat counts");
  if (e->depth >= XLM_EL_MAX_DEPTH)
    return give_up(e, XLM_E_NESTED, s, "expressions, blocks and dims depend on each other too deeply here",
                   "give intermediate results names, in the order in which they are needed");
  e->depth++;
  return true;
}
