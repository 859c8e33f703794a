// Arrange: turns raw tokens into the tokens that the grammar reads, in one pass.
//
// Line ends: a NEWLINE token ends a statement. There is none inside ( ) and [ ], inside the braces of a
// preset, group or config, after a binary operator or a comma, before `{`, or between `}` and `else`. There
// is one before the `}` of every other body.
//
// Keywords: a word is a keyword only in certain places (see grammar/README.md), so that `model`, `state` or
// `output` may name a dimension or a tensor.
//
// Brackets are balanced after this pass. An unclosed bracket is reported and closed where the text's
// indentation suggests; a surplus one is reported and dropped.
#include <string.h>

#include "compiler/parse/parse_priv.h"
#include "grammar/xlm.tab.h"

typedef struct opened {
  int kind;       // '(' '[' '{'
  uint32_t token; // its index
  char body;
  int statement;   // the statement it is in
  uint32_t indent; // of its line
} opened;

typedef struct arranger {
  xlm_parser *p;
  uint32_t i; // current raw token
  opened open[XLM_MAX_NESTING];
  int depth;
  int statement;    // keyword of the current statement; NAME for others
  uint32_t indent;  // of the current line
  xlm_span suspect; // the first `{` whose `}` is indented differently, and that `}`
  xlm_span suspect_close;
} arranger;

const xlm_word xlm_statement_words[] = {
    {"model", MODEL},   {"dim", DIM},         {"let", LET},     {"check", CHECK},   {"shard", SHARD},
    {"block", BLOCK},   {"input", INPUT},     {"param", PARAM}, {"state", STATE},   {"update", UPDATE},
    {"return", RETURN}, {"repeat", REPEAT},   {"loss", LOSS},   {"output", OUTPUT}, {"metric", METRIC},
    {"preset", PRESET}, {"weights", WEIGHTS}, {"group", GROUP}, {"use", USE},       {"config", CONFIG},
    {NULL, 0},
};

static const xlm_word reserved_words[] = {
    {"if", IF}, {"then", THEN}, {"else", ELSE}, {"and", AND}, {"or", OR}, {"not", NOT}, {NULL, 0},
};

static const char closing[128] = {['('] = ')', ['['] = ']', ['{'] = '}'};

const char *xlm_token_text(const xlm_parser *p, const xlm_token *t) {
  return xlm_arena_strndup(p->arena, p->source->text + t->span.begin, t->span.end - t->span.begin);
}

bool xlm_token_is(const xlm_parser *p, const xlm_token *t, const char *text) {
  size_t n = strlen(text);
  return t->span.end - t->span.begin == n && !memcmp(p->source->text + t->span.begin, text, n);
}

// --- lookahead and lookbehind

static const xlm_token nothing = {.kind = END};

static const xlm_token *raw(const arranger *a, uint32_t ahead) {
  return a->i + ahead < a->p->raw.n ? &a->p->raw.at[a->i + ahead] : &nothing;
}

static xlm_token *last(const arranger *a) {
  return a->p->tokens.n ? &a->p->tokens.at[a->p->tokens.n - 1] : NULL;
}

static opened *top(arranger *a) {
  return a->depth ? &a->open[a->depth - 1] : NULL;
}

static int lookup(const arranger *a, const xlm_token *t, const xlm_word *words) {
  if (t->span.end - t->span.begin > 7) return 0;
  for (; words->text; words++)
    if (xlm_token_is(a->p, t, words->text)) return words->kind;
  return 0;
}

static bool in_statements(arranger *a) {
  return !a->depth || top(a)->body == XLM_BODY_STATEMENTS;
}

// The contents of the innermost braces; 0 outside all.
static char innermost(const arranger *a) {
  int i = a->depth;
  while (i > 0 && a->open[i - 1].kind != '{') i--;
  return i ? a->open[i - 1].body : 0;
}

static bool is_free(char body) { // line ends mean nothing
  return body == XLM_BODY_SETTINGS || body == XLM_BODY_CONFIG;
}

static bool at_start(arranger *a) {
  const xlm_token *t = last(a);
  return !t || t->kind == NEWLINE || t->kind == '{';
}

static bool ends_operand(const xlm_token *t) {
  return t && (t->kind == NAME || t->kind == NUMBER || t->kind == STRING || t->kind == ')' || t->kind == ']');
}

static bool continues(const xlm_token *t) {
  return t->kind == ',' || t->kind == AND || t->kind == OR || t->kind == NOT || t->kind == EQ ||
         t->kind == NE || t->kind == LE || t->kind == GE || t->kind == POW ||
         (t->kind && t->kind < 128 && strchr("+-*/%@<>", t->kind));
}

static bool is_plain_name(const arranger *a, const xlm_token *t) {
  return t->kind == NAME && !lookup(a, t, reserved_words);
}

// Number of blanks before the first token of a line. Linear in total, since each line has one such token.
static uint32_t indentation(const arranger *a, const xlm_token *t) {
  uint32_t begin = t->span.begin;
  while (begin > 0 && strchr(" \t", a->p->source->text[begin - 1]) && a->p->source->text[begin - 1]) begin--;
  return t->span.begin - begin;
}

// Does the raw token begin a line that can only be a new statement: `param w`, `group "w"`, `use "f"`, `x =`?
static bool keyword_line(const arranger *a) {
  int next = raw(a, 1)->kind, kind = raw(a, 0)->kind == NAME ? lookup(a, raw(a, 0), xlm_statement_words) : 0;
  return kind && !raw(a, 1)->first && (next == NAME || (next == STRING && (kind == GROUP || kind == USE)));
}

static bool assignment_line(const arranger *a) {
  return is_plain_name(a, raw(a, 0)) && raw(a, 1)->kind == '=';
}

// --- output

static void push(arranger *a, xlm_token t) {
  if (t.kind != '{' && a->depth) t.body = top(a)->body;
  XLM_PUSH(a->p->arena, a->p->tokens.at, a->p->tokens.n, a->p->tokens.cap, t);
}

static void newline(arranger *a) {
  const xlm_token *t = last(a);
  if (!t || t->kind == NEWLINE || t->kind == '{') return;
  push(a, (xlm_token){.kind = NEWLINE, .span = {t->span.end, t->span.end + 1}});
}

static void close_top(arranger *a, xlm_token t) {
  const opened *o = top(a);
  if (o->kind == '{') {
    if (!is_free(o->body)) newline(a);
    t.match = o->token;
    a->p->tokens.at[o->token].match = a->p->tokens.n;
    a->statement = o->statement;
  }
  a->depth--;
  push(a, t);
}

static void close_silently(arranger *a) {
  uint32_t end = last(a)->span.end;
  close_top(a, (xlm_token){.kind = closing[top(a)->kind], .span = {end, end + 1}, .bad = true});
}

// --- unbalanced brackets

static xlm_span span_of(const arranger *a, const opened *o) {
  return a->p->tokens.at[o->token].span;
}

// The first ( or [ of the statement.
static const opened *outermost(const arranger *a) {
  int i = a->depth - 1;
  while (i > 0 && a->open[i - 1].kind != '{') i--;
  return &a->open[i];
}

// Closes ( and [ that are still open at the end of a statement.
static void close_brackets(arranger *a) {
  if (!a->depth || top(a)->kind == '{') return;
  xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_UNCLOSED, span_of(a, top(a)), "this `%c` is never closed",
                              top(a)->kind);
  const xlm_token *end = last(a);
  if (end)
    xlm_diag_label(a->p->diags, g, (xlm_span){end->span.end, end->span.end + 1},
                   "the statement ends without `%c`", closing[top(a)->kind]);
  while (a->depth && top(a)->kind != '{') close_silently(a);
}

static void close_braces(arranger *a, xlm_span before, const char *what) {
  close_brackets(a);
  if (!a->depth) return;
  xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_UNCLOSED, span_of(a, top(a)), "this `{` is never closed");
  xlm_diag_label(a->p->diags, g, before, "%s", what);
  if (a->suspect.end && a->suspect.begin != span_of(a, top(a)).begin) {
    xlm_diag_label(a->p->diags, g, a->suspect, "or perhaps this one:");
    xlm_diag_label(a->p->diags, g, a->suspect_close, "its `}` is in another column");
  }
  while (a->depth) close_silently(a);
  a->suspect = (xlm_span){0};
}

static void suspect_indentation(arranger *a, const xlm_token *t) {
  if (!t->first || a->suspect.end) return;
  if (top(a)->indent == a->indent) return;
  a->suspect = span_of(a, top(a));
  a->suspect_close = t->span;
}

static void mismatched(arranger *a, xlm_token t) {
  xlm_diag *g =
      xlm_diag_push(a->p->diags, XLM_E_MISMATCHED, t.span, "`%c` closes a `%c`", t.kind, top(a)->kind);
  xlm_diag_label(a->p->diags, g, span_of(a, top(a)), "opened here");
  xlm_diag_help(a->p->diags, g, "write `%c`", closing[top(a)->kind]);
  t.kind = closing[top(a)->kind];
  t.bad = true;
  close_top(a, t);
}

static void extra(arranger *a, const xlm_token *t) {
  xlm_diag_push(a->p->diags, XLM_E_EXTRA_CLOSE, t->span, "this `%c` closes nothing", t->kind);
  xlm_token *l = last(a);
  if (l) l->bad = true;
}

static void too_deep(arranger *a, const xlm_token *t) {
  xlm_diag *g =
      xlm_diag_push(a->p->diags, XLM_E_TOO_DEEP, t->span, "nested more than %d levels deep", XLM_MAX_NESTING);
  xlm_diag_note(a->p->diags, g, "nothing after this place was read");
  a->p->deep = a->p->stop = true;
}

// --- one raw token

static void line_break(arranger *a) {
  xlm_token *before = last(a);
  const xlm_token *t = raw(a, 0);
  if (!before) return;
  bool column_one = t->span.begin == 0 || a->p->source->text[t->span.begin - 1] == '\n';
  if (a->depth && column_one && keyword_line(a)) {
    int kind = lookup(a, t, xlm_statement_words);
    if (kind == MODEL || kind == USE || kind == BLOCK || kind == PRESET || kind == GROUP || kind == WEIGHTS ||
        kind == CONFIG)
      close_braces(a, t->span, "expected `}` before this");
    before = last(a);
  }
  if (before->kind == NEWLINE || before->kind == '{') return;
  if (a->depth && top(a)->kind != '{') {
    bool open_list = before->kind == ',' || before->kind == '(' || before->kind == '[';
    if (!keyword_line(a) && (open_list || !assignment_line(a))) return;
    if (a->indent > outermost(a)->indent) return;
    close_brackets(a);
  }
  if (a->depth && is_free(top(a)->body)) return;
  bool is_else =
      t->kind == NAME && before->kind == '}' && a->statement == IF && lookup(a, t, reserved_words) == ELSE;
  if (t->kind == '{' || is_else) return;
  if (continues(before)) {
    if (!keyword_line(a) && !assignment_line(a)) return;
    xlm_diag *g = xlm_diag_push(a->p->diags, XLM_E_TRAILING_OPERATOR, before->span,
                                "`%s` has nothing after it", xlm_token_text(a->p, before));
    xlm_diag_label(a->p->diags, g, t->span, "this line is a new statement");
    before->bad = true;
  }
  newline(a);
}

static bool ends_line(const xlm_token *next) {
  return next->first || next->kind == '}' || next->kind == END;
}

// Words that are keywords only after an operand, and `over` before a name in an argument list.
static int contextual(arranger *a, const xlm_token *t) {
  const xlm_token *before = last(a), *next = raw(a, 1);
  if (next->kind == '=') return NAME;
  if (ends_operand(before)) {
    if (xlm_token_is(a->p, t, "over")) return OVER;
    if (xlm_token_is(a->p, t, "as")) return AS;
    if (xlm_token_is(a->p, t, "where")) return WHERE;
    if (xlm_token_is(a->p, t, "shared") && (next->kind == '{' || xlm_token_is(a->p, next, "over")))
      return SHARED;
    if (a->statement == INPUT && xlm_token_is(a->p, t, "from")) return FROM;
    if (a->statement == INPUT && xlm_token_is(a->p, t, "shifted")) return SHIFTED;
    if (xlm_token_is(a->p, t, "optional") && innermost(a) == XLM_BODY_ENTRIES && ends_line(next))
      return OPTIONAL;
    if (xlm_token_is(a->p, t, "of") && (before->kind == ']' || before->kind == NUMBER)) return OF;
    return NAME;
  }
  bool argument = before && (before->kind == ',' || before->kind == '(') && a->depth && top(a)->kind == '(';
  if (argument && is_plain_name(a, next) && xlm_token_is(a->p, t, "over")) return OVER;
  bool element = before && (before->kind == ',' || before->kind == '[') && innermost(a) == XLM_BODY_CONFIG;
  if (element && xlm_token_is(a->p, t, "repeat")) return REPEAT;
  if (is_plain_name(a, next) && xlm_token_is(a->p, t, "recompute")) return RECOMPUTE;
  return NAME;
}

static int classify(arranger *a, const xlm_token *t) {
  const xlm_token *before = last(a);
  if (before && before->kind == '.') return NAME;
  int kind = lookup(a, t, reserved_words);
  if (kind) return kind;
  bool start = at_start(a) || (before->kind == RECOMPUTE && a->statement == RECOMPUTE);
  if (start && in_statements(a) && raw(a, 1)->kind != '=' && raw(a, 1)->kind != '[') {
    kind = lookup(a, t, xlm_statement_words);
    if (kind) return kind;
  }
  return contextual(a, t);
}

static void word(arranger *a, xlm_token t) {
  t.kind = classify(a, &t);
  if (innermost(a) != XLM_BODY_CONFIG && (at_start(a) || t.kind == REPEAT)) a->statement = t.kind;
  push(a, t);
}

static void open_bracket(arranger *a, xlm_token t) {
  bool config = innermost(a) == XLM_BODY_CONFIG || a->statement == CONFIG;
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
  a->open[a->depth++] = (opened){t.kind, index, t.body, a->statement, a->indent};
}

static void close_bracket(arranger *a, xlm_token t) {
  if (t.kind == '}') {
    close_brackets(a);
    if (!a->depth) {
      extra(a, &t);
      return;
    }
    suspect_indentation(a, &t);
    close_top(a, t);
  } else if (!a->depth || top(a)->kind == '{') {
    extra(a, &t);
  } else if (closing[top(a)->kind] != t.kind) {
    if (raw(a, 1)->kind == closing[top(a)->kind])
      extra(a, &t);
    else
      mismatched(a, t);
  } else {
    close_top(a, t);
  }
}

static void finish(arranger *a) {
  uint32_t n = a->p->end;
  xlm_token *end = last(a);
  if (end && !a->p->stop)
    close_braces(a, (xlm_span){end->span.end, end->span.end + 1}, "the file ends without `}`");
  else if (end)
    end->bad = true;
  while (a->depth) close_silently(a);
  newline(a);
  push(a, (xlm_token){.kind = END, .span = {n, n + 1}});
}

void xlm_parse_arrange(xlm_parser *p) {
  arranger a = {.p = p};
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
