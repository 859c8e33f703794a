// Values in the JSON of a plan: numbers, lists, attributes, initialisers, programs.
#include <math.h>

#include "runtime/plan/json_write_priv.h"

void xlm_json_put_number(xlm_json *j, const char *key, double x) {
  if (isfinite(x))
    xlm_json_put_real(j, key, x);
  else
    xlm_json_put_text(j, key, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

void xlm_json_put_ints(xlm_json *j, const char *key, const uint32_t *at, uint32_t n) {
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (uint32_t i = 0; i < n; i++) xlm_json_put_int(j, NULL, at[i]);
  xlm_json_close(j);
}

void xlm_json_put_longs(xlm_json *j, const char *key, const uint64_t *at, int64_t n) {
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (int64_t i = 0; i < n; i++) xlm_json_put_int(j, NULL, (int64_t)at[i]);
  xlm_json_close(j);
}

static void code(xlm_json *j, const char *key, const xlm_code *c) {
  xlm_json_object(j, key, XLM_JSON_ROW);
  xlm_json_put_int(j, "in", c->n_in);
  if (c->row) xlm_json_put_int(j, "row", c->row);
  if (c->n_summed) xlm_json_put_int(j, "summed", c->n_summed);
  xlm_json_array(j, "out", XLM_JSON_ROW);
  for (int i = 0; i < c->n_out; i++) xlm_json_put_int(j, NULL, c->out[i]);
  xlm_json_close(j);
  xlm_json_array(j, "at", XLM_JSON_ROW);
  for (int i = 0; i < c->n; i++) {
    const xlm_code_instr *in = &c->at[i];
    xlm_json_array(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, NULL, xlm_fn_name((xlm_fn)in->fn));
    for (int k = 0; k < 3; k++) xlm_json_put_int(j, NULL, in->a[k]);
    if (in->fn == XLM_FN_CAST)
      xlm_json_put_text(j, NULL, xlm_enum_name(XLM_ENUM_DTYPE, (int64_t)in->imm));
    else
      xlm_json_put_number(j, NULL, in->imm);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}

static void write_int(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_put_int(j, key, a->i);
}
static void write_float(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_put_number(j, key, a->f);
}
static void write_enum(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_put_text(j, key, xlm_enum_name(xlm_attr_set_of(a->key), a->i));
}
static void write_ints(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_enum set = xlm_attr_set_of(a->key);
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (uint32_t i = 0; i < a->n; i++)
    if (set)
      xlm_json_put_text(j, NULL, xlm_enum_name(set, a->ints[i]));
    else
      xlm_json_put_int(j, NULL, a->ints[i]);
  xlm_json_close(j);
}
static void write_text(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_put_text(j, key, a->text);
}
static void write_code(xlm_json *j, const char *key, const xlm_attr *a) {
  code(j, key, a->code);
}
static void write_dims(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (uint32_t i = 0; i < a->n; i++) xlm_json_put_int(j, NULL, a->dims[i]);
  xlm_json_close(j);
}

// Only data has initialisers and splits, and no instruction is data.
static void (*const write_attr[XLM_ATTR_KINDS])(xlm_json *, const char *, const xlm_attr *) = {
    [XLM_ATTR_INT] = write_int,   [XLM_ATTR_FLOAT] = write_float, [XLM_ATTR_ENUM] = write_enum,
    [XLM_ATTR_INTS] = write_ints, [XLM_ATTR_DIMS] = write_dims,   [XLM_ATTR_INIT] = NULL,
    [XLM_ATTR_SPLIT] = NULL,      [XLM_ATTR_TEXT] = write_text,   [XLM_ATTR_CODE] = write_code,
};

void xlm_json_put_attrs(xlm_json *j, const xlm_attrs *as) {
  xlm_json_object(j, "attrs", XLM_JSON_ROW);
  for (int i = 0; i < as->n; i++)
    write_attr[xlm_attr_kind_of(as->at[i].key)](j, xlm_attr_name(as->at[i].key), &as->at[i]);
  xlm_json_close(j);
}

void xlm_json_put_init(xlm_json *j, const char *key,
                       const xlm_init *x) { // ["normal", 0.02], then a program if there is one
  xlm_json_array(j, key, XLM_JSON_ROW);
  xlm_json_put_text(j, NULL, xlm_enum_name(XLM_ENUM_INIT, x->kind));
  for (int i = 0; i < xlm_init_numbers(x->kind); i++) xlm_json_put_number(j, NULL, x->x[i]);
  if (x->code) code(j, NULL, x->code);
  xlm_json_close(j);
}
