// Warnings about unused declarations. Parameters count as used by what these settings build; dims, lets and
// blocks count as used when any part of the text mentions them, variables also when a branch of an `if`
// that these settings leave out does: it costs nothing here, and other settings need it. What a used file
// declares for other models is no mistake.
#include <stdlib.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

typedef struct words {
  xlm_el *e;
  xlm_dict seen, left_out; // names in the text, and in branches that are left out
  xlm_span *out;           // those branches, in order, without overlaps
  uint32_t n_out;
} words;

static int by_begin(const void *a, const void *b) {
  const xlm_span *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

static void find_left_out(words *w) {
  const xlm_dict *all = &w->e->branches;
  xlm_span *s = w->out = XLM_NEW_N(w->e->arena, xlm_span, all->n + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < all->n; i++) {
    const xlm_el_branch *b = all->at[i].value;
    if (!b->taken) s[n++] = b->span;
  }
  qsort(s, n, sizeof *s, by_begin);
  for (uint32_t i = 0; i < n; i++)
    if (!w->n_out || s[i].begin >= s[w->n_out - 1].end) s[w->n_out++] = s[i];
}

static bool is_left_out(const words *w, xlm_span at) {
  uint32_t low = 0, high = w->n_out; // the branches before `low` begin at or before `at`
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (w->out[mid].begin <= at.begin)
      low = mid + 1;
    else
      high = mid;
  }
  return low && at.begin < w->out[low - 1].end;
}

static void see(void *context, const char *name, xlm_span span) {
  words *w = context;
  xlm_dict_put(w->e->arena, &w->seen, name, w);
  if (is_left_out(w, span)) xlm_dict_put(w->e->arena, &w->left_out, name, w);
}

static void unused_text(xlm_el *e, const words *w) {
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    bool decl = s->kind == XLM_STMT_DIM || s->kind == XLM_STMT_LET;
    if ((!decl && s->kind != XLM_STMT_BLOCK) || s->name->text[0] == '_' ||
        xlm_dict_get(&w->seen, s->name->text) || xlm_el_is_used_file(e, s->span))
      continue;
    if (decl && s->decl.aliases) continue; // has a public name and may be used by other tools
    const char *what = s->kind == XLM_STMT_BLOCK ? "block" : s->kind == XLM_STMT_DIM ? "dimension" : "let";
    xlm_diag_push(e->diags, XLM_W_UNUSED_NAME, s->name->span, "%s `%s` is never used", what, s->name->text);
  }
}

static void unused_param(xlm_el *e, const xlm_el_use *u) {
  if (!u->made) return;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_W_UNUSED_PARAM, u->span, "parameter `%s` is never used", u->name);
  xlm_diag_help(e->diags, g, "remove it, or declare it inside the `if` whose branch uses it");
}

static void unused_input(xlm_el *e, const xlm_el_use *u) {
  xlm_diag_push(e->diags, XLM_W_UNUSED_INPUT, u->span, "input `%s` is never used", u->name);
}

static void unused_value(xlm_el *e, const xlm_el_use *u) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_W_UNUSED_NAME, u->span,
                              "the value that `%s` gets here is never used", u->name);
  xlm_diag_help(e->diags, g, "remove it, or call it `_%s`", u->name);
}

static void unused_state(xlm_el *e, const xlm_el_use *u) {
  if (u->made) xlm_diag_push(e->diags, XLM_W_UNUSED_NAME, u->span, "state `%s` is never read", u->name);
}

void xlm_el_unused(xlm_el *e) {
  static void (*const report[])(xlm_el *, const xlm_el_use *) = {
      [XLM_SYM_DECL] = NULL,          [XLM_SYM_VALUE] = unused_value, [XLM_SYM_PARAM] = unused_param,
      [XLM_SYM_STATE] = unused_state, [XLM_SYM_INPUT] = unused_input, [XLM_SYM_ARRAY] = unused_value};
  words w = {.e = e};
  find_left_out(&w);
  xlm_el_walk_all(e->ast->stmts, see, &w);
  unused_text(e, &w);
  for (uint32_t i = 0; i < e->uses.n; i++) {
    const xlm_el_use *u = e->uses.at[i].value;
    bool variable = u->kind == XLM_SYM_VALUE || u->kind == XLM_SYM_ARRAY;
    if (u->read || (variable && xlm_dict_get(&w.left_out, u->name))) continue;
    if (report[u->kind]) report[u->kind](e, u);
  }
}
