// Values of a saved plan: numbers, strings, lists, indices and the attributes of instructions; see
// json_read_priv.h.
#include <math.h>
#include <string.h>

#include "runtime/plan/json_read_priv.h"

void xlm_json_fail(reader *r, const char *what, const char *key) {
  if (!r->failed)
    (void)xlm_fail(r->err, XLM_USER, "not a plan xlm can run: %s `%s`; make it again with `xlmc plan`", what,
                   key);
  r->failed = true;
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

static double xlm_json_to_number(reader *r, const json_t *v, const char *key) {
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

int xlm_json_name(reader *r, const json_t *o, const char *key, const char *(*name)(int), int n) {
  const char *s = json_string_value(json_object_get(o, key));
  for (int i = 0; s && i < n; i++)
    if (!strcmp(s, name(i))) return i;
  xlm_json_fail(r, "unknown", key);
  return 0;
}

// ---- attributes ----

static const char *fn_name(int i) {
  return xlm_fn_name((xlm_fn)i);
}

static void code_instr(reader *r, const json_t *v, xlm_code_instr *out, uint32_t defined) {
  const char *name = json_string_value(json_array_get(v, 0));
  int fn = 0;
  while (fn < XLM_FN_COUNT && (!name || strcmp(name, fn_name(fn)))) fn++;
  if (fn == XLM_FN_COUNT) {
    xlm_json_fail(r, "unknown function", name ? name : "?");
    return;
  }
  out->fn = (uint16_t)fn;
  for (int k = 0; k < 3; k++) {
    int64_t a = json_integer_value(json_array_get(v, (size_t)k + 1));
    if (k < xlm_fn_arity((xlm_fn)fn) && a != XLM_CODE_IMM && (a < 0 || a >= defined))
      xlm_json_fail(r, "bad register in", "code");
    out->a[k] = (uint16_t)a;
  }
  out->imm = xlm_json_to_number(r, json_array_get(v, 4), "code");
}

static const xlm_code *get_code(reader *r, const json_t *o) {
  xlm_code *c = XLM_NEW(r->a, xlm_code);
  uint32_t n, n_out;
  c->n_in = (uint16_t)xlm_json_int(r, o, "in", 0, XLM_CODE_MAX_IN);
  const json_t *at = xlm_json_list(r, o, "at", XLM_CODE_MAX, &n);
  xlm_code_instr *instrs = XLM_NEW_N(r->a, xlm_code_instr, n);
  for (uint32_t i = 0; i < n; i++) code_instr(r, json_array_get(at, i), &instrs[i], c->n_in + i);
  uint32_t *out = xlm_json_indices(r, o, "out", 0, c->n_in + n, XLM_CODE_MAX_OUT, &n_out);
  c->at = instrs;
  c->n = (uint16_t)n;
  c->n_out = (uint16_t)n_out;
  for (uint32_t i = 0; i < n_out; i++) c->out[i] = (uint16_t)out[i];
  return c;
}

static void read_int(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_integer(v)) xlm_json_fail(r, "bad attribute", xlm_attr_name(a->key));
  a->i = json_integer_value(v);
}
static void read_float(reader *r, const json_t *v, xlm_attr *a) {
  a->f = xlm_json_to_number(r, v, xlm_attr_name(a->key));
}
static void read_text(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_string(v)) xlm_json_fail(r, "bad attribute", xlm_attr_name(a->key));
  a->text = xlm_arena_strdup(r->a, json_is_string(v) ? json_string_value(v) : "");
}
static void read_code(reader *r, const json_t *v, xlm_attr *a) {
  a->code = get_code(r, v);
}
static void read_dims(reader *r, const json_t *v, xlm_attr *a) {
  size_t n = json_array_size(v);
  if (!json_is_array(v) || n > XLM_MAX_RANK) {
    xlm_json_fail(r, "bad attribute", xlm_attr_name(a->key));
    return;
  }
  a->n = (uint8_t)n;
  for (size_t i = 0; i < n; i++) {
    json_int_t d = json_integer_value(json_array_get(v, i));
    if (d < 1 || d >= r->n_dims)
      xlm_json_fail(r, "dimension out of range in", xlm_attr_name(a->key));
    else
      a->dims[i] = (xlm_dim)d;
  }
}

static void (*const read_attr[])(reader *, const json_t *, xlm_attr *) = {[XLM_ATTR_INT] = read_int,
                                                                          [XLM_ATTR_FLOAT] = read_float,
                                                                          [XLM_ATTR_DIMS] = read_dims,
                                                                          [XLM_ATTR_TEXT] = read_text,
                                                                          [XLM_ATTR_CODE] = read_code};

xlm_attrs xlm_json_attrs(reader *r, const json_t *o) {
  json_t *v = json_object_get(o, "attrs");
  if (!json_is_object(v)) xlm_json_fail(r, "missing", "attrs");
  xlm_attr *at = XLM_NEW_N(r->a, xlm_attr, json_object_size(v));
  uint16_t n = 0;
  const char *key;
  json_t *value;
  json_object_foreach(v, key, value) {
    if (!xlm_attr_parse(key, &at[n].key))
      xlm_json_fail(r, "unknown attribute", key);
    else
      read_attr[xlm_attr_kind_of(at[n].key)](r, value, &at[n]), n++;
  }
  return (xlm_attrs){.n = n, .at = at};
}
