// Reads a saved plan. The file is not trusted: every index, size and offset is checked before anything uses
// it.
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "runtime/plan/plan.h"

typedef struct reader {
  xlm_arena *a;
  xlm_error *err;
  bool failed;
  uint32_t n_dims, n_tensors, n_instrs, n_segments; // of the class being read
} reader;

static void fail(reader *r, const char *what, const char *key) {
  if (!r->failed)
    (void)xlm_fail(r->err, XLM_USER, "not a plan xlm can run: %s `%s`; make it again with `xlmc plan`", what,
                   key);
  r->failed = true;
}

static int64_t get_int(reader *r, const json_t *o, const char *key, int64_t low, int64_t high) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_integer(v) || json_integer_value(v) < low || json_integer_value(v) > high) {
    fail(r, "bad number", key);
    return low;
  }
  return json_integer_value(v);
}

static int64_t get_int_or(reader *r, const json_t *o, const char *key, int64_t low, int64_t high,
                          int64_t unset) {
  return json_object_get(o, key) ? get_int(r, o, key, low, high) : unset;
}

static double to_number(reader *r, const json_t *v, const char *key) {
  if (json_is_number(v)) return json_number_value(v);
  const char *s = json_string_value(v);
  if (s && !strcmp(s, "inf")) return INFINITY;
  if (s && !strcmp(s, "-inf")) return -INFINITY;
  if (s && !strcmp(s, "nan")) return NAN;
  fail(r, "bad number", key);
  return 0;
}

static double get_number(reader *r, const json_t *o, const char *key) {
  return to_number(r, json_object_get(o, key), key);
}

static const char *get_text(reader *r, const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (json_is_string(v)) return xlm_arena_strdup(r->a, json_string_value(v));
  fail(r, "missing text", key);
  return "";
}

static const char *get_text_or_null(reader *r, const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  return !v || json_is_null(v) ? NULL : get_text(r, o, key);
}

static bool get_bool(const json_t *o, const char *key) {
  return json_is_true(json_object_get(o, key));
}

static const json_t *get_list(reader *r, const json_t *o, const char *key, size_t most, uint32_t *n) {
  const json_t *v = json_object_get(o, key);
  *n = 0;
  if (!json_is_array(v) || json_array_size(v) > most) {
    fail(r, "bad list", key);
    return NULL;
  }
  *n = (uint32_t)json_array_size(v);
  return v;
}

static uint32_t *get_indices(reader *r, const json_t *o, const char *key, uint32_t low, uint32_t end,
                             uint32_t most, uint32_t *n) {
  const json_t *v = get_list(r, o, key, most, n);
  uint32_t *at = XLM_NEW_N(r->a, uint32_t, *n);
  for (uint32_t i = 0; i < *n; i++) {
    const json_t *x = json_array_get(v, i);
    if (!json_is_integer(x) || json_integer_value(x) < low || json_integer_value(x) >= end)
      fail(r, "index out of range in", key);
    else
      at[i] = (uint32_t)json_integer_value(x);
  }
  return at;
}

static void to_longs(reader *r, const json_t *v, const char *key, uint64_t *at, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const json_t *x = json_array_get(v, i);
    if (!json_is_integer(x) || json_integer_value(x) < 0)
      fail(r, "bad number in", key);
    else
      at[i] = (uint64_t)json_integer_value(x);
  }
}

static void get_longs(reader *r, const json_t *o, const char *key, uint64_t *at, uint32_t n) {
  uint32_t have;
  const json_t *v = get_list(r, o, key, n, &have);
  if (have != n) fail(r, "bad list", key);
  to_longs(r, v, key, at, have);
}

static int parse_name(reader *r, const json_t *o, const char *key, const char *(*name)(int), int n) {
  const char *s = json_string_value(json_object_get(o, key));
  for (int i = 0; s && i < n; i++)
    if (!strcmp(s, name(i))) return i;
  fail(r, "unknown", key);
  return 0;
}

static const char *class_name(int i) {
  return xlm_class_name((xlm_class)i);
}
static const char *segment_name(int i) {
  return xlm_segment_name((xlm_segment_kind)i);
}
static const char *dtype_name(int i) {
  return xlm_dtype_name((xlm_dtype)i);
}
static const char *fn_name(int i) {
  return xlm_fn_name((xlm_fn)i);
}

// ---- attributes ----

static void code_instr(reader *r, const json_t *v, xlm_code_instr *out, uint32_t defined) {
  const char *name = json_string_value(json_array_get(v, 0));
  int fn = 0;
  while (fn < XLM_FN_COUNT && (!name || strcmp(name, fn_name(fn)))) fn++;
  if (fn == XLM_FN_COUNT) {
    fail(r, "unknown function", name ? name : "?");
    return;
  }
  out->fn = (uint16_t)fn;
  for (int k = 0; k < 3; k++) {
    int64_t a = json_integer_value(json_array_get(v, (size_t)k + 1));
    if (k < xlm_fn_arity((xlm_fn)fn) && a != XLM_CODE_IMM && (a < 0 || a >= defined))
      fail(r, "bad register in", "code");
    out->a[k] = (uint16_t)a;
  }
  out->imm = to_number(r, json_array_get(v, 4), "code");
}

static const xlm_code *get_code(reader *r, const json_t *o) {
  xlm_code *c = XLM_NEW(r->a, xlm_code);
  uint32_t n, n_out;
  c->n_in = (uint16_t)get_int(r, o, "in", 0, XLM_CODE_MAX_IN);
  const json_t *at = get_list(r, o, "at", XLM_CODE_MAX, &n);
  xlm_code_instr *instrs = XLM_NEW_N(r->a, xlm_code_instr, n);
  for (uint32_t i = 0; i < n; i++) code_instr(r, json_array_get(at, i), &instrs[i], c->n_in + i);
  uint32_t *out = get_indices(r, o, "out", 0, c->n_in + n, XLM_CODE_MAX_OUT, &n_out);
  c->at = instrs;
  c->n = (uint16_t)n;
  c->n_out = (uint16_t)n_out;
  for (uint32_t i = 0; i < n_out; i++) c->out[i] = (uint16_t)out[i];
  return c;
}

static void read_int(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_integer(v)) fail(r, "bad attribute", xlm_attr_name(a->key));
  a->i = json_integer_value(v);
}
static void read_float(reader *r, const json_t *v, xlm_attr *a) {
  a->f = to_number(r, v, xlm_attr_name(a->key));
}
static void read_text(reader *r, const json_t *v, xlm_attr *a) {
  if (!json_is_string(v)) fail(r, "bad attribute", xlm_attr_name(a->key));
  a->text = xlm_arena_strdup(r->a, json_is_string(v) ? json_string_value(v) : "");
}
static void read_code(reader *r, const json_t *v, xlm_attr *a) {
  a->code = get_code(r, v);
}
static void read_dims(reader *r, const json_t *v, xlm_attr *a) {
  size_t n = json_array_size(v);
  if (!json_is_array(v) || n > XLM_MAX_RANK) {
    fail(r, "bad attribute", xlm_attr_name(a->key));
    return;
  }
  a->n = (uint8_t)n;
  for (size_t i = 0; i < n; i++) {
    json_int_t d = json_integer_value(json_array_get(v, i));
    if (d < 1 || d >= r->n_dims)
      fail(r, "dimension out of range in", xlm_attr_name(a->key));
    else
      a->dims[i] = (xlm_dim)d;
  }
}

static void (*const read_attr[])(reader *, const json_t *, xlm_attr *) = {[XLM_ATTR_INT] = read_int,
                                                                          [XLM_ATTR_FLOAT] = read_float,
                                                                          [XLM_ATTR_DIMS] = read_dims,
                                                                          [XLM_ATTR_TEXT] = read_text,
                                                                          [XLM_ATTR_CODE] = read_code};

static xlm_attrs get_attrs(reader *r, const json_t *o) {
  json_t *v = json_object_get(o, "attrs");
  if (!json_is_object(v)) fail(r, "missing", "attrs");
  xlm_attr *at = XLM_NEW_N(r->a, xlm_attr, json_object_size(v));
  uint16_t n = 0;
  const char *key;
  json_t *value;
  json_object_foreach(v, key, value) {
    if (!xlm_attr_parse(key, &at[n].key))
      fail(r, "unknown attribute", key);
    else
      read_attr[xlm_attr_kind_of(at[n].key)](r, value, &at[n]), n++;
  }
  return (xlm_attrs){.n = n, .at = at};
}

// ---- tables ----

static xlm_dim_info read_dim(reader *r, const json_t *o) {
  const int64_t most = (int64_t)1 << 40;
  return (xlm_dim_info){.name = get_text(r, o, "name"),
                        .size = get_int(r, o, "size", 0, most),
                        .full = get_int(r, o, "full", 0, most),
                        .offset = get_int(r, o, "offset", 0, most),
                        .tail = get_int_or(r, o, "tail", 0, most, 0),
                        .tail_offset = get_int_or(r, o, "tail_offset", 0, most, 0),
                        .axes = (uint32_t)get_int(r, o, "axes", 0, 255),
                        .mirrored = (uint32_t)get_int_or(r, o, "mirrored", 0, 255, 0),
                        .ragged = get_bool(o, "ragged"),
                        .grain = get_int_or(r, o, "grain", 1, most, 0)};
}

static xlm_tensor read_tensor(reader *r, const json_t *o, const xlm_rank_plan *p, uint32_t index) {
  uint32_t rank;
  uint32_t *dims = get_indices(r, o, "dims", 1, r->n_dims, XLM_MAX_RANK, &rank);
  xlm_tensor t = {.name = get_text_or_null(r, o, "name"),
                  .class = (xlm_class)parse_name(r, o, "class", class_name, XLM_CLASSES),
                  .area = (xlm_area)get_int(r, o, "area", 0, XLM_AREAS - 1),
                  .offset = (uint64_t)get_int(r, o, "offset", 0, INT64_MAX),
                  .bytes = (uint64_t)get_int(r, o, "bytes", 0, INT64_MAX),
                  .view_of = (uint32_t)get_int_or(r, o, "view_of", 1, index - 1, 0),
                  .partial = (uint32_t)get_int_or(r, o, "partial", 0, 255, 0),
                  .line = (uint32_t)get_int(r, o, "line", 0, UINT32_MAX)};
  t.type.dtype = (xlm_dtype)parse_name(r, o, "dtype", dtype_name, XLM_DTYPE_COUNT);
  t.type.rank = (uint8_t)rank;
  for (uint32_t i = 0; i < rank; i++) t.type.dim[i] = dims[i];
  if (r->failed) return t;
  uint64_t room = xlm_plan_room(p, t.area);
  if (t.bytes != xlm_type_bytes(&t.type, p->dims))
    fail(r, "size of tensor does not follow from its type", t.name ? t.name : "?");
  else if (t.bytes > room || t.offset > room - t.bytes)
    fail(r, "tensor lies outside its area", t.name ? t.name : "?");
  return t;
}

static xlm_instr read_instr(reader *r, const json_t *o, const xlm_rank_plan *p) {
  uint32_t n_in, n_out;
  xlm_instr i = {.op = get_text(r, o, "op"), .attrs = get_attrs(r, o)};
  i.in = get_indices(r, o, "in", 1, r->n_tensors, UINT16_MAX, &n_in);
  i.out = get_indices(r, o, "out", 1, r->n_tensors, UINT16_MAX, &n_out);
  i.n_in = (uint16_t)n_in;
  i.n_out = (uint16_t)n_out;
  i.stream = (xlm_stream)get_int_or(r, o, "stream", 0, XLM_STREAMS - 1, 0);
  i.after = (uint32_t)get_int_or(r, o, "after", 0, r->n_instrs, 0);
  i.workspace = (uint64_t)get_int(r, o, "workspace", 0, INT64_MAX);
  i.workspace_at = (uint64_t)get_int(r, o, "workspace_at", 0, INT64_MAX);
  i.flops = get_number(r, o, "flops");
  i.model_flops = get_number(r, o, "model_flops");
  i.bytes = get_number(r, o, "bytes");
  i.line = (uint32_t)get_int(r, o, "line", 0, UINT32_MAX);
  i.scope = get_text(r, o, "scope");
  uint64_t room = p->area_bytes[XLM_AREA_TEMP];
  if (i.workspace > room || i.workspace_at > room - i.workspace)
    fail(r, "workspace lies outside its area", i.op);
  return i;
}

static xlm_segment read_segment(reader *r, const json_t *o) {
  xlm_segment s = {.kind = (xlm_segment_kind)parse_name(r, o, "kind", segment_name, XLM_SEG_KINDS),
                   .stage = (int16_t)get_int(r, o, "stage", -1, INT16_MAX),
                   .chunk = (int16_t)get_int(r, o, "chunk", -1, INT16_MAX),
                   .rest = get_bool(o, "rest"),
                   .first = (uint32_t)get_int(r, o, "first", 0, r->n_instrs)};
  s.n = (uint32_t)get_int(r, o, "n", 0, r->n_instrs - s.first);
  return s;
}

static xlm_slot_run read_slot_run(reader *r, const json_t *o, const xlm_rank_plan *p) {
  xlm_slot_run run = {.segment = (uint32_t)get_int(r, o, "segment", 0, (int64_t)r->n_segments - 1),
                      .microbatch = (int32_t)get_int(r, o, "microbatch", -1, INT32_MAX)};
  uint32_t n;
  const json_t *slots = get_list(r, o, "slots", XLM_SLOT_AREAS, &n);
  for (uint32_t k = 0; k < XLM_SLOT_AREAS; k++) {
    const json_t *x = json_array_get(slots, k);
    if (!json_is_integer(x) || json_integer_value(x) < -1 || json_integer_value(x) >= p->slots[k].n)
      fail(r, "bad number in", "slots");
    else
      run.slot[k] = (int32_t)json_integer_value(x);
  }
  return run;
}

static xlm_plan_state read_state(reader *r, const json_t *o) {
  return (xlm_plan_state){.name = get_text(r, o, "name"),
                          .role = get_text(r, o, "role"),
                          .init = get_text(r, o, "init"),
                          .tensor = (uint32_t)get_int(r, o, "tensor", 1, (int64_t)r->n_tensors - 1),
                          .saved = get_bool(o, "saved")};
}

static xlm_plan_input read_input(reader *r, const json_t *o) {
  int64_t last = (int64_t)r->n_tensors - 1;
  return (xlm_plan_input){.name = get_text(r, o, "name"),
                          .role = get_text(r, o, "role"),
                          .tensor = (uint32_t)get_int(r, o, "tensor", 0, last),
                          .eval_tensor = (uint32_t)get_int(r, o, "eval_tensor", 0, last),
                          .ignore = get_int(r, o, "ignore", INT32_MIN, INT32_MAX),
                          .vocab = get_int(r, o, "vocab", 0, INT64_MAX),
                          .chunk = (int16_t)get_int(r, o, "chunk", -1, INT16_MAX)};
}

static xlm_plan_output read_output(reader *r, const json_t *o) {
  return (xlm_plan_output){.name = get_text(r, o, "name"),
                           .role = get_text(r, o, "role"),
                           .eval = get_bool(o, "eval"),
                           .tensor = (uint32_t)get_int(r, o, "tensor", 1, (int64_t)r->n_tensors - 1)};
}

static void read_slots(reader *r, const json_t *o, xlm_rank_plan *p) {
  enum { MOST = 1 << 24 };
  uint32_t n;
  const json_t *areas = get_list(r, o, "slots", XLM_SLOT_AREAS, &n);
  for (uint32_t k = 0; k < XLM_SLOT_AREAS; k++) {
    const json_t *list = json_array_get(areas, k);
    size_t have = json_array_size(list);
    if (!have || have > MOST) {
      fail(r, "bad list", "slots");
      return;
    }
    uint64_t *at = XLM_NEW_N(r->a, uint64_t, have);
    to_longs(r, list, "slots", at, (uint32_t)have);
    for (size_t i = 1; i < have; i++)
      if (at[i] < at[i - 1] || at[i] - at[i - 1] > at[1]) fail(r, "slots are not in order:", "slots");
    if (at[0] || at[have - 1] != p->area_bytes[XLM_FIRST_SLOT_AREA + k])
      fail(r, "slots do not fit:", "slots");
    p->slots[k] = (xlm_slots){(int32_t)have - 1, at};
  }
}

static void read_memory(reader *r, const json_t *o, xlm_rank_plan *p) {
  p->arena_bytes = (uint64_t)get_int(r, o, "arena_bytes", 0, INT64_MAX);
  get_longs(r, o, "area_begin", p->area_begin, XLM_AREAS);
  get_longs(r, o, "area_bytes", p->area_bytes, XLM_AREAS);
  get_longs(r, o, "class_bytes", p->class_bytes, XLM_CLASSES);
  p->free_bytes = (uint64_t)get_int(r, o, "free_bytes", 0, INT64_MAX);
  uint64_t at = 0;
  for (int a = 0; a < XLM_AREAS && !r->failed; a++) {
    if (p->area_begin[a] != at || p->area_bytes[a] > p->arena_bytes - at)
      fail(r, "areas do not add up:", "area_begin");
    at += p->area_bytes[a];
  }
  if (at != p->arena_bytes) fail(r, "areas do not add up:", "arena_bytes");
  read_slots(r, o, p);
}

static xlm_rank_plan *read_class(reader *r, const json_t *o, uint8_t n_axes) {
  enum { MOST = 1 << 24 };
  xlm_rank_plan *p = XLM_NEW(r->a, xlm_rank_plan);
  uint32_t n, n_coord;
  read_memory(r, o, p);
  p->stage = (int16_t)get_int(r, o, "stage", -1, INT16_MAX);
  uint32_t *coord = get_indices(r, o, "coord", 0, INT32_MAX, n_axes, &n_coord);
  for (uint32_t i = 0; i < n_coord; i++) p->coord[i] = (int32_t)coord[i];
  const json_t *dims = get_list(r, o, "dims", MOST, &n);
  xlm_dim_info *d = XLM_NEW_N(r->a, xlm_dim_info, n + 1);
  d[0].name = "";
  for (uint32_t i = 0; i < n; i++) d[i + 1] = read_dim(r, json_array_get(dims, i));
  p->dims = d, p->n_dims = r->n_dims = n + 1;
  const json_t *tensors = get_list(r, o, "tensors", MOST, &n);
  xlm_tensor *t = XLM_NEW_N(r->a, xlm_tensor, n + 1);
  t[0].name = "";
  for (uint32_t i = 0; i < n && !r->failed; i++)
    t[i + 1] = read_tensor(r, json_array_get(tensors, i), p, i + 1);
  p->tensors = t, p->n_tensors = r->n_tensors = n + 1;
  const json_t *instrs = get_list(r, o, "instructions", MOST, &p->n_instrs);
  r->n_instrs = p->n_instrs;
  xlm_instr *in = XLM_NEW_N(r->a, xlm_instr, p->n_instrs);
  for (uint32_t i = 0; i < p->n_instrs && !r->failed; i++)
    in[i] = read_instr(r, json_array_get(instrs, i), p);
  p->instrs = in;
  const json_t *segments = get_list(r, o, "segments", MOST, &p->n_segments);
  r->n_segments = p->n_segments;
  xlm_segment *s = XLM_NEW_N(r->a, xlm_segment, p->n_segments);
  for (uint32_t i = 0; i < p->n_segments && !r->failed; i++)
    s[i] = read_segment(r, json_array_get(segments, i));
  p->segments = s;
  const json_t *schedule = get_list(r, o, "schedule", MOST, &p->n_schedule);
  xlm_slot_run *runs = XLM_NEW_N(r->a, xlm_slot_run, p->n_schedule);
  for (uint32_t i = 0; i < p->n_schedule && !r->failed; i++)
    runs[i] = read_slot_run(r, json_array_get(schedule, i), p);
  p->schedule = runs;
  const json_t *states = get_list(r, o, "states", MOST, &p->n_states);
  xlm_plan_state *st = XLM_NEW_N(r->a, xlm_plan_state, p->n_states);
  for (uint32_t i = 0; i < p->n_states && !r->failed; i++) st[i] = read_state(r, json_array_get(states, i));
  p->states = st;
  const json_t *inputs = get_list(r, o, "inputs", MOST, &p->n_inputs);
  xlm_plan_input *ip = XLM_NEW_N(r->a, xlm_plan_input, p->n_inputs);
  for (uint32_t i = 0; i < p->n_inputs && !r->failed; i++) ip[i] = read_input(r, json_array_get(inputs, i));
  p->inputs = ip;
  const json_t *outputs = get_list(r, o, "outputs", MOST, &p->n_outputs);
  xlm_plan_output *op = XLM_NEW_N(r->a, xlm_plan_output, p->n_outputs);
  for (uint32_t i = 0; i < p->n_outputs && !r->failed; i++)
    op[i] = read_output(r, json_array_get(outputs, i));
  p->outputs = op;
  p->eval_segment = (int32_t)get_int(r, o, "eval_segment", -1, (int64_t)p->n_segments - 1);
  p->peak_instr = (uint32_t)get_int(r, o, "peak_instr", 0, p->n_instrs);
  uint32_t entry;
  if (!r->failed && !xlm_plan_slots_suffice(p, &entry)) fail(r, "values reach beyond their", "slots");
  return p;
}

static xlm_plan_weight read_weight(reader *r, const json_t *o) {
  uint32_t n;
  xlm_plan_weight w = {.param = get_text(r, o, "param"),
                       .external = get_text(r, o, "external"),
                       .each = (xlm_dim)get_int(r, o, "each", 0, (int64_t)r->n_dims - 1)};
  const json_t *groups = get_list(r, o, "groups", XLM_MAX_RANK, &n);
  w.n_groups = (uint8_t)n;
  for (uint32_t i = 0; i < n; i++) {
    const json_t *g = json_array_get(groups, i);
    uint32_t n_dims;
    uint32_t *dims = get_indices(r, g, "dims", 1, r->n_dims, XLM_MAX_RANK, &n_dims);
    w.group[i] = (xlm_plan_weight_group){.n = (uint8_t)n_dims,
                                         .part = (int16_t)get_int(r, g, "part", 0, INT16_MAX),
                                         .parts = (int16_t)get_int(r, g, "parts", 0, INT16_MAX)};
    memcpy(w.group[i].dim, dims, n_dims * sizeof *dims);
  }
  return w;
}

static xlm_plan_config read_config(reader *r, const json_t *o) {
  xlm_plan_config c = {
      .name = get_text(r, o, "name"), .value = get_number(r, o, "value"), .integer = get_bool(o, "integer")};
  uint32_t n;
  const json_t *aliases = get_list(r, o, "aliases", 8, &n);
  for (uint32_t i = 0; i < n; i++) {
    const char *s = json_string_value(json_array_get(aliases, i));
    c.alias[c.n_aliases++] = xlm_arena_strdup(r->a, s ? s : "");
  }
  return c;
}

static void read_mesh(reader *r, const json_t *o, xlm_plan *p) {
  uint32_t n;
  const json_t *axes = get_list(r, o, "mesh", XLM_MAX_AXES, &n);
  p->mesh.n = (uint8_t)n;
  for (uint32_t i = 0; i < n; i++) {
    p->mesh.axis[i] = get_text(r, json_array_get(axes, i), "axis");
    p->mesh.size[i] = (int32_t)get_int(r, json_array_get(axes, i), "size", 1, 1 << 24);
  }
}

static void read_lists(reader *r, const json_t *o, xlm_plan *p) {
  const json_t *weights = get_list(r, o, "weights", 1 << 24, &p->n_weights);
  xlm_plan_weight *w = XLM_NEW_N(r->a, xlm_plan_weight, p->n_weights);
  for (uint32_t i = 0; i < p->n_weights && !r->failed; i++) w[i] = read_weight(r, json_array_get(weights, i));
  p->weights = w;
  const json_t *config = get_list(r, o, "config", 1 << 20, &p->n_config);
  xlm_plan_config *c = XLM_NEW_N(r->a, xlm_plan_config, p->n_config);
  for (uint32_t i = 0; i < p->n_config && !r->failed; i++) c[i] = read_config(r, json_array_get(config, i));
  p->config = c;
}

static xlm_plan *read_plan(reader *r, const json_t *o) {
  xlm_plan *p = XLM_NEW(r->a, xlm_plan);
  if (get_int(r, o, "xlm_plan", 1, 1) != 1) return p;
  p->model = get_text(r, o, "model");
  p->preset = get_text_or_null(r, o, "preset");
  p->source_path = get_text(r, o, "source");
  p->text_hash = get_text(r, o, "text_hash");
  p->dtype = (xlm_dtype)parse_name(r, o, "dtype", dtype_name, XLM_DTYPE_COUNT);
  p->batch = get_int(r, o, "batch", 1, INT32_MAX);
  p->seq = get_int(r, o, "seq", 1, INT32_MAX);
  p->microbatches = get_int(r, o, "microbatches", 1, INT32_MAX);
  p->threads = (int32_t)get_int(r, o, "threads", 1, 4096);
  p->seed = (uint64_t)get_int(r, o, "seed", INT64_MIN, INT64_MAX);
  p->parameters = get_number(r, o, "parameters");
  p->model_flops_per_token = get_number(r, o, "model_flops_per_token");
  p->weights_name = get_text_or_null(r, o, "weights_name");
  read_mesh(r, o, p);
  const json_t *classes = get_list(r, o, "classes", 1 << 20, &p->n_classes);
  xlm_rank_plan **list = XLM_NEW_N(r->a, xlm_rank_plan *, p->n_classes);
  for (uint32_t i = 0; i < p->n_classes && !r->failed; i++)
    list[i] = read_class(r, json_array_get(classes, i), p->mesh.n);
  p->classes = list;
  p->class_of = get_indices(r, o, "class_of", 0, p->n_classes, 1 << 24, &p->n_ranks);
  if (!p->n_classes || !p->n_ranks) fail(r, "no ranks in", "class_of");
  if (!r->failed) read_lists(r, o, p);
  return p;
}

xlm_status xlm_plan_read_json(xlm_arena *a, const char *text, size_t n, const xlm_plan **out,
                              xlm_error *err) {
  json_error_t where;
  json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
  if (!root)
    return xlm_fail(err, XLM_USER, "not a plan: line %d, column %d: %s", where.line, where.column,
                    where.text);
  reader r = {.a = a, .err = err};
  *out = read_plan(&r, root);
  json_decref(root);
  return r.failed ? XLM_USER : XLM_OK;
}
