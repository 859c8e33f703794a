// One field of a line of JSON lines. jansson checks the line, UTF-8 included.
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/documents/documents_priv.h"

static const char *type_name(const json_t *v) {
  static const char *const names[] = {"an object", "an array", "text",  "a number",
                                      "a number",  "true",     "false", "null"};
  return names[json_typeof(v)];
}

static xlm_status find(const json_t *line, const char *field, const json_t **out, xlm_error *err) {
  if (!json_is_object(line))
    return xlm_fail(err, XLM_USER, "the line is %s, not a JSON object", type_name(line));
  *out = json_object_get(line, field);
  if (json_is_string(*out)) return XLM_OK;
  if (*out)
    return xlm_fail(err, XLM_USER, "its \"%s\" is %s, not text (--text-field names another field)", field,
                    type_name(*out));
  xlm_fail(err, XLM_USER, "the object has no \"%s\"; it has", field);
  size_t n = strlen(err->text), shown = 0;
  const char *key;
  json_t *unused;
  json_object_foreach((json_t *)(uintptr_t)line, key, unused) {
    if (shown++ == 8) break;
    n += (size_t)snprintf(err->text + n, sizeof err->text - n, "%s \"%.40s\"", shown > 1 ? "," : "", key);
  }
  snprintf(err->text + n, sizeof err->text - n, "%s: --text-field NAME says where the text is",
           shown ? shown > 8 ? ", .." : "" : " nothing");
  return XLM_USER;
}

xlm_status xlm_json_field(char *text, size_t *n, const char *field, xlm_error *err) {
  json_t *line = NULL;
  const json_t *value = NULL;
  xlm_error local;
  if (!err) err = &local;
  XLM_TRY(xlm_json_parse(text, *n, JSON_ALLOW_NUL | JSON_DECODE_ANY, "a line of JSON", &line, err));
  xlm_status s = find(line, field, &value, err);
  if (s == XLM_OK) { // escapes are longer than what they stand for
    *n = json_string_length(value);
    memcpy(text, json_string_value(value), *n);
  }
  json_decref(line);
  return s;
}
