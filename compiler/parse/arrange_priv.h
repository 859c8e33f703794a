// The state of arranging raw tokens (token.c), for the decision which words are keywords (keyword.c).
#ifndef XLM_PARSE_ARRANGE_PRIV_H
#define XLM_PARSE_ARRANGE_PRIV_H

#include "compiler/parse/parse_priv.h"
#include "grammar/xlm.tab.h"

typedef struct xlm_opened {
  int kind;       // '(' '[' '{'
  uint32_t token; // its index
  char body;
  int statement;   // the statement it is in
  uint32_t indent; // of its line
} xlm_opened;

typedef struct xlm_arranger {
  xlm_parser *p;
  uint32_t i; // current raw token
  xlm_opened open[XLM_MAX_NESTING];
  int depth;
  int statement;    // keyword of the current statement; NAME for others
  uint32_t indent;  // of the current line
  xlm_span suspect; // the first `{` whose `}` is indented differently, and that `}`
  xlm_span suspect_close;
} xlm_arranger;

// The raw token so many behind the current one.
static inline const xlm_token *xlm_arrange_raw(const xlm_arranger *a, uint32_t ahead) {
  static const xlm_token nothing = {.kind = END};
  return a->i + ahead < a->p->raw.n ? &a->p->raw.at[a->i + ahead] : &nothing;
}

// The last token written; NULL: none.
static inline xlm_token *xlm_arrange_last(const xlm_arranger *a) {
  return a->p->tokens.n ? &a->p->tokens.at[a->p->tokens.n - 1] : NULL;
}

// The innermost open bracket; NULL: none.
static inline xlm_opened *xlm_arrange_top(xlm_arranger *a) {
  return a->depth ? &a->open[a->depth - 1] : NULL;
}

// The contents of the innermost braces; 0 outside all.
static inline char xlm_arrange_inside(const xlm_arranger *a) {
  int i = a->depth;
  while (i > 0 && a->open[i - 1].kind != '{') i--;
  return i ? a->open[i - 1].body : 0;
}

// Does a statement begin here?
static inline bool xlm_arrange_at_start(xlm_arranger *a) {
  const xlm_token *t = xlm_arrange_last(a);
  return !t || t->kind == NEWLINE || t->kind == '{';
}

// ---- keyword.c ----

// The kind of a name: of a keyword, or NAME.
int xlm_keyword_of(xlm_arranger *a, const xlm_token *t);
bool xlm_keyword_is_else(const xlm_arranger *a, const xlm_token *t);
// Is it a name that cannot be a keyword of an expression?
bool xlm_keyword_is_none(const xlm_arranger *a, const xlm_token *t);
// The word with which a statement begins, by its text; 0: none.
int xlm_keyword_of_statement(const xlm_arranger *a, const xlm_token *t);
// Does the current raw token begin a line that can only be a new statement: `param w`, `group "w"`, `use
// "f"`?
bool xlm_keyword_line(const xlm_arranger *a);

#endif
