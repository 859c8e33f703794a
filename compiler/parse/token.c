// Arrange: turns raw tokens into the tokens that the grammar reads, in one pass. keyword.c decides which
// words are keywords.
//
// Line ends: a NEWLINE token ends a statement. There is none inside ( ) and [ ], inside the braces of a
// preset, group or config, after a binary operator or a comma, before `{`, or between `}` and `else`. There
// is one before the `}` of every other body.
//
// Brackets are balanced after this pass. An unclosed bracket is reported and closed where the text's
// indentation suggests; a surplus one is reported and dropped.
#include <string.h>

#include "compiler/parse/arrange_priv.h"

static const char closing[128] = {['('] = ')', ['['] = ']', ['{'] = '}'};

const char *xlm_token_text(const xlm_parser *p, const xlm_token *t) {
  return xlm_arena_strndup(p->arena, p->source->text + t->span.begin, t->span.end - t->span.begin);
}

bool xlm_token_is(const xlm_parser *p, const xlm_token *t, const char *text) {
  size_t n = strlen(text);
  return t->span.end - t->span.begin == n && !memcmp(p->source->text + t->span.begin, text, n);
}

// --- lines

static bool is_free(char body) { // line ends mean nothing
  return body == XLM_BODY_SETTINGS || body == XLM_BODY_CONFIG;
}

static bool continues(const xlm_token *t) {
  return t->kind == ',' || t->kind == AND || t->kind == OR || t->kind == NOT || t->kind == EQ ||
         t->kind == NE || t->kind == LE || t->kind == GE || t->kind == POW ||
         (t->kind && t->kind < 128 && strchr("+-*/%@<>", t->kind));
}

// Number of blanks before the first token of a line. Linear in total, since each line has one such token.
static uint32_t indentation(const xlm_arranger *a, const xlm_token *t) {
  uint32_t begin = t->span.begin;
  while (begin > 0 && strchr(" \t", a->p->source->text[begin - 1]) && a->p->source->text[begin - 1]) begin--;
  return t->span.begin - begin;
}

static bool assignment_line(const xlm_arranger *a) {
  return xlm_keyword_is_none(a, xlm_arrange_raw(a, 0)) && xlm_arrange_raw(a, 1)->kind == '=';
}

// --- output

static void push(xlm_arranger *a, xlm_token t) {
  if (t.kind != '{' && a->depth) t.body = xlm_arrange_top(a)->body;
  XLM_PUSH(a->p->arena, a->p->tokens.at, a->p->tokens.n, a->p->tokens.cap, t);
}

static void newline(xlm_arranger *a) {
  const xlm_token *t = xlm_arrange_last(a);
  if (!t || t->kind == NEWLINE || t->kind == '{') return;
  push(a, (xlm_token){.kind = NEWLINE, .span = {t->span.end, t->span.end + 1}});
}

static void close_top(xlm_arranger *a, xlm_token t) {
  const xlm_opened *o = xlm_arrange_top(a);
  if (o->kind == '{') {
    if (!is_free(o->body)) newline(a);
    t.match = o->token;
    a->p->tokens.at[o->token].match = a->p->tokens.n;
    a->statement = o->statement;
  }
  a->depth--;
  push(a, t);
}

static void close_silently(xlm_arranger *a) {
  uint32_t end = xlm_arrange_last(a)->span.end;
  close_top(a, (xlm_token){.kind = closing[xlm_arrange_top(a)->kind], .span = {end, end + 1}, .bad = true});
}

// --- unbalanced brackets

static xlm_span span_of(const xlm_arranger *a, const xlm_opened *o) {
  return a->p->tokens.at[o->token].span;
}

// The first ( or [ of the statement.
static const xlm_opened *outermost(const xlm_arranger *a) {
  int i = a->depth - 1;
  while (i > 0 && a->open[i - 1].kind != '{') i--;
  return &a->open[i];
}

// Closes ( and [ that are still open at the end of a statement.
static void close_brackets(xlm_arranger *a) {
  if (!a->depth || xlm_arrange_top(a)->kind == '{') return;
  xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_UNCLOSED, span_of(a, xlm_arrange_top(a)),
                              "this `%c` is never closed", xlm_arrange_top(a)->kind);
  const xlm_token *end = xlm_arrange_last(a);
  if (end)
    xlm_diag_label(a->p->diags, g, (xlm_span){end->span.end, end->span.end + 1},
                   "the statement ends without `%c`", closing[xlm_arrange_top(a)->kind]);
  while (a->depth && xlm_arrange_top(a)->kind != '{') close_silently(a);
}

static void close_braces(xlm_arranger *a, xlm_span before, const char *what) {
  close_brackets(a);
  if (!a->depth) return;
  xlm_diag *g =
      xlm_diag_push(a->p->diags, XLM_E_UNCLOSED, span_of(a, xlm_arrange_top(a)), "this `{` is never closed");
  xlm_diag_label(a->p->diags, g, before, "%s", what);
  if (a->suspect.end && a->suspect.begin != span_of(a, xlm_arrange_top(a)).begin) {
    xlm_diag_label(a->p->diags, g, a->suspect, "or perhaps this one:");
    xlm_diag_label(a->p->diags, g, a->suspect_close, "its `}` is in another column");
  }
  while (a->depth) close_silently(a);
  a->suspect = (xlm_span){0};
}

static void suspect_indentation(xlm_arranger *a, const xlm_token *t) {
  if (!t->first || a->suspect.end) return;
  if (xlm_arrange_top(a)->indent == a->indent) return;
  a->suspect = span_of(a, xlm_arrange_top(a));
  a->suspect_close = t->span;
}

static void mismatched(xlm_arranger *a, xlm_token t) {
  xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_MISMATCHED, t.span, "`%c` closes a `%c`", t.kind,
                              xlm_arrange_top(a)->kind);
  xlm_diag_label(a->p->diags, g, span_of(a, xlm_arrange_top(a)), "opened here");
  xlm_diag_help(a->p->diags, g, "write `%c`", closing[xlm_arrange_top(a)->kind]);
  t.kind = closing[xlm_arrange_top(a)->kind];
  t.bad = true;
  close_top(a, t);
}

static void extra(xlm_arranger *a, const xlm_token *t) {
  xlm_diag_push(a->p->diags, XLM_E_EXTRA_CLOSE, t->span, "this `%c` closes nothing", t->kind);
  xlm_token *l = xlm_arrange_last(a);
  if (l) l->bad = true;
}

static void too_deep(xlm_arranger *a, const xlm_token *t) {
  xlm_diag *g =
      xlm_diag_push(a->p->diags, XLM_E_TOO_DEEP, t->span, "nested more than %d levels deep", XLM_MAX_NESTING);
  xlm_diag_note(a->p->diags, g, "nothing after this place was read");
  a->p->deep = a->p->stop = true;
}

// --- one raw token

static void line_break(xlm_arranger *a) {
  xlm_token *before = xlm_arrange_last(a);
  const xlm_token *t = xlm_arrange_raw(a, 0);
  if (!before) return;
  bool column_one = t->span.begin == 0 || a->p->source->text[t->span.begin - 1] == '\n';
  if (a->depth && column_one && xlm_keyword_line(a)) {
    int kind = xlm_keyword_of_statement(a, t);
    if (kind == MODEL || kind == USE || kind == BLOCK || kind == PRESET || kind == GROUP || kind == WEIGHTS ||
        kind == CONFIG)
      close_braces(a, t->span, "expected `}` before this");
    before = xlm_arrange_last(a);
  }
  if (before->kind == NEWLINE || before->kind == '{') return;
  if (a->depth && xlm_arrange_top(a)->kind != '{') {
    bool open_list = before->kind == ',' || before->kind == '(' || before->kind == '[';
    if (!xlm_keyword_line(a) && (open_list || !assignment_line(a))) return;
    if (a->indent > outermost(a)->indent) return;
    close_brackets(a);
  }
  if (a->depth && is_free(xlm_arrange_top(a)->body)) return;
  bool is_else = before->kind == '}' && a->statement == IF && xlm_keyword_is_else(a, t);
  if (t->kind == '{' || is_else) return;
  if (continues(before)) {
    if (!xlm_keyword_line(a) && !assignment_line(a)) return;
    xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_TRAILING_OPERATOR, before->span,
                                "`%s` has nothing after it", xlm_token_text(a->p, before));
    xlm_diag_label(a->p->diags, g, t->span, "this line is a new statement");
    before->bad = true;
  }
  newline(a);
}

static void word(xlm_arranger *a, xlm_token t) {
  t.kind = xlm_keyword_of(a, &t);
  if (xlm_arrange_inside(a) != XLM_BODY_CONFIG && (xlm_arrange_at_start(a) || t.kind == REPEAT))
    a->statement = t.kind;
  push(a, t);
}

static void open_bracket(xlm_arranger *a, xlm_token t) {
  bool config = xlm_arrange_inside(a) == XLM_BODY_CONFIG || a->statement == CONFIG;
  if (t.kind == '{' && !config) close_brackets(a); // an object may stand in a list
  if (a->depth == XLM_MAX_NESTING) {
    too_deep(a, &t);
    return;
  }
  t.body = a->statement == PRESET || a->statement == GROUP ? XLM_BODY_SETTINGS
           : config                                        ? XLM_BODY_CONFIG
           : a->statement == WEIGHTS                       ? XLM_BODY_ENTRIES
                                                           : XLM_BODY_STATEMENTS;
  if (t.kind != '{') t.body = 0;
  uint32_t index = a->p->tokens.n;
  push(a, t);
  a->open[a->depth++] = (xlm_opened){t.kind, index, t.body, a->statement, a->indent};
}

static void close_bracket(xlm_arranger *a, xlm_token t) {
  if (t.kind == '}') {
    close_brackets(a);
    if (!a->depth) {
      extra(a, &t);
      return;
    }
    suspect_indentation(a, &t);
    close_top(a, t);
  } else if (!a->depth || xlm_arrange_top(a)->kind == '{') {
    extra(a, &t);
  } else if (closing[xlm_arrange_top(a)->kind] != t.kind) {
    if (xlm_arrange_raw(a, 1)->kind == closing[xlm_arrange_top(a)->kind])
      extra(a, &t);
    else
      mismatched(a, t);
  } else {
    close_top(a, t);
  }
}

static void finish(xlm_arranger *a) {
  uint32_t n = a->p->end;
  xlm_token *end = xlm_arrange_last(a);
  if (end && !a->p->stop)
    close_braces(a, (xlm_span){end->span.end, end->span.end + 1}, "the file ends without `}`");
  else if (end)
    end->bad = true;
  while (a->depth) close_silently(a);
  newline(a);
  push(a, (xlm_token){.kind = END, .span = {n, n + 1}});
}

void xlm_parse_arrange(xlm_parser *p) {
  xlm_arranger a = {.p = p};
  for (; a.i < p->raw.n && !p->deep; a.i++) {
    xlm_token t = p->raw.at[a.i];
    if (t.first) a.indent = indentation(&a, &t);
    if (t.first) line_break(&a);
    if (t.kind == NAME)
      word(&a, t);
    else if (t.kind == '(' || t.kind == '[' || t.kind == '{')
      open_bracket(&a, t);
    else if (t.kind == ')' || t.kind == ']' || t.kind == '}')
      close_bracket(&a, t);
    else
      push(&a, t);
  }
  finish(&a);
  p->stop = false;
}
