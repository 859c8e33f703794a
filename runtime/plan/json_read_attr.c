// The attributes of an instruction of a saved plan. The verifier checks which values its operation accepts.
#include <string.h>

#include "runtime/plan/json_read_priv.h"

enum { MOST_INTS = 1 << 24 };

static void code_instr(reader *r, const json_t *v, xlm_code_instr *out, uint32_t defined) {
  const char *name = json_string_value(json_array_get(v, 0));
  int fn = 0;
  while (fn < XLM_FN_COUNT && (!name || strcmp(name, xlm_fn_name((xlm_fn)fn)))) fn++;
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
  const json_t *imm = json_array_get(v, 4);
  out->imm = fn == XLM_FN_CAST ? xlm_json_to_enum(r, imm, "code", XLM_ENUM_DTYPE)
                               : xlm_json_to_number(r, imm, "code");
}

const xlm_code *xlm_json_code(reader *r, const json_t *o) {
  xlm_code *c = XLM_NEW(r->a, xlm_code);
  uint32_t n, n_out;
  c->n_in = (uint16_t)xlm_json_int(r, o, "in", 0, XLM_CODE_MAX_IN);
  const json_t *at = xlm_json_list(r, o, "at", XLM_CODE_MAX, &n);
  xlm_code_instr *instrs = XLM_NEW_N(r->a, xlm_code_instr, n);
  for (uint32_t i = 0; i < n; i++) code_instr(r, json_array_get(at, i), &instrs[i], c->n_in + i);
  uint32_t *out = xlm_json_indices(r, o, "out", 0, c->n_in + n, XLM_CODE_MAX_OUT, &n_out);
  c->row = (uint16_t)xlm_json_int_or(r, o, "row", 0, XLM_MAX_RANK, 0);
  c->n_summed = (uint16_t)xlm_json_int_or(r, o, "summed", 0, n_out, 0);
  c->at = instrs;
  c->n = (uint16_t)n;
  c->n_out = (uint16_t)n_out;
  for (uint32_t i = 0; i < n_out; i++) c->out[i] = (uint16_t)out[i];
  return c;
}

static void bad(reader *r, const xlm_attr *a) {
  xlm_json_fail(r, "bad attribute", xlm_attr_name(a->key));
}

static void read_int(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_integer(v)) bad(r, a);
  a->i = json_integer_value(v);
}
static void read_float(reader *r, const json_t *v, xlm_attr *a) {
  a->f = xlm_json_to_number(r, v, xlm_attr_name(a->key));
}
static void read_enum(reader *r, const json_t *v, xlm_attr *a) {
  a->i = xlm_json_to_enum(r, v, xlm_attr_name(a->key), xlm_attr_set_of(a->key));
}

static void read_ints(reader *r, const json_t *v, xlm_attr *a) {
  xlm_enum set = xlm_attr_set_of(a->key);
  size_t n = json_array_size(v);
  if (!json_is_array(v) || n > MOST_INTS) {
    bad(r, a);
    return;
  }
  int64_t *at = XLM_NEW_N(r->a, int64_t, n);
  for (size_t i = 0; i < n; i++) {
    const json_t *x = json_array_get(v, i);
    if (set)
      at[i] = xlm_json_to_enum(r, x, xlm_attr_name(a->key), set);
    else if (json_is_integer(x))
      at[i] = json_integer_value(x);
    else
      bad(r, a);
  }
  a->n = (uint32_t)n;
  a->ints = at;
}

static void read_dims(reader *r, const json_t *v, xlm_attr *a) {
  size_t n = json_array_size(v);
  if (!json_is_array(v) || n > XLM_MAX_RANK) {
    bad(r, a);
    return;
  }
  a->n = (uint32_t)n;
  for (size_t i = 0; i < n; i++) {
    json_int_t d = json_integer_value(json_array_get(v, i));
    if (d < 1 || d >= r->n_dims)
      xlm_json_fail(r, "dimension out of range in", xlm_attr_name(a->key));
    else
      a->dims[i] = (xlm_dim)d;
  }
}

static void read_text(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_string(v)) bad(r, a);
  a->text = xlm_arena_strdup(r->a, json_is_string(v) ? json_string_value(v) : "");
}
static void read_code(reader *r, const json_t *v, xlm_attr *a) {
  a->code = xlm_json_code(r, v);
}

// Only data has initialisers and splits, and no instruction is data.
static void (*const read_attr[XLM_ATTR_KINDS])(reader *, const json_t *, xlm_attr *) = {
    [XLM_ATTR_INT] = read_int,   [XLM_ATTR_FLOAT] = read_float, [XLM_ATTR_ENUM] = read_enum,
    [XLM_ATTR_INTS] = read_ints, [XLM_ATTR_DIMS] = read_dims,   [XLM_ATTR_INIT] = NULL,
    [XLM_ATTR_SPLIT] = NULL,     [XLM_ATTR_TEXT] = read_text,   [XLM_ATTR_CODE] = read_code,
};

xlm_attrs xlm_json_attrs(reader *r, const json_t *o) {
  json_t *v = json_object_get(o, "attrs");
  if (!json_is_object(v)) xlm_json_fail(r, "missing", "attrs");
  xlm_attr *at = XLM_NEW_N(r->a, xlm_attr, json_object_size(v));
  uint16_t n = 0;
  const char *key;
  json_t *value;
  json_object_foreach(v, key, value) {
    bool known = xlm_attr_parse(key, &at[n].key) && read_attr[xlm_attr_kind_of(at[n].key)];
    if (known)
      read_attr[xlm_attr_kind_of(at[n].key)](r, value, &at[n]), n++;
    else
      xlm_json_fail(r, "unknown attribute", key);
  }
  return (xlm_attrs){.n = n, .at = at};
}
