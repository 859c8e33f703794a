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

static prompt *add(reader *r, const char *text, size_t n, const char *where) {
  prompt p = {.text = xlm_arena_strndup(r->s->arena, text, n), .n = n, .where = where, .given = true};
  XLM_PUSH(r->s->arena, r->out->at, r->out->n, r->cap, p);
  return &r->out->at[r->out->n - 1];
}

// ---- JSON lines

enum { DEEPEST = 16 }; // lists in lists

// The numbers of a list, to `to` if it is not NULL; -1: there is something else in it.
static int64_t flatten(const json_t *list, double *to, int depth) {
  int64_t n = 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *x = json_array_get(list, i);
    int64_t inner = json_is_array(x) && depth < DEEPEST ? flatten(x, to ? to + n : NULL, depth + 1) : 1;
    if (inner < 0 || !(json_is_number(x) || json_is_array(x))) return -1;
    if (to && json_is_number(x)) to[n] = json_number_value(x);
    n += inner;
  }
  return n;
}

static bool read_field(reader *r, const char *name, const json_t *x, prompt_field *out) {
  xlm_arena *a = r->s->arena;
  int64_t n = json_is_array(x) ? flatten(x, NULL, 0) : -1;
  *out = (prompt_field){.name = xlm_arena_strdup(a, name)};
  if (json_is_string(x)) {
    out->n = json_string_length(x);
    out->text = xlm_arena_strndup(a, json_string_value(x), out->n);
  } else if (n >= 0) {
    double *numbers = XLM_NEW_N(a, double, n ? n : 1);
    out->n_numbers = flatten(x, numbers, 0);
    out->numbers = numbers;
  }
  return out->text || out->numbers;
}

static void add_object(reader *r, json_t *j, const char *where) {
  const json_t *text = json_object_get(j, "prompt");
  prompt_field *fields = XLM_NEW_N(r->s->arena, prompt_field, json_object_size(j) + 1);
  int n = 0;
  const char *name;
  json_t *x;
  json_object_foreach(j, name, x) if (x != text && read_field(r, name, x, &fields[n])) n++;
  prompt *p = text ? add(r, json_string_value(text), json_string_length(text), where) : add(r, "", 0, where);
  p->given = text != NULL;
  p->fields = fields, p->n_fields = n;
}

xlm_status prompts_missing(session *s, const prompt *p) {
  return xlm_fail(&s->err, XLM_USER,
                  "%s: a line of prompts is an object with a text in the field `prompt`, as "
                  "{\"prompt\": \"Once upon a time\"}",
                  p->where);
}

static xlm_status add_json(reader *r, const char *line, size_t n, const char *where) {
  json_t *j;
  xlm_error why = {0};
  xlm_status status = xlm_json_parse(line, n, JSON_ALLOW_NUL, r->path, &j, &why);
  if (status == XLM_USER) return xlm_fail(&r->s->err, XLM_USER, "%s: no JSON: %s", where, why.text);
  if (status != XLM_OK) return r->s->err = why, status;
  const json_t *text = json_object_get(j, "prompt");
  bool good = text ? json_is_string(text) : json_object_size(j) > 0;
  if (good) add_object(r, j, where);
  json_decref(j);
  return good ? XLM_OK : prompts_missing(r->s, &(prompt){.where = where});
}

// ---- lines

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
