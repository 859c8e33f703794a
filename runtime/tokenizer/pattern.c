// Regular expressions of tokenizers; see pattern_priv.h.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/tokenizer/pattern_priv.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"

struct pattern {
  pcre2_code *code;
  const char *literal; // NULL: it is none
};

enum { STACK_FIRST = 32 << 10, STACK_MOST = 8 << 20 };

// White_Space and words, as the inside of a class. Oniguruma counts the other numbers of Latin-1 as words,
// but not in a class; Rust has the joiners of words.
#define SPACE                                                                                                \
  "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define JOINERS "\\x{200C}\\x{200D}"
#define NUMBERS "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"

typedef struct rewriting {
  char letter;
  const char *alone, *in_class; // NULL: cannot be said
} rewriting;

enum { REWRITINGS = 8 };
static const rewriting oniguruma[REWRITINGS] = {{'s', "[" SPACE "]", SPACE},
                                                {'S', "[^" SPACE "]", "\\P{White_Space}"},
                                                {'d', "\\p{Nd}", "\\p{Nd}"},
                                                {'D', "\\P{Nd}", "\\P{Nd}"},
                                                {'w', "[" WORD NUMBERS "]", WORD},
                                                {'W', "[^" WORD NUMBERS "]", NULL},
                                                {'h', NULL, NULL},
                                                {'H', NULL, NULL}};
static const rewriting rust[REWRITINGS] = {{'s', "[" SPACE "]", SPACE},
                                           {'S', "[^" SPACE "]", "\\P{White_Space}"},
                                           {'d', "\\p{Nd}", "\\p{Nd}"},
                                           {'D', "\\P{Nd}", "\\P{Nd}"},
                                           {'w', "[" WORD JOINERS "]", WORD JOINERS},
                                           {'W', "[^" WORD JOINERS "]", NULL},
                                           {'h', NULL, NULL},
                                           {'H', NULL, NULL}};

typedef struct rewriter {
  const char *at, *end;
  xlm_text out;
  const rewriting *rewritings;
  const char *wrong; // what cannot be rewritten
  bool in_class;
} rewriter;

// \p{Han} is a script; to PCRE2 it would be its extensions, too.
static void rewrite_property(rewriter *r) {
  const char *close = memchr(r->at, '}', (size_t)(r->end - r->at));
  if (r->at + 2 >= r->end || r->at[2] != '{' || !close) { // \pL
    xlm_text_addn(&r->out, r->at, 2);
    r->at += 2;
    return;
  }
  static const char *const known[] = {"Alphabetic", "White_Space", "Any", "Emoji", "Extended_Pictographic"};
  const char *name = r->at + 3;
  bool negated = *name == '^';
  name += negated;
  size_t n = (size_t)(close - name);
  bool passes = n <= 2 || memchr(name, '=', n) || memchr(name, ':', n);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    passes = passes || (strlen(known[i]) == n && !memcmp(known[i], name, n));
  xlm_text_printf(&r->out, "\\%c{%s%s%.*s}", r->at[1], negated ? "^" : "", passes ? "" : "sc:", (int)n, name);
  r->at = close + 1;
}

static void rewrite_escape(rewriter *r) {
  char c = r->at + 1 < r->end ? r->at[1] : 0;
  if (c == 'p' || c == 'P') {
    rewrite_property(r);
    return;
  }
  for (size_t i = 0; i < REWRITINGS; i++)
    if (r->rewritings[i].letter == c) {
      const char *text = r->in_class ? r->rewritings[i].in_class : r->rewritings[i].alone;
      if (!text) r->wrong = xlm_arena_printf(r->out.arena, "\\%c%s", c, r->in_class ? " in a class" : "");
      xlm_text_add(&r->out, text ? text : "");
      r->at += 2;
      return;
    }
  size_t n = c ? 2 : 1;
  xlm_text_addn(&r->out, r->at, n);
  r->at += n;
}

static void rewrite_next(rewriter *r) {
  char c = *r->at;
  if (c == '\\') {
    rewrite_escape(r);
    return;
  }
  if (r->in_class && c == '[') r->wrong = "a class in a class";
  if (r->in_class && c == '&' && r->at + 1 < r->end && r->at[1] == '&') r->wrong = "&& in a class";
  bool opens = !r->in_class && c == '[', closes = r->in_class && c == ']';
  xlm_text_addn(&r->out, r->at++, 1);
  if (opens && r->at < r->end && *r->at == '^') xlm_text_addn(&r->out, r->at++, 1);
  if (opens && r->at < r->end && *r->at == ']') xlm_text_addn(&r->out, r->at++, 1); // a literal one
  r->in_class = (r->in_class || opens) && !closes;
}

static void free_code(void *code) {
  pcre2_code_free(code);
}

static xlm_status compile(xlm_arena *a, const char *text, size_t n, uint32_t options, pattern *p,
                          xlm_error *err) {
  int code;
  PCRE2_SIZE at;
  unsigned char why[256];
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, free_code);
  c->what = p->code = pcre2_compile((PCRE2_SPTR)text, n, PCRE2_UTF | options, &code, &at, NULL);
  if (!p->code) {
    if (code == PCRE2_ERROR_NOMEMORY) xlm_arena_exhausted(a, n);
    pcre2_get_error_message(code, why, sizeof why);
    return xlm_fail(err, XLM_USER, "the pattern %.*s: %s", (int)n, text, (const char *)why);
  }
  pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); // without it, it is interpreted
  return XLM_OK;
}

xlm_status xlm_pattern_new(xlm_arena *a, const char *text, size_t n, pattern_dialect dialect,
                           const pattern **out, xlm_error *err) {
  pattern *p = XLM_NEW(a, pattern);
  *out = p;
  if (dialect == PATTERN_LITERAL) {
    p->literal = xlm_arena_strndup(a, text, n);
    return compile(a, text, n, PCRE2_LITERAL, p, err);
  }
  rewriter r = {.at = text, .end = text + n, .out = xlm_text_new(a), .rewritings = oniguruma};
  if (dialect == PATTERN_RUST) r.rewritings = rust;
  while (r.at < r.end && !r.wrong) rewrite_next(&r);
  if (r.wrong)
    return xlm_fail(err, XLM_USER, "the pattern %.*s has %s, which is not supported", (int)n, text, r.wrong);
  return compile(a, r.out.data, r.out.n,
                 PCRE2_UCP | (dialect == PATTERN_ONIGURUMA ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY), p, err);
}

bool xlm_pattern_is(const pattern *p, const char *literal) {
  return p->literal && !strcmp(p->literal, literal);
}

static void free_data(void *data) {
  pcre2_match_data_free(data);
}

static void free_stack(void *stack) {
  pcre2_jit_stack_free(stack);
}

static void free_context(void *context) {
  pcre2_match_context_free(context);
}

void xlm_matcher_new(xlm_arena *a, matcher *m) {
  xlm_arena_cleanup *data = xlm_arena_add_cleanup(a, free_data),
                    *stack = xlm_arena_add_cleanup(a, free_stack),
                    *context = xlm_arena_add_cleanup(a, free_context);
  m->data = data->what = pcre2_match_data_create(1, NULL);
  m->stack = stack->what = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
  m->context = context->what = pcre2_match_context_create(NULL);
  if (!m->data || !m->stack || !m->context) xlm_arena_exhausted(a, STACK_MOST);
  pcre2_jit_stack_assign(m->context, NULL, m->stack);
  pcre2_set_match_limit(m->context, UINT32_MAX);
}

int xlm_pattern_find(const pattern *p, matcher *m, const char *s, size_t n, size_t from, size_t *begin,
                     size_t *end) {
  int found = pcre2_match(p->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT)
    found =
        pcre2_match(p->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->context);
  if (found == PCRE2_ERROR_NOMATCH) return 0;
  if (found < 0) return -1;
  const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->data);
  *begin = at[0], *end = at[1];
  return 1;
}
