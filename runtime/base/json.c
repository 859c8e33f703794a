// See json.h.
#include "runtime/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void flush(xlm_json *j) {
  if (j->n && j->status == XLM_OK) j->status = j->sink(j->arg, j->buffer, j->n, j->err);
  j->n = 0;
}

static void add(xlm_json *j, const char *s, size_t n) {
  if (j->text) {
    xlm_text_addn(j->text, s, n);
    return;
  }
  while (n) {
    size_t part = XLM_JSON_BUFFER - j->n < n ? XLM_JSON_BUFFER - j->n : n;
    memcpy(j->buffer + j->n, s, part);
    j->n += part, s += part, n -= part;
    if (j->n == XLM_JSON_BUFFER) flush(j);
  }
}

static void add_text(xlm_json *j, const char *s) {
  add(j, s, strlen(s));
}

void xlm_json_to_text(xlm_json *j, xlm_text *t) {
  memset(j, 0, offsetof(xlm_json, buffer));
  j->text = t;
}

void xlm_json_to_sink(xlm_json *j, xlm_json_sink *sink, void *arg, xlm_error *err) {
  memset(j, 0, offsetof(xlm_json, buffer));
  j->sink = sink, j->arg = arg, j->err = err;
}

void xlm_json_for_html(xlm_json *j) {
  j->in_html = true;
}

xlm_status xlm_json_finish(xlm_json *j) {
  XLM_ASSERT(j->depth == 0, "%d brackets are open", j->depth);
  flush(j);
  return j->status;
}

// ---- texts ----

static bool is_plain(const xlm_json *j, unsigned char c) {
  return c >= 0x20 && c != '"' && c != '\\' && !(j->in_html && c == '<');
}

static void add_escaped(xlm_json *j, unsigned char c) {
  static const char of['\\' + 1] = {
      ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};
  char escaped[8];
  snprintf(escaped, sizeof escaped, of[c] ? "\\%c" : "\\u%04x", of[c] ? of[c] : c);
  add_text(j, escaped);
}

static void add_string(xlm_json *j, const char *s, size_t n) {
  size_t from = 0, size;
  add(j, "\"", 1);
  for (size_t i = 0; i < n; i += size) {
    const unsigned char *at = (const unsigned char *)s + i;
    size = xlm_text_character(at, n - i);
    if (size > 1 || (size == 1 && is_plain(j, *at))) continue;
    add(j, s + from, i - from);
    if (size)
      add_escaped(j, *at);
    else
      add_text(j, "\xEF\xBF\xBD"), size = 1;
    from = i + size;
  }
  add(j, s + from, n - from);
  add(j, "\"", 1);
}

// ---- structure ----

static void new_line(xlm_json *j, int depth) {
  add(j, "\n", 1);
  for (int i = 0; i < depth; i++) add(j, "  ", 2);
}

// Writes what precedes a value: a comma, white space, its key.
static void begin(xlm_json *j, const char *key) {
  if (!j->depth) return;
  bool *any = &j->open[j->depth - 1].any, first = !*any;
  xlm_json_style style = (xlm_json_style)j->open[j->depth - 1].style;
  XLM_ASSERT((j->open[j->depth - 1].close == '}') == (key != NULL), "a key in a list, or none in an object");
  *any = true;
  if (!first) add(j, ", ", style == XLM_JSON_ROW ? 2 : 1);
  if (style == XLM_JSON_LINES) new_line(j, j->depth);
  if (!key) return;
  add_string(j, key, strlen(key));
  add(j, ": ", style == XLM_JSON_DENSE ? 1 : 2);
}

static void open_bracket(xlm_json *j, const char *key, char bracket, char closes, xlm_json_style style) {
  begin(j, key);
  XLM_ASSERT(j->depth < XLM_JSON_DEPTH, "nested too deep");
  j->open[j->depth].close = closes;
  j->open[j->depth].style = (uint8_t)style;
  j->open[j->depth++].any = false;
  add(j, &bracket, 1);
}

void xlm_json_object(xlm_json *j, const char *key, xlm_json_style style) {
  open_bracket(j, key, '{', '}', style);
}

void xlm_json_array(xlm_json *j, const char *key, xlm_json_style style) {
  open_bracket(j, key, '[', ']', style);
}

void xlm_json_close(xlm_json *j) {
  XLM_ASSERT(j->depth > 0, "nothing is open");
  j->depth--;
  if (j->open[j->depth].any && j->open[j->depth].style == XLM_JSON_LINES) new_line(j, j->depth);
  add(j, &j->open[j->depth].close, 1);
}

// ---- values ----

void xlm_json_put_made(xlm_json *j, const char *key, const char *json) {
  begin(j, key);
  add_text(j, json);
}

void xlm_json_put_null(xlm_json *j, const char *key) {
  xlm_json_put_made(j, key, "null");
}

void xlm_json_put_bool(xlm_json *j, const char *key, bool value) {
  xlm_json_put_made(j, key, value ? "true" : "false");
}

void xlm_json_put_textn(xlm_json *j, const char *key, const char *value, size_t n) {
  begin(j, key);
  add_string(j, value, n);
}

void xlm_json_put_text(xlm_json *j, const char *key, const char *value) {
  if (value)
    xlm_json_put_textn(j, key, value, strlen(value));
  else
    xlm_json_put_null(j, key);
}

void xlm_json_put_int(xlm_json *j, const char *key, int64_t value) {
  char number[32];
  snprintf(number, sizeof number, "%" PRId64, value);
  xlm_json_put_made(j, key, number);
}

void xlm_json_put_rounded(xlm_json *j, const char *key, double value, int digits) {
  char number[48];
  int n = snprintf(number, sizeof number, "%.*g", digits < 17 ? digits : 17, value);
  if (!strpbrk(number, ".e")) snprintf(number + n, sizeof number - (size_t)n, ".0");
  xlm_json_put_made(j, key, isfinite(value) ? number : "null");
}

void xlm_json_put_real(xlm_json *j, const char *key, double value) {
  char number[40];
  int digits = 15;
  for (; digits < 17; digits++) {
    snprintf(number, sizeof number, "%.*g", digits, value);
    if (strtod(number, NULL) == value) break;
  }
  xlm_json_put_rounded(j, key, value, digits);
}
