// The cursor of the IR text reader; see text_lex.h.
#include "compiler/ir/text_lex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"

xlm_lines xlm_lines_of(xlm_arena *a, const char *text, uint32_t n) {
  xlm_lines l = {.bytes = n};
  XLM_PUSH(a, l.start, l.n, l.cap, 0);
  for (uint32_t i = 0; i < n; i++)
    if (text[i] == '\n') XLM_PUSH(a, l.start, l.n, l.cap, i + 1);
  return l;
}

uint32_t xlm_lines_find(const xlm_lines *l, uint32_t at) {
  uint32_t lo = 0, hi = l->n;
  while (hi - lo > 1) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (l->start[mid] <= at)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

xlm_lex xlm_lex_new(xlm_arena *a, const char *text, size_t n, xlm_error *err) {
  const char *copy = xlm_arena_strndup(a, text, n); // NUL-terminated, which stops strtod
  return (xlm_lex){.arena = a, .text = copy, .end = copy + n, .at = copy, .eol = copy, .err = err};
}

bool xlm_lex_line(xlm_lex *x) {
  if (x->failed) return false;
  const char *next = x->line ? x->eol + (x->eol < x->end) : x->text;
  if (next >= x->end) return false;
  const char *nl = memchr(next, '\n', (size_t)(x->end - next));
  x->at = next;
  x->eol = nl ? nl : x->end;
  x->line++;
  return true;
}

bool xlm_lex_fail(xlm_lex *x, const char *fmt, ...) {
  if (x->failed) return false;
  x->failed = true;
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  xlm_fail(x->err, XLM_USER, "line %u of the IR text: %s", x->line, text);
  return false;
}

static void blanks(xlm_lex *x) {
  while (x->at < x->eol && (*x->at == ' ' || *x->at == '\t' || *x->at == '\r')) x->at++;
}

bool xlm_lex_done(xlm_lex *x) {
  blanks(x);
  return x->failed || x->at == x->eol || *x->at == ';';
}

// Up to 20 printable characters at the cursor, for messages.
static const char *found(xlm_lex *x) {
  blanks(x);
  if (x->at == x->eol) return "the end of the line";
  xlm_text t = xlm_text_new(x->arena);
  xlm_text_add(&t, "`");
  for (const char *s = x->at; s < x->eol && s < x->at + 20; s++)
    xlm_text_addn(&t, *s >= ' ' && *s < 127 ? s : "?", 1);
  xlm_text_add(&t, "`");
  return t.data;
}

bool xlm_lex_end(xlm_lex *x) {
  if (xlm_lex_done(x)) return !x->failed;
  return xlm_lex_fail(x, "expected the end of the line, found %s", found(x));
}

bool xlm_lex_try(xlm_lex *x, const char *s) {
  if (x->failed) return false;
  blanks(x);
  size_t n = strlen(s);
  if ((size_t)(x->eol - x->at) < n || memcmp(x->at, s, n) != 0) return false;
  const char *after = x->at + n;
  if (xlm_lex_letter(s[n - 1]) && after < x->eol && xlm_lex_word_char(*after, true)) return false;
  x->at = after;
  return true;
}

bool xlm_lex_want(xlm_lex *x, const char *s) {
  if (xlm_lex_try(x, s)) return true;
  return xlm_lex_fail(x, "expected `%s`, found %s", s, found(x));
}

static int hex(char c) {
  if (xlm_lex_digit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Reads one character of a quoted string, after the backslash if it is escaped.
static bool escaped(xlm_lex *x, xlm_text *out) {
  const char *s = x->at;
  if (x->eol - s >= 3 && s[0] == 'x' && hex(s[1]) >= 0 && hex(s[2]) >= 0 && (hex(s[1]) || hex(s[2]))) {
    char c = (char)(hex(s[1]) * 16 + hex(s[2]));
    xlm_text_addn(out, &c, 1);
    x->at += 3;
    return true;
  }
  if (s == x->eol || (*s != '"' && *s != '\\'))
    return xlm_lex_fail(x, "a backslash must be followed by `\"`, `\\` or two hex digits");
  xlm_text_addn(out, s, 1);
  x->at++;
  return true;
}

bool xlm_lex_quoted(xlm_lex *x, const char **out) {
  if (!xlm_lex_want(x, "\"")) return false;
  xlm_text t = xlm_text_new(x->arena);
  while (x->at < x->eol && *x->at != '"') {
    char c = *x->at++;
    if (c == '\\') {
      if (!escaped(x, &t)) return false;
    } else if (c == 0) {
      return xlm_lex_fail(x, "a NUL byte in a string");
    } else {
      xlm_text_addn(&t, &c, 1);
    }
  }
  *out = xlm_arena_strndup(x->arena, t.data, t.n);
  return xlm_lex_want(x, "\"");
}

bool xlm_lex_word(xlm_lex *x, bool dots, const char **out) {
  if (x->failed) return false;
  blanks(x);
  if (x->at < x->eol && *x->at == '"') return xlm_lex_quoted(x, out);
  const char *begin = x->at;
  if (begin == x->eol || !xlm_lex_letter(*begin))
    return xlm_lex_fail(x, "expected a name, found %s", found(x));
  while (x->at < x->eol && xlm_lex_word_char(*x->at, dots)) x->at++;
  *out = xlm_arena_strndup(x->arena, begin, (size_t)(x->at - begin));
  return true;
}

bool xlm_lex_int(xlm_lex *x, int64_t lo, int64_t hi, int64_t *out) {
  if (x->failed) return false;
  blanks(x);
  bool number = x->at < x->eol && (xlm_lex_digit(*x->at) || (*x->at == '-' && xlm_lex_digit(x->at[1])));
  if (!number) return xlm_lex_fail(x, "expected a whole number, found %s", found(x));
  char *end;
  errno = 0;
  long long v = strtoll(x->at, &end, 10);
  if (errno || v < lo || v > hi)
    return xlm_lex_fail(x, "%s is not between %lld and %lld", found(x), (long long)lo, (long long)hi);
  x->at = end;
  *out = v;
  return true;
}

bool xlm_lex_uint(xlm_lex *x, uint32_t lo, uint32_t hi, uint32_t *out) {
  int64_t v;
  if (!xlm_lex_int(x, lo, hi, &v)) return false;
  *out = (uint32_t)v;
  return true;
}

bool xlm_lex_double(xlm_lex *x, double *out) {
  if (x->failed) return false;
  blanks(x);
  char *end = NULL;
  if (x->at < x->eol) *out = strtod(x->at, &end);
  if (!end || end == x->at || end > x->eol) return xlm_lex_fail(x, "expected a number, found %s", found(x));
  x->at = end;
  return true;
}
