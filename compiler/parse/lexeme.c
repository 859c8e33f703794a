// Single lexemes: errors in bad ones, values of good ones.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/parse/parse_priv.h"

// Length of the UTF-8 character at s, or 0 if invalid (including overlong forms and surrogates).
static uint32_t character(const unsigned char *s, uint32_t left) {
  if (s[0] < 0x80) return 1;
  uint32_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
  if (s[0] < 0xC2 || s[0] > 0xF4 || n > left) return 0;
  for (uint32_t i = 1; i < n; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
      (s[0] == 0xF4 && s[1] > 0x8F))
    return 0;
  return n;
}

static void report_bytes(xlm_parser *p, bool nul, xlm_span s) {
  if (nul) {
    xlm_diag *g = xlm_diag_push(p->diags, XLM_E_NUL_BYTE, s, "the file contains a zero byte here");
    xlm_diag_help(p->diags, g, "is this a text file?");
    return;
  }
  unsigned byte = (unsigned char)p->source->text[s.begin];
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_NOT_UTF8, s, "byte 0x%02x is not UTF-8 text here", byte);
  xlm_diag_help(p->diags, g, "save the file as UTF-8");
}

void xlm_lex_check_bytes(xlm_parser *p) {
  const unsigned char *s = (const unsigned char *)p->source->text;
  for (uint32_t i = p->pos, n = p->end; i < n;) {
    if (s[i] && s[i] < 0x80) {
      i++;
      continue;
    }
    uint32_t begin = i, length = 0;
    while (i < n && !s[i]) i++; // one diagnostic per run
    if (i > begin) {
      report_bytes(p, true, (xlm_span){begin, i});
      continue;
    }
    while (i < n && !(length = character(s + i, n - i))) i++;
    if (i > begin) report_bytes(p, false, (xlm_span){begin, i});
    i += length;
  }
}

static const char *copy(xlm_parser *p, xlm_span s) {
  return xlm_arena_strndup(p->arena, p->source->text + s.begin, s.end - s.begin);
}

// --- numbers

static const char *number_help(const char *text) {
  if (text[0] == '.') return "write a digit before the point, as in `0.5`";
  if (text[0] == '0' && text[1] && strchr("xXbBoO", text[1])) return "numbers are decimal";
  const char *end = text + strspn(text, "0123456789_");
  if (end[0] == '.' && !(end[1] >= '0' && end[1] <= '9')) return "write a digit after the point, as in `3.0`";
  if (end[0] == '.') end += 1 + strspn(end + 1, "0123456789_");
  if ((*end == 'e' || *end == 'E') && !end[1 + strspn(end + 1, "+-0123456789")])
    return "write the exponent, as in `1e-5`";
  if (!*end) return "an underscore stands between two digits, as in `10_000`";
  return "a name starts with a letter; a number and a name are separated by a blank or an operator";
}

void xlm_lex_bad_number(xlm_parser *p, xlm_span s) {
  const char *text = copy(p, s);
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_NUMBER, s, "`%.40s` is not a number", text);
  xlm_diag_help(p->diags, g, "%s", number_help(text));
  p->bad = true;
}

xlm_expr *xlm_lex_number(xlm_parser *p, xlm_span s) {
  xlm_expr *e = xlm_build_expr(p, XLM_EXPR_NUMBER, s);
  e->number.text = copy(p, s);
  char *digits = xlm_arena_alloc(p->arena, s.end - s.begin + 1), *out = digits;
  for (const char *c = e->number.text; *c; c++)
    if (*c != '_') *out++ = *c;
  e->number.value = strtod(digits, NULL);
  e->number.integer = !digits[strspn(digits, "0123456789")];
  errno = 0;
  if (e->number.integer) e->number.exact = strtoll(digits, NULL, 10);
  if (isinf(e->number.value) || (e->number.integer && errno == ERANGE))
    xlm_diag_push(p->diags, XLM_E_NUMBER_RANGE, s, "the number `%.40s` is too large", e->number.text);
  return e;
}

// --- strings

void xlm_lex_open_string(xlm_parser *p, xlm_span s) {
  if (s.end > s.begin + 1 && p->source->text[s.end - 1] == '\r') s.end--;
  xlm_diag_push(p->diags, XLM_E_STRING, s, "the string has no closing `\"` on its line");
  p->bad = true;
}

void xlm_lex_single_quotes(xlm_parser *p, xlm_span s) {
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_STRING, s, "strings are in double quotes");
  uint32_t n = s.end - s.begin;
  if (n > 2 && n < 60 && p->source->text[s.end - 1] == '\'')
    xlm_diag_help(p->diags, g, "write `\"%s\"`", copy(p, (xlm_span){s.begin + 1, s.end - 1}));
  p->bad = true;
}

const char *xlm_lex_string(xlm_parser *p, xlm_span s) {
  const char *in = p->source->text + s.begin + 1, *end = p->source->text + s.end;
  if (end > in && end[-1] == in[-1]) end--;
  char *text = xlm_arena_alloc(p->arena, (size_t)(end - in) + 1), *out = text;
  for (; in < end; in++) {
    if (*in != '\\' || in + 1 == end) {
      *out++ = *in;
      continue;
    }
    in++;
    *out++ = *in == 'n' ? '\n' : *in;
    uint32_t at = (uint32_t)(in - p->source->text);
    if (!strchr("\\\"n", *in))
      xlm_diag_push(p->diags, XLM_E_ESCAPE, (xlm_span){at - 1, at + 1},
                    "only `\\\"`, `\\\\` and `\\n` may follow a backslash");
  }
  return text;
}

// --- stray characters and comments of other languages

static const struct {
  const char *sign, *meant;
} lookalikes[] = {
    {"\u201C", "\""}, {"\u201D", "\""}, {"\u2018", "\""}, {"\u2019", "\""}, {"\u2192", "->"},
    {"\u2212", "-"},  {"\u2013", "-"},  {"\u2014", "-"},  {"\u00D7", "*"},  {"\u00B7", "*"},
    {"\u00F7", "/"},  {"\u2260", "!="}, {"\u2264", "<="}, {"\u2265", ">="}, {"\u2026", ".."},
    {"\u223C", "~"},  {"\u00A0", " "},  {"\u3000", " "},
};

// Bytes that xlm_lex_check_bytes has already reported.
static bool only_reported_bytes(const unsigned char *s, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (s[i] && character(s + i, n - i)) return false;
  return true;
}

static void stray_help(xlm_parser *p, xlm_diag *g, const char *text) {
  for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
    if (strncmp(text, lookalikes[i].sign, strlen(lookalikes[i].sign))) continue;
    if (*lookalikes[i].meant == ' ')
      xlm_diag_help(p->diags, g, "this is a special space; use an ordinary one");
    else
      xlm_diag_help(p->diags, g, "write `%s`", lookalikes[i].meant);
    return;
  }
  if (*text == '?') xlm_diag_help(p->diags, g, "a choice is `if condition then a else b`");
  if ((unsigned char)*text >= 0x80)
    xlm_diag_help(p->diags, g, "names are made of the letters a-z and A-Z, digits and `_`");
}

void xlm_lex_stray(xlm_parser *p, xlm_span s) {
  const unsigned char *text = (const unsigned char *)p->source->text + s.begin;
  uint32_t n = s.end - s.begin;
  p->bad = true;
  if (only_reported_bytes(text, n)) return;
  bool printable = n <= 24;
  for (uint32_t i = 0, c; printable && i < n; i += c)
    printable = (c = character(text + i, n - i)) && text[i] > 0x20 && text[i] != 0x7F;
  bool one = character(text, n) == n;
  const char *plural = one ? "" : "s";
  xlm_diag *g = printable ? xlm_diag_push(p->diags, XLM_E_STRAY, s, "the character%s `%s` %s no meaning here",
                                          plural, copy(p, s), one ? "has" : "have")
                          : xlm_diag_push(p->diags, XLM_E_STRAY, s, "the character%s here %s no meaning",
                                          plural, one ? "has" : "have");
  stray_help(p, g, (const char *)text);
}

void xlm_lex_slashes(xlm_parser *p, xlm_span s, bool own_line) {
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_COMMENT_STYLE, (xlm_span){s.begin, s.begin + 2},
                              "`//` does not start a comment");
  xlm_diag_help(p->diags, g,
                own_line ? "comments start with `#`" : "comments start with `#`; to divide, write `/`");
  p->bad = true;
}

void xlm_lex_star_comment(xlm_parser *p, xlm_span s, bool closed) {
  xlm_span open = {s.begin, s.begin + 2};
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_COMMENT_STYLE, open, "`/*` does not start a comment");
  xlm_diag_help(p->diags, g, "start each line of the comment with `#`");
  if (!closed) xlm_diag_note(p->diags, g, "no `*/` follows; nothing after this place was read");
  p->bad = true;
}
