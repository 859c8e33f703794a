// The attributes of a node, from the graph's text. The verifier checks which values its operation accepts.
#include <string.h>

#include "compiler/ir/build.h"
#include "compiler/ir/text_read_priv.h"
#include "runtime/plan/code.h"

static bool reg(reader *r, uint32_t limit, uint16_t *out) {
  const char *name;
  if (!xlm_lex_word(&r->x, false, &name)) return false;
  uint32_t v = name[0] == 'r' && name[1] ? 0 : UINT16_MAX;
  for (const char *s = name + 1; v < limit && *s; s++)
    v = xlm_lex_digit(*s) ? v * 10 + (uint32_t)(*s - '0') : UINT16_MAX;
  if (v >= limit) return xlm_lex_fail(&r->x, "`%.100s` is not a register that is set", name);
  *out = (uint16_t)v;
  return true;
}

static bool read_cast(reader *r, xlm_code_instr *out) { // the element type is its immediate number
  int dtype;
  if (!xlm_lex_want(&r->x, "to") || !xlm_text_named(r, XLM_ENUM_DTYPE, &dtype)) return false;
  out->imm = dtype;
  return true;
}

static bool read_row_attr(reader *r, xlm_code_instr *out) { // so is the attribute of a row function
  return xlm_lex_want(&r->x, xlm_attr_name(xlm_fn_attr((xlm_fn)out->fn))) && xlm_lex_double(&r->x, &out->imm);
}

static bool code_instr(reader *r, uint32_t limit, xlm_code_instr *out) {
  const char *name;
  if (!xlm_lex_word(&r->x, false, &name)) return false;
  int fn = 0;
  while (fn < XLM_FN_COUNT && strcmp(name, xlm_fn_name((xlm_fn)fn)) != 0) fn++;
  if (fn == XLM_FN_COUNT) return xlm_lex_fail(&r->x, "there is no function `%.100s`", name);
  out->fn = (uint16_t)fn;
  bool imm = false;
  for (int i = 0; i < xlm_fn_arity((xlm_fn)fn); i++) {
    if (!xlm_fn_is_row((unsigned)fn) && xlm_lex_try(&r->x, "#")) {
      if (imm) return xlm_lex_fail(&r->x, "two immediate numbers in one instruction");
      imm = true;
      out->a[i] = XLM_CODE_IMM;
      if (!xlm_lex_double(&r->x, &out->imm)) return false;
    } else if (!reg(r, limit, &out->a[i])) {
      return false;
    }
  }
  if (fn == XLM_FN_CAST && !read_cast(r, out)) return false;
  if (xlm_fn_is_row((unsigned)fn) && !read_row_attr(r, out)) return false;
  return xlm_lex_want(&r->x, ";");
}

// What follows its `<`.
static bool read_program(reader *r, xlm_attr *a) {
  xlm_code_instr at[XLM_CODE_MAX] = {{0}};
  xlm_code c = {0};
  uint32_t n_in, row = 0, whole = UINT32_MAX;
  if (!xlm_lex_want(&r->x, "in")) return false;
  if (!xlm_lex_uint(&r->x, 0, XLM_CODE_MAX_IN, &n_in) || !xlm_lex_want(&r->x, ";")) return false;
  if (xlm_lex_try(&r->x, "row") && (!xlm_lex_uint(&r->x, 1, XLM_MAX_RANK, &row) || !xlm_lex_want(&r->x, ";")))
    return false;
  while (!r->x.failed && !xlm_lex_try(&r->x, "out")) {
    if (c.n == XLM_CODE_MAX) return xlm_lex_fail(&r->x, "more than %d instructions", XLM_CODE_MAX);
    if (!code_instr(r, n_in + c.n, &at[c.n])) return false;
    c.n++;
  }
  while (!r->x.failed && !xlm_lex_try(&r->x, ">")) {
    if (c.n_out == XLM_CODE_MAX_OUT) return xlm_lex_fail(&r->x, "more than %d results", XLM_CODE_MAX_OUT);
    if (whole == UINT32_MAX && xlm_lex_try(&r->x, "sum")) whole = c.n_out;
    if (!reg(r, n_in + c.n, &c.out[c.n_out++])) return false;
  }
  c.n_in = (uint16_t)n_in;
  c.row = (uint16_t)row;
  c.n_summed = (uint16_t)(whole < c.n_out ? c.n_out - whole : 0);
  c.at = xlm_arena_grow(r->arena, at, c.n, c.n, sizeof *at);
  a->code = xlm_arena_grow(r->arena, &c, 1, 1, sizeof c);
  return !r->x.failed;
}

static bool read_code(reader *r, xlm_attr *a) {
  return xlm_lex_want(&r->x, "<") && read_program(r, a);
}

static bool read_int(reader *r, xlm_attr *a) {
  return xlm_lex_int(&r->x, INT64_MIN, INT64_MAX, &a->i);
}
static bool read_float(reader *r, xlm_attr *a) {
  return xlm_lex_double(&r->x, &a->f);
}
static bool read_dims(reader *r, xlm_attr *a) {
  uint8_t n;
  bool ok = xlm_text_dims(r, a->dims, &n);
  a->n = n;
  return ok;
}

static bool read_enum(reader *r, xlm_attr *a) {
  int value;
  if (!xlm_text_named(r, xlm_attr_set_of(a->key), &value)) return false;
  a->i = value;
  return true;
}

static bool read_ints(reader *r, xlm_attr *a) {
  xlm_enum set = xlm_attr_set_of(a->key);
  int64_t *at = NULL, v = 0;
  uint32_t cap = 0;
  if (!xlm_lex_want(&r->x, "[")) return false;
  if (xlm_lex_try(&r->x, "]")) return true;
  do {
    int value = 0;
    if (set ? !xlm_text_named(r, set, &value) : !xlm_lex_int(&r->x, INT64_MIN, INT64_MAX, &v)) return false;
    XLM_PUSH(r->arena, at, a->n, cap, set ? value : v);
  } while (xlm_lex_try(&r->x, ","));
  a->ints = at;
  return xlm_lex_want(&r->x, "]");
}

static bool read_init(reader *r, xlm_attr *a) {
  int kind;
  if (!xlm_text_named(r, XLM_ENUM_INIT, &kind)) return false;
  a->init.kind = (xlm_init_kind)kind;
  int n = xlm_init_numbers(a->init.kind);
  for (int i = 0; i < n; i++)
    if (!xlm_lex_want(&r->x, i ? "," : "(") || !xlm_lex_double(&r->x, &a->init.x[i])) return false;
  if (n && !xlm_lex_want(&r->x, ")")) return false;
  if (!xlm_lex_try(&r->x, "<")) return true;
  xlm_attr program = {0};
  if (!read_program(r, &program)) return false;
  a->init.code = program.code;
  return true;
}

static bool one_split(reader *r, xlm_override *s) {
  if (!xlm_lex_word(&r->x, true, &s->dim) || !xlm_lex_want(&r->x, "over")) return false;
  if (xlm_lex_try(&r->x, "none")) return true;
  do {
    if (s->n_axes == XLM_MAX_AXES) return xlm_lex_fail(&r->x, "more than %d mesh axes", XLM_MAX_AXES);
    if (!xlm_lex_word(&r->x, true, &s->axis[s->n_axes++])) return false;
  } while (xlm_lex_try(&r->x, "+"));
  return true;
}

static bool read_split(reader *r, xlm_attr *a) {
  xlm_override *at = NULL;
  uint32_t cap = 0;
  if (!xlm_lex_want(&r->x, "[")) return false;
  do {
    xlm_override s = {0};
    if (!one_split(r, &s)) return false;
    XLM_PUSH(r->arena, at, a->n, cap, s);
  } while (xlm_lex_try(&r->x, ","));
  a->split = at;
  return xlm_lex_want(&r->x, "]");
}

static bool read_text(reader *r, xlm_attr *a) {
  return xlm_lex_quoted(&r->x, &a->text);
}

static bool (*const attr_readers[XLM_ATTR_KINDS])(reader *, xlm_attr *) = {
    [XLM_ATTR_INT] = read_int,     [XLM_ATTR_FLOAT] = read_float, [XLM_ATTR_ENUM] = read_enum,
    [XLM_ATTR_INTS] = read_ints,   [XLM_ATTR_DIMS] = read_dims,   [XLM_ATTR_INIT] = read_init,
    [XLM_ATTR_SPLIT] = read_split, [XLM_ATTR_TEXT] = read_text,   [XLM_ATTR_CODE] = read_code,
};

bool xlm_text_attrs(reader *r, xlm_attrs *out) {
  xlm_attr_list l = xlm_attr_list_new(r->arena);
  if (!xlm_lex_try(&r->x, "{")) return true;
  do {
    const char *name;
    xlm_attr a = {0};
    if (!xlm_lex_word(&r->x, false, &name)) return false;
    if (!xlm_attr_parse(name, &a.key)) return xlm_lex_fail(&r->x, "there is no attribute `%.100s`", name);
    if (l.n && l.at[l.n - 1].key >= a.key) return xlm_lex_fail(&r->x, "attribute `%s` is out of order", name);
    if (!xlm_lex_want(&r->x, "=") || !attr_readers[xlm_attr_kind_of(a.key)](r, &a)) return false;
    xlm_attr_put(&l, a);
  } while (xlm_lex_try(&r->x, ","));
  *out = xlm_attr_freeze(&l);
  return xlm_lex_want(&r->x, "}");
}
