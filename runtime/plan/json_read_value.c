// Values of a saved plan: numbers, strings, names, lists and indices; see json_read_priv.h.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/plan/json_read_priv.h"

// "rank_plans[0].instructions[17]: "
static const char *place(const reader *r) {
  xlm_text t = xlm_text_new(r->a);
  for (int i = 0; i < r->depth; i++)
    xlm_text_printf(&t, "%s%s[%u]", i ? "." : "", r->at[i].list, r->at[i].index);
  return t.n ? xlm_arena_printf(r->a, "%s: ", t.data) : "";
}

void xlm_json_say(reader *r, const char *fmt, ...) {
  char text[512];
  va_list ap;
  if (r->failed) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  (void)xlm_fail(r->err, XLM_USER, "not a plan xlm can run: %s%s; make it again with `xlmc plan`", place(r),
                 text);
  r->failed = true;
}

void xlm_json_fail(reader *r, const char *what, const char *key) {
  xlm_json_say(r, "%s `%.100s`", what, key);
}

const json_t *xlm_json_entry(reader *r, int depth, const char *list, const json_t *v, uint32_t i) {
  r->at[depth].list = list;
  r->at[depth].index = i;
  r->depth = depth + 1;
  return json_array_get(v, i);
}

int64_t xlm_json_int(reader *r, const json_t *o, const char *key, int64_t low, int64_t high) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_integer(v) || json_integer_value(v) < low || json_integer_value(v) > high) {
    xlm_json_fail(r, "bad number", key);
    return low;
  }
  return json_integer_value(v);
}

int64_t xlm_json_int_or(reader *r, const json_t *o, const char *key, int64_t low, int64_t high,
                        int64_t unset) {
  return json_object_get(o, key) ? xlm_json_int(r, o, key, low, high) : unset;
}

double xlm_json_to_number(reader *r, const json_t *v, const char *key) {
  if (json_is_number(v)) return json_number_value(v);
  const char *s = json_string_value(v);
  if (s && !strcmp(s, "inf")) return INFINITY;
  if (s && !strcmp(s, "-inf")) return -INFINITY;
  if (s && !strcmp(s, "nan")) return NAN;
  xlm_json_fail(r, "bad number", key);
  return 0;
}

double xlm_json_number(reader *r, const json_t *o, const char *key) {
  return xlm_json_to_number(r, json_object_get(o, key), key);
}

const char *xlm_json_text(reader *r, const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (json_is_string(v)) return xlm_arena_strdup(r->a, json_string_value(v));
  xlm_json_fail(r, "missing text", key);
  return "";
}

const char *xlm_json_text_or_null(reader *r, const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  return !v || json_is_null(v) ? NULL : xlm_json_text(r, o, key);
}

bool xlm_json_bool(const json_t *o, const char *key) {
  return json_is_true(json_object_get(o, key));
}

const json_t *xlm_json_list(reader *r, const json_t *o, const char *key, size_t most, uint32_t *n) {
  const json_t *v = json_object_get(o, key);
  *n = 0;
  if (!json_is_array(v) || json_array_size(v) > most) {
    xlm_json_fail(r, "bad list", key);
    return NULL;
  }
  *n = (uint32_t)json_array_size(v);
  return v;
}

uint32_t *xlm_json_indices(reader *r, const json_t *o, const char *key, uint32_t low, uint32_t end,
                           uint32_t most, uint32_t *n) {
  const json_t *v = xlm_json_list(r, o, key, most, n);
  uint32_t *at = XLM_NEW_N(r->a, uint32_t, *n);
  for (uint32_t i = 0; i < *n; i++) {
    const json_t *x = json_array_get(v, i);
    if (!json_is_integer(x) || json_integer_value(x) < low || json_integer_value(x) >= end)
      xlm_json_fail(r, "index out of range in", key);
    else
      at[i] = (uint32_t)json_integer_value(x);
  }
  return at;
}

void xlm_json_to_longs(reader *r, const json_t *v, const char *key, uint64_t *at, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const json_t *x = json_array_get(v, i);
    if (!json_is_integer(x) || json_integer_value(x) < 0)
      xlm_json_fail(r, "bad number in", key);
    else
      at[i] = (uint64_t)json_integer_value(x);
  }
}

void xlm_json_longs(reader *r, const json_t *o, const char *key, uint64_t *at, uint32_t n) {
  uint32_t have;
  const json_t *v = xlm_json_list(r, o, key, n, &have);
  if (have != n) xlm_json_fail(r, "bad list", key);
  xlm_json_to_longs(r, v, key, at, have);
}

int xlm_json_enum(reader *r, const json_t *o, const char *key, xlm_enum set) {
  const json_t *v = json_object_get(o, key);
  return xlm_json_to_enum(r, v, key, set);
}

int xlm_json_to_enum(reader *r, const json_t *v, const char *key, xlm_enum set) {
  const char *name = json_string_value(v);
  int value = 0;
  if (!name) {
    xlm_json_fail(r, "no name:", key);
  } else if (!xlm_enum_find(set, name, &value)) {
    xlm_text names = xlm_text_new(r->a);
    xlm_enum_list(set, 0, &names);
    xlm_json_say(r, "`%s`: no %s is called `%.100s`: there are %s", key, xlm_enum_what(set), name,
                 names.data);
  }
  return value;
}

xlm_init xlm_json_init(reader *r, const json_t *v, const char *key) {
  xlm_init init = {.kind = (xlm_init_kind)xlm_json_to_enum(r, json_array_get(v, 0), key, XLM_ENUM_INIT)};
  size_t n = (size_t)xlm_init_numbers(init.kind);
  const json_t *code = json_array_get(v, n + 1);
  if (json_array_size(v) != n + 1 + (code != NULL))
    xlm_json_say(r, "`%s`: %s takes %d numbers", key, xlm_enum_name(XLM_ENUM_INIT, init.kind), (int)n);
  for (size_t i = 0; i < n; i++) init.x[i] = xlm_json_to_number(r, json_array_get(v, i + 1), key);
  if (code) init.code = xlm_json_code(r, code);
  const char *wrong = xlm_init_wrong(&init, r->a);
  if (wrong) xlm_json_say(r, "`%s`: %s", key, wrong);
  return init;
}
