// What hints at syntax errors share: the place of the error and its context. Private to this folder.
#ifndef XLM_PARSE_ERROR_PRIV_H
#define XLM_PARSE_ERROR_PRIV_H

#include <string.h>

#include "compiler/parse/parse_priv.h"
#include "grammar/xlm.tab.h"

typedef struct site { // the place and context of the error
  xlm_parser *p;
  const char *const *expected;
  int n;
  const xlm_token *first; // of the statement
  const xlm_token *before, *at, *end;
} site;

static inline bool is_expected(const site *s, const char *symbol) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->expected[i], symbol)) return true;
  return false;
}

static inline const char *text(const site *s, const xlm_token *t) {
  uint32_t n = t->span.end - t->span.begin;
  return n > 40 ? xlm_arena_printf(s->p->arena, "%.40s...", xlm_token_text(s->p, t))
                : xlm_token_text(s->p, t);
}

static inline bool is_line_end(const xlm_token *t) {
  return t->kind == NEWLINE || t->kind == END || t->kind == '}';
}

static inline const char *found(const site *s) {
  if (s->at->kind == NEWLINE) return "the end of the line";
  if (s->at->kind == END) return "the end of the file";
  return xlm_arena_printf(s->p->arena, s->at->kind == STRING ? "%s" : "`%s`", text(s, s->at));
}

static inline xlm_diag *report(const site *s, xlm_diag_id id, xlm_span span, const char *sentence) {
  return xlm_diag_push(s->p->diags, id, span, "%s", sentence);
}

#define SAY(...) xlm_arena_printf(s->p->arena, __VA_ARGS__)
#define HELP(g, ...) xlm_diag_help(s->p->diags, g, __VA_ARGS__)

// error_foreign.c: constructs of other languages. Each returns true if it recognised and reported the
// mistake; the list ends with NULL.
extern bool (*const xlm_foreign_hints[])(const site *);

// error_advice.c: what to do about a place that no hint knows; NULL: no more than the message says.
const char *xlm_parse_advice(const site *s);

#endif
