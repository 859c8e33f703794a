// See prompts.h.
#include "tools/xlmrun/prompts.h"

#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/base/map.h"

typedef struct reader {
  session *s;
  prompts *out;
  int64_t cap;
  const char *path;
  bool json;
} reader;

static void add(reader *r, const char *text, size_t n, const char *where) {
  prompt p = {xlm_arena_strndup(r->s->arena, text, n), n, where};
  XLM_PUSH(r->s->arena, r->out->at, r->out->n, r->cap, p);
}

static xlm_status add_json(reader *r, const char *line, size_t n, const char *where) {
  json_t *j;
  xlm_error why = {0};
  xlm_status status = xlm_json_parse(line, n, JSON_ALLOW_NUL, r->path, &j, &why);
  if (status == XLM_USER) return xlm_fail(&r->s->err, XLM_USER, "%s: no JSON: %s", where, why.text);
  if (status != XLM_OK) return r->s->err = why, status;
  const json_t *text = json_object_get(j, "prompt");
  if (json_is_string(text)) add(r, json_string_value(text), json_string_length(text), where);
  bool good = json_is_string(text);
  json_decref(j);
  return good ? XLM_OK
              : xlm_fail(&r->s->err, XLM_USER,
                         "%s: a line of prompts is an object with a text in the field `prompt`, as "
                         "{\"prompt\": \"Once upon a time\"}",
                         where);
}

static bool is_blank(const char *line, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strchr(" \t\r", line[i])) return false;
  return true;
}

static xlm_status add_line(reader *r, const char *line, size_t n, int64_t number) {
  if (n && line[n - 1] == '\r') n--;
  if (is_blank(line, n)) return XLM_OK;
  const char *where = xlm_arena_printf(r->s->arena, "%s:%lld", r->path, (long long)number);
  if (r->json) return add_json(r, line, n, where);
  add(r, line, n, where);
  return XLM_OK;
}

static xlm_status add_lines(reader *r, const char *text, size_t n) {
  int64_t number = 0, before = r->out->n;
  for (size_t at = 0; at < n;) {
    const char *end = memchr(text + at, '\n', n - at);
    size_t length = end ? (size_t)(end - text) - at : n - at;
    XLM_TRY(add_line(r, text + at, length, ++number));
    at += length + 1;
  }
  if (r->out->n > before) return XLM_OK;
  return xlm_fail(&r->s->err, XLM_USER, "--prompts: '%s' has no prompts: one per line, or JSON lines",
                  r->path);
}

static xlm_status add_file(reader *r) {
  xlm_map m;
  XLM_TRY(xlm_map_open(r->path, &m, &r->s->err));
  size_t n = strlen(r->path);
  r->json = n > 6 && !strcmp(r->path + n - 6, ".jsonl");
  xlm_status status = add_lines(r, (const char *)m.data, m.n);
  xlm_map_close(&m);
  return status;
}

xlm_status prompts_read(session *s, prompts *out) {
  const xlm_setting_value *given = &s->settings->value[XLM_SET_prompt];
  reader r = {.s = s, .out = out, .path = xlm_setting_text(s->settings, XLM_SET_prompts)};
  *out = (prompts){0};
  for (int i = 0; i < given->n; i++) add(&r, given->list[i], strlen(given->list[i]), "--prompt");
  if (*r.path) XLM_TRY(add_file(&r));
  if (!out->n) add(&r, "", 0, "--prompt");
  return XLM_OK;
}
