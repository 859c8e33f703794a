// tokenizer.json of Hugging Face's `tokenizers`: the order of its sections, and values of its members.
#include "runtime/tokenizer/json_priv.h"

#include <stdlib.h>

#include "runtime/base/json_parse.h"

xlm_status xlm_json_refuse(const reader *r, const char *key, const json_t *value, const char *why) {
  char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  xlm_fail(r->err, XLM_USER, "%s: %s is %.200s%s, %s", r->t->path, key, text ? text : "missing",
           text && strlen(text) > 200 ? ".." : "", why);
  free(text);
  return XLM_USER;
}

static const json_t *member(const json_t *o, const char *key) { // NULL: absent or null
  const json_t *v = json_object_get(o, key);
  return json_is_null(v) ? NULL : v;
}

xlm_status xlm_json_get_bool(const reader *r, const json_t *o, const char *key, bool otherwise, bool *out) {
  const json_t *v = member(o, key);
  if (v && !json_is_boolean(v)) return xlm_json_refuse(r, key, v, "not true or false");
  *out = v ? json_is_true(v) : otherwise;
  return XLM_OK;
}

static span copy(const reader *r, const json_t *v) {
  size_t n = json_string_length(v);
  char *at = xlm_arena_alloc(r->t->arena, n + 1);
  memcpy(at, json_string_value(v), n);
  return (span){at, n};
}

xlm_status xlm_json_get_text(const reader *r, const json_t *o, const char *key, span *out) {
  const json_t *v = member(o, key);
  if (v && !json_is_string(v)) return xlm_json_refuse(r, key, v, "not a string");
  *out = v ? copy(r, v) : (span){NULL, 0};
  return XLM_OK;
}

xlm_status xlm_json_get_name(const reader *r, const json_t *o, const char *key, const char *const *names,
                             int otherwise, int *out) {
  const json_t *v = member(o, key);
  *out = otherwise;
  if (!v) return XLM_OK;
  for (int i = 0; names[i] && json_is_string(v); i++)
    if (!strcmp(json_string_value(v), names[i])) return *out = i, XLM_OK;
  return xlm_json_refuse(r, key, v, "which is not supported");
}

xlm_status xlm_json_get_pattern(const reader *r, const json_t *o, const char *key, const pattern **out) {
  const json_t *v = member(o, key), *text = json_object_get(v, "String");
  bool literal = json_is_string(text);
  if (!literal) text = json_object_get(v, "Regex");
  if (!json_is_string(text)) return xlm_json_refuse(r, key, v, "not {\"String\": text} or {\"Regex\": text}");
  xlm_status status = xlm_pattern_new(r->t->arena, json_string_value(text), json_string_length(text),
                                      literal ? PATTERN_LITERAL : PATTERN_ONIGURUMA, out, r->err);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(r->err, "%s", r->t->path);
}

static const json_t *sequence_of(const json_t *value) {
  static const char *const names[] = {"normalizers", "pretokenizers", "decoders", "processors"};
  const json_t *type = json_object_get(value, "type");
  if (!json_is_string(type) || strcmp(json_string_value(type), "Sequence")) return NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const json_t *list = json_object_get(value, names[i]);
    if (json_is_array(list)) return list;
  }
  return NULL;
}

static xlm_status each_step(reader *r, const char *key, const json_t *value, step_fn *fn, int depth) {
  const json_t *type = json_object_get(value, "type"), *steps = sequence_of(value), *step;
  size_t i;
  if (!json_is_string(type)) return xlm_json_refuse(r, key, value, "not an object with a type");
  if (!steps) {
    XLM_TRY(fn(r, value, json_string_value(type)));
    return XLM_OK;
  }
  if (depth > 8) return xlm_json_refuse(r, key, value, "sequences in sequences too deep");
  json_array_foreach(steps, i, step) XLM_TRY(each_step(r, key, step, fn, depth + 1));
  return XLM_OK;
}

xlm_status xlm_json_each_step(reader *r, const char *key, const json_t *value, step_fn *fn) {
  return !value || json_is_null(value) ? XLM_OK : each_step(r, key, value, fn, 0);
}

static xlm_status read_sections(reader *r) {
  if (!json_is_object(r->root) || !json_is_object(json_object_get(r->root, "model")))
    return xlm_fail(r->err, XLM_USER,
                    "%s: no \"model\" in it; a tokenizer.json of Hugging Face's tokenizers is needed",
                    r->t->path);
  XLM_TRY(xlm_json_read_normalizer(r));
  XLM_TRY(xlm_json_read_pre_tokenizer(r));
  XLM_TRY(xlm_json_read_model(r));
  XLM_TRY(xlm_json_read_added(r));
  XLM_TRY(xlm_json_read_decoder(r));
  XLM_TRY(xlm_json_read_post_processor(r));
  return xlm_json_read_roles(r);
}

static void release(void *root) {
  json_decref(root);
}

xlm_status xlm_read_tokenizer_json(xlm_tokenizer *t, xlm_error *err) {
  json_t *root;
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(t->arena, release);
  XLM_TRY(xlm_json_parse_file(t->path, JSON_ALLOW_NUL, &root, err));
  c->what = root;
  reader r = {t, root, err};
  xlm_status status = read_sections(&r);
  xlm_arena_clean_up(c);
  return status;
}
