// Syntax error messages. Bison reports where the text becomes invalid and what was expected; the hints below
// and in error_foreign.c recognise common mistakes by the tokens around that place, first match wins. Then
// the input is advanced to where the grammar can recover: the end of the statement, the body of a statement
// with a bad head, or the next setting.
#include "compiler/parse/error_priv.h"

// --- hints: each returns true if it recognised and reported the mistake

static bool hint_equality(const site *s) {
  if (s->at->kind != '=' || (s->first->kind != CHECK && s->first->kind != IF && !is_expected(s, "`then`")))
    return false;
  xlm_diag *g = report(s, XLM_E_ASSIGN_FOR_EQUAL, s->at->span, "`=` does not compare");
  HELP(g, "write `==`");
  return true;
}

static bool hint_arrow(const site *s) {
  if (s->first->kind != BLOCK || !is_expected(s, "`->`")) return false;
  xlm_diag *g = report(s, XLM_E_NO_ARROW, s->at->span,
                       SAY("expected `->` and the dimensions of the result, found %s", found(s)));
  HELP(g, "write `block name(x[batch, seq, hidden]) -> [batch, seq, hidden] { ... }`");
  return true;
}

static bool hint_initializer(const site *s) {
  if ((s->first->kind != PARAM && s->first->kind != STATE) || !is_expected(s, "`~`")) return false;
  const char *what = text(s, s->first);
  if (s->at->kind == '=') {
    xlm_diag *g =
        report(s, XLM_E_NO_INITIALIZER, s->at->span, SAY("the initialiser of a %s follows `~`", what));
    HELP(g, "write `~` for `=`");
    return true;
  }
  xlm_diag *g = report(s, XLM_E_NO_INITIALIZER, s->at->span,
                       SAY("expected `~` and an initialiser, found %s", found(s)));
  HELP(g, "say how the %s starts: `~ normal(0.02)`, `~ ones`, `~ zeros`", what);
  return true;
}

static bool hint_body(const site *s) {
  int k = s->first->kind;
  if (k != BLOCK && k != REPEAT && k != RECOMPUTE && k != IF && k != PRESET && k != GROUP && k != WEIGHTS &&
      k != CONFIG)
    return false;
  if (!is_expected(s, "`{`") || !is_line_end(s->at)) return false;
  xlm_diag *g = report(s, XLM_E_NO_BODY, s->at->span, SAY("the `%s` has no body", text(s, s->first)));
  HELP(g, "write `{ ... }` after it");
  return true;
}

static bool hint_setting_comma(const site *s) {
  if (s->at->kind != ',' || (s->at->body != XLM_BODY_SETTINGS && s->at->body != XLM_BODY_CONFIG))
    return false;
  xlm_diag *g = report(s, XLM_E_SYNTAX, s->at->span, "there is no `,` between settings");
  HELP(g, "separate them with blanks or line ends");
  return true;
}

static bool hint_empty_entry(const site *s) {
  if (!s->before) return false;
  bool after_comma = s->before->kind == ',', opens = s->before->kind == '(' || s->before->kind == '[';
  bool closes = s->at->kind == ')' || s->at->kind == ']' || s->at->kind == '}';
  if (!(s->at->kind == ',' && (after_comma || opens)) && !(after_comma && closes)) return false;
  xlm_diag *g =
      report(s, XLM_E_EMPTY_ENTRY, s->at->span, SAY("there is nothing before this `%s`", text(s, s->at)));
  HELP(g, "remove the `,`");
  return true;
}

static bool hint_chained(const site *s) {
  int k = s->at->kind;
  bool comparison = k == EQ || k == NE || k == LE || k == GE || k == '<' || k == '>';
  if (!comparison || !is_expected(s, "`+`")) return false;
  xlm_diag *g = report(s, XLM_E_CHAINED_COMPARISON, s->at->span, "comparisons do not chain");
  HELP(g, "write `a < b and b < c`");
  return true;
}

static bool hint_else(const site *s) {
  if (s->at != s->first || s->at->kind != ELSE) return false;
  xlm_diag *g = report(s, XLM_E_SYNTAX, s->at->span, "this `else` belongs to no `if`");
  HELP(g, "write `if condition { ... } else { ... }`");
  return true;
}

static bool hint_several_targets(const site *s) {
  if (s->first->kind != NAME || s->at != s->first + 1 || s->at->kind != ',') return false;
  xlm_diag *g =
      report(s, XLM_E_SYNTAX, s->at->span, "several names on the left of `=` must be in parentheses");
  HELP(g, "write `(%s, ...) = ...`", text(s, s->first));
  return true;
}

static bool hint_repeat_order(const site *s) { // repeat 3 as i shared over pp {
  if (s->first->kind != REPEAT || s->at == s->first || s->at[-1].kind != SHARED ||
      !xlm_token_is(s->p, s->at, "over"))
    return false;
  xlm_diag *g = report(s, XLM_E_SYNTAX, s->at->span, SAY("`over` stands before `shared`"));
  HELP(g, "write `repeat .. over %s shared {`", s->at[1].kind == NAME ? text(s, s->at + 1) : "pp");
  return true;
}

static bool hint_use(const site *s) { // use blocks/norm.xlm
  if (s->first->kind != USE || s->at != s->first + 1) return false;
  xlm_diag *g = report(s, XLM_E_SYNTAX, s->at->span, "the file of a `use` is written in double quotes");
  HELP(g, "write `use \"blocks/norm.xlm\"`; all blocks of the file can then be called");
  return true;
}

static bool hint_unused_call(const site *s) {
  if (s->first->kind != NAME || s->at != s->first + 1 || s->at->kind != '(') return false;
  xlm_diag *g = report(s, XLM_E_UNKNOWN_STATEMENT, s->first->span,
                       SAY("`%s(` does not start a statement", text(s, s->first)));
  HELP(g, "give the result a name: `y = %s(...)`", text(s, s->first));
  return true;
}

static bool hint_unknown_statement(const site *s) {
  const xlm_token *w = s->first;
  if (w->kind != NAME || s->at != w + 1 || !is_expected(s, "`=`") || s->at->kind == '.') return false;
  const char *words[40];
  size_t n = 0;
  for (const xlm_word *k = xlm_statement_words; k->text; k++) words[n++] = k->text;
  words[n++] = "if";
  words[n++] = "else";
  const char *near = xlm_text_nearest(text(s, w), words, n);
  if (s->at->kind != NAME && !(near && strcmp(near, text(s, w)))) return false;
  xlm_diag *g =
      report(s, XLM_E_UNKNOWN_STATEMENT, w->span, SAY("`%s` does not start a statement", text(s, w)));
  if (near)
    HELP(g, "did you mean `%s`?", near);
  else
    HELP(g, "a statement starts with a keyword or is an assignment: `name = ...`");
  return true;
}

static bool (*const hints[])(const site *) = {
    hint_equality,
    hint_arrow,
    hint_initializer,
    hint_body,
    hint_setting_comma,
    hint_empty_entry,
    hint_chained,
    hint_else,
    hint_several_targets,
    hint_unused_call,
    hint_unknown_statement,
    hint_repeat_order,
    hint_use,
    NULL,
};

static bool recognised(const site *s, bool (*const *list)(const site *)) {
  while (*list && !(*list)(s)) list++;
  return *list != NULL;
}

// --- the general message: expected A, B or C, found D

static const char *const expression_words[] = {"a name", "a number", "a string",    "`(`", "`-`",
                                               "`not`",  "`if`",     "`recompute`", NULL};
static const char *const operator_words[] = {"`+`",  "`-`",  "`*`", "`/`",  "`%`", "`@`",  "`**`",
                                             "`==`", "`!=`", "`<`", "`<=`", "`>`", "`>=`", "`and`",
                                             "`or`", "`(`",  "`[`", "`.`",  NULL};

static bool among(const char *word, const char *const *words) {
  for (; *words; words++)
    if (!strcmp(word, *words)) return true;
  return false;
}

static bool is_statement_word(const char *symbol) {
  for (const xlm_word *w = xlm_statement_words; w->text; w++)
    if (!strncmp(symbol + 1, w->text, strlen(w->text)) && symbol[1 + strlen(w->text)] == '`') return true;
  return among(symbol, expression_words);
}

// Groups the expected symbols; returns the number of phrases.
static int phrases(const site *s, const char **out, int most) {
  bool statement = is_expected(s, "`param`") && is_expected(s, "`return`");
  bool expression = !statement && is_expected(s, "a number") && is_expected(s, "`not`");
  bool operators = !expression && is_expected(s, "`*`");
  int n = 0;
  if (statement) out[n++] = "a statement";
  if (expression) out[n++] = "an expression";
  for (int i = 0; i < s->n && n < most - 1; i++) {
    const char *e = s->expected[i];
    if (!strcmp(e, "a foreign sign") || (statement && is_statement_word(e)) ||
        (expression && among(e, expression_words)) || (operators && among(e, operator_words)))
      continue;
    out[n++] = e;
  }
  if (operators) out[n++] = "an operator";
  return n;
}

static void general(const site *s) {
  const char *words[8];
  int n = phrases(s, words, 8);
  xlm_text t = xlm_text_new(s->p->arena);
  for (int i = 0; i < n; i++) xlm_text_printf(&t, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
  xlm_diag *g =
      report(s, XLM_E_SYNTAX, s->at->span,
             n ? SAY("expected %s, found %s", t.data, found(s)) : SAY("%s is not allowed here", found(s)));
  const char *help = xlm_parse_advice(s);
  if (help) HELP(g, "%s", help);
}

// --- recovery

// The first token of the statement around token e, searching back to the last recovery at most; false when
// that is in the same statement, so that this error is a consequence of it.
static bool statement_start(const xlm_parser *p, uint32_t e, uint32_t *first) {
  const xlm_token *t = p->tokens.at;
  uint32_t i = e;
  for (; i > 0 && t[i - 1].kind != NEWLINE && t[i - 1].kind != '{'; i--) {
    if (i - 1 < p->recovered) break;
    if (t[i - 1].kind == '}') i = t[i - 1].match + 1;
  }
  *first = i;
  return i >= p->recovered;
}

static bool has_block_body(const xlm_token *first) {
  return first->kind != '(' && first->kind != LET && first->kind != DIM && first[1].kind != '=';
}

static uint32_t recovery(const xlm_parser *p, uint32_t first, uint32_t e) {
  const xlm_token *t = p->tokens.at;
  for (uint32_t i = e < p->recovered ? p->recovered : e;; i++) {
    if (t[i].kind == NEWLINE || t[i].kind == '}' || t[i].kind == END) return i;
    bool member = t[i].body == XLM_BODY_SETTINGS || t[i].body == XLM_BODY_CONFIG;
    if (member && t[i].kind == NAME && t[i + 1].kind == '=') return i;
    if (t[i].kind != '{') continue;
    if (t[i].body == XLM_BODY_STATEMENTS && has_block_body(&t[first])) return i;
    i = t[i].match;
  }
}

static bool is_marked(const xlm_parser *p, uint32_t first, uint32_t end) {
  for (uint32_t i = first; i <= end; i++) {
    if (p->tokens.at[i].bad) return true;
    if (p->tokens.at[i].kind == '{' && i < end && p->tokens.at[i].match <= end) i = p->tokens.at[i].match;
  }
  return false;
}

void xlm_parse_report(xlm_parser *p, const char *const *expected, int n) {
  const xlm_token *t = p->tokens.at;
  uint32_t first, e = p->at;
  bool news = statement_start(p, e, &first);
  uint32_t next = recovery(p, first, e);
  if (p->diags->errors == XLM_DIAG_MAX_ERRORS) {
    p->diags->suppressed = true;
    p->stop = true;
    return;
  }
  if (news && !is_marked(p, first, next)) {
    site s = {p, expected, n, &t[first], e > first ? &t[e - 1] : NULL, &t[e], &t[next]};
    if (!recognised(&s, xlm_foreign_hints) && !recognised(&s, hints)) general(&s);
  }
  p->recovered = next + 1;
  p->next = next;
  p->stop = t[next].kind == END;
}
