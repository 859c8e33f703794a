// What the text before an offset is in the middle of, for completion. The text is unfinished there, so this
// reads characters and not the tree: words, brackets, statement ends.
#include <ctype.h>
#include <string.h>

#include "compiler/inspect/inspect_priv.h"

enum { MOST_LEVELS = XLM_MAX_NESTING };

typedef struct level { // an open bracket; the first is the text itself
  char open;           // 0: the text
  const char *stmt;    // first word of the statement it is in
  const char *call, *key;
  int commas;
} level;

typedef struct reader {
  const xlm_source *s;
  xlm_arena *arena;
  uint32_t at, end;
  level levels[MOST_LEVELS];
  int depth;
  const char *stmt;     // first word of the statement at `at`; NULL: none yet
  const char *word;     // the last word
  const char *before;   // the word before the last `=`
  char last, second;    // the last two tokens: a sign, `w` a word, `n` a number, `>` an arrow; 0: none
  bool over, tilde, is; // seen in this statement: `over`, `~`, `=`
  bool inside;          // the offset is in a comment, a string or a number
} reader;

static level *top(reader *r) {
  return &r->levels[r->depth];
}

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

static void token(reader *r, char c) {
  r->second = r->last;
  r->last = c;
}

static void new_statement(reader *r) {
  r->stmt = r->word = r->before = NULL;
  r->last = r->second = 0;
  r->over = r->tilde = r->is = false;
}

static void comment(reader *r) {
  while (r->at < r->end && r->s->text[r->at] != '\n') r->at++;
  r->inside = r->at == r->end;
}

static void string(reader *r) {
  const char *t = r->s->text;
  for (r->at++; r->at < r->end && t[r->at] != '"' && t[r->at] != '\n'; r->at++)
    if (t[r->at] == '\\') r->at++;
  r->inside = r->at >= r->end;
  if (!r->inside && t[r->at] == '"') r->at++;
  token(r, 's');
}

static void newline(reader *r) {
  char open = top(r)->open;
  bool goes_on = r->last && strchr(",+-*/%@<>=~", r->last);
  r->at++;
  if ((!open || open == '{') && !goes_on) new_statement(r);
}

static void word(reader *r) {
  uint32_t begin = r->at;
  bool number = isdigit((unsigned char)r->s->text[begin]);
  while (r->at < r->end && (is_word(r->s->text[r->at]) || (number && r->s->text[r->at] == '.'))) r->at++;
  if (r->at == r->end) { // what is being typed
    r->inside |= number;
    return;
  }
  token(r, number ? 'n' : 'w');
  if (number) return;
  r->word = xlm_arena_strndup(r->arena, r->s->text + begin, r->at - begin);
  if (!r->stmt) r->stmt = r->word;
  r->over |= !strcmp(r->word, "over");
}

static void open_bracket(reader *r, char c) {
  bool named = r->last == 'w';
  token(r, c);
  if (r->depth + 1 == MOST_LEVELS) return;
  r->levels[++r->depth] = (level){.open = c, .stmt = r->stmt, .call = c == '(' && named ? r->word : NULL};
  if (c == '{') new_statement(r);
}

static void close_bracket(reader *r, char c) {
  if (r->depth) r->stmt = r->levels[r->depth--].stmt;
  if (c == '}') new_statement(r);
  token(r, c);
  if (c == '}') r->last = 0;
}

static void sign(reader *r, char c) {
  level *l = top(r);
  bool arrow = c == '-' && r->at + 1 < r->end && r->s->text[r->at + 1] == '>';
  bool equal = c == '=' && r->s->text[r->at + 1] != '=' && r->last && !strchr("=<>!", r->last);
  r->at += arrow ? 2 : 1;
  if (c == ',') l->commas++, l->key = NULL;
  if (equal) r->before = r->word, r->is |= l->open == 0 || l->open == '{';
  if (equal && l->open == '(' && (r->second == '(' || r->second == ',')) l->key = r->word;
  if (c == '~') r->tilde = true;
  token(r, arrow ? '>' : c);
}

static void read(reader *r) {
  while (r->at < r->end && !r->inside) {
    char c = r->s->text[r->at];
    if (c == '#')
      comment(r);
    else if (c == '"')
      string(r);
    else if (c == '\n')
      newline(r);
    else if (c == ' ' || c == '\t' || c == '\r')
      r->at++;
    else if (is_word(c))
      word(r);
    else if (strchr("([{", c) && c)
      r->at++, open_bracket(r, c);
    else if (strchr(")]}", c) && c)
      r->at++, close_bracket(r, c);
    else
      sign(r, c);
  }
}

// --- from the state at the offset to the kind

static bool is(const char *word, const char *text) {
  return word && !strcmp(word, text);
}

static bool is_any(const char *word, const char *const *set) {
  for (; word && *set; set++)
    if (!strcmp(word, *set)) return true;
  return false;
}

static bool after(const reader *r, const char *text) {
  return r->last == 'w' && is(r->word, text);
}

static int in_square(const reader *r, const level *l) {
  static const char *const declare[] = {"param", "state", "input", "block", NULL};
  bool layout = false;
  for (int i = 1; i <= r->depth; i++) layout |= r->levels[i].open == '{' && is(r->levels[i].stmt, "weights");
  if (after(r, "over")) return XLM_IN_AXES;
  return is_any(l->stmt, declare) || layout ? XLM_IN_DIMS : XLM_IN_EXPR;
}

static int in_round(const reader *r, const level *l) {
  if (is(l->stmt, "block") && l->call == r->levels[r->depth].call && r->depth == 1) return XLM_IN_NOTHING;
  if (after(r, "over") || r->last == '>') return XLM_IN_DIMS;
  if (l->key && l->call) return XLM_IN_VALUE;
  return l->call && (r->last == '(' || r->last == ',') ? XLM_IN_ARGUMENT : XLM_IN_EXPR;
}

static int in_settings(const reader *r, bool group) {
  bool value = r->last == '=' || (r->last && strchr("+-*/%(", r->last));
  if (group) return !value ? XLM_IN_GROUP : is(r->before, "optimizer") ? XLM_IN_OPTIMIZER : XLM_IN_EXPR;
  return value ? XLM_IN_EXPR : XLM_IN_SETTINGS;
}

static int in_statement(const reader *r) {
  const char *s = r->stmt;
  if (!s) return XLM_IN_STATEMENT;
  if (after(r, "as")) return XLM_IN_NOTHING;
  if (is(s, "shard")) return r->over ? XLM_IN_AXES : XLM_IN_DIMS;
  if (is(s, "repeat") || is(s, "recompute")) return after(r, "over") ? XLM_IN_AXES : XLM_IN_EXPR;
  if (is(s, "input"))
    return after(r, "of") ? XLM_IN_DIMS : after(r, "shifted") ? XLM_IN_EXPR : XLM_IN_NOTHING;
  if (is(s, "param") || is(s, "state"))
    return r->last == '~' ? XLM_IN_INIT : r->tilde ? XLM_IN_EXPR : XLM_IN_NOTHING;
  if (is(s, "dim") || is(s, "let") || is(s, "metric")) return r->is ? XLM_IN_EXPR : XLM_IN_NOTHING;
  if (is(s, "model") || is(s, "block") || is(s, "preset") || is(s, "weights") || is(s, "group") ||
      is(s, "use") || is(s, "config"))
    return XLM_IN_NOTHING;
  return XLM_IN_EXPR;
}

xlm_context xlm_inspect_context(const xlm_source *s, uint32_t offset, xlm_arena *a) {
  reader *r = XLM_NEW(a, reader);
  r->s = s;
  r->arena = a;
  r->end = offset < s->n ? offset : s->n;
  read(r);
  const level *l = top(r);
  xlm_context c = {0};
  for (int i = r->depth; i > 0 && !c.call && r->levels[i].open != '{'; i--)
    if (r->levels[i].call && !(i == 1 && is(r->levels[i].stmt, "block")))
      c.call = r->levels[i].call, c.key = r->levels[i].key, c.commas = r->levels[i].commas;
  c.repeat = is(r->stmt, "repeat") || is(r->stmt, "recompute");
  c.kind = r->inside        ? XLM_IN_NOTHING
           : l->open == '[' ? in_square(r, l)
           : l->open == '(' ? in_round(r, l)
           : l->open == '{' && (is(l->stmt, "preset") || is(l->stmt, "group"))
               ? in_settings(r, is(l->stmt, "group"))
           : l->open == '{' && (is(l->stmt, "weights") || is(l->stmt, "config")) ? XLM_IN_NOTHING
                                                                                 : in_statement(r);
  return c;
}
