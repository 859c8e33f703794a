// Reads one rank plan from its JSON: tables, offsets, schedule. Each table is checked against those read
// before it.
#include <string.h>

#include "runtime/plan/json_read_priv.h"
#include "runtime/plan/panels.h"

static xlm_dim_info read_dim(reader *r, const json_t *o) {
  const int64_t most = (int64_t)1 << 40;
  return (xlm_dim_info){.name = xlm_json_text(r, o, "name"),
                        .size = xlm_json_int(r, o, "size", 0, most),
                        .full = xlm_json_int(r, o, "full", 0, most),
                        .offset = xlm_json_int(r, o, "offset", 0, most),
                        .tail = xlm_json_int_or(r, o, "tail", 0, most, 0),
                        .tail_offset = xlm_json_int_or(r, o, "tail_offset", 0, most, 0),
                        .axes = (uint32_t)xlm_json_int(r, o, "axes", 0, 255),
                        .mirrored = (uint32_t)xlm_json_int_or(r, o, "mirrored", 0, 255, 0),
                        .ragged = xlm_json_bool(o, "ragged"),
                        .grain = xlm_json_int_or(r, o, "grain", 1, most, 0)};
}

// Rejects sizes whose product overflows.
static bool is_countable(const xlm_type *t, const xlm_dim_info *dims) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++)
    if (__builtin_mul_overflow(n, dims[t->dim[i]].size > 1 ? dims[t->dim[i]].size : 1, &n)) return false;
  return n <= INT64_MAX / 8;
}

// As written: width, split, columns_first.
static xlm_panels read_panels(reader *r, const json_t *o, const xlm_tensor *t, const xlm_dim_info *dims) {
  uint32_t n = 0;
  if (!json_object_get(o, "panels")) return (xlm_panels){0};
  const uint32_t *v = xlm_json_indices(r, o, "panels", 0, XLM_PANEL_MOST + 1, 3, &n);
  if (r->failed || n != 3 || v[1] > XLM_MAX_RANK) {
    xlm_json_fail(r, "panels are three numbers: width, split, columns first", t->name ? t->name : "?");
    return (xlm_panels){0};
  }
  const xlm_panels p = {(uint16_t)v[0], (uint8_t)v[1], v[2] != 0};
  if (t->area != XLM_AREA_STATE || t->view_of || !xlm_panels_fit(&p, &t->type, dims))
    xlm_json_fail(r, "tensor cannot be in panels", t->name ? t->name : "?");
  return p;
}

static xlm_tensor read_tensor(reader *r, const json_t *o, const xlm_rank_plan *p, uint32_t index) {
  uint32_t rank;
  uint32_t *dims = xlm_json_indices(r, o, "dims", 1, r->n_dims, XLM_MAX_RANK, &rank);
  xlm_tensor t = {.name = xlm_json_text_or_null(r, o, "name"),
                  .category = (xlm_category)xlm_json_enum(r, o, "category", XLM_ENUM_CATEGORY),
                  .area = (xlm_area)xlm_json_int(r, o, "area", 0, XLM_AREAS - 1),
                  .offset = (uint64_t)xlm_json_int(r, o, "offset", 0, INT64_MAX),
                  .bytes = (uint64_t)xlm_json_int(r, o, "bytes", 0, INT64_MAX),
                  .view_of = (uint32_t)xlm_json_int_or(r, o, "view_of", 1, index - 1, 0),
                  .partial = (uint32_t)xlm_json_int_or(r, o, "partial", 0, 255, 0),
                  .line = (uint32_t)xlm_json_int(r, o, "line", 0, UINT32_MAX)};
  t.type.dtype = (xlm_dtype)xlm_json_enum(r, o, "dtype", XLM_ENUM_DTYPE);
  t.type.rank = (uint8_t)rank;
  for (uint32_t i = 0; i < rank; i++) t.type.dim[i] = dims[i];
  if (r->failed) return t;
  uint64_t room = xlm_plan_room(p, t.area);
  if (!is_countable(&t.type, p->dims) || t.bytes != xlm_type_bytes(&t.type, p->dims))
    xlm_json_fail(r, "size of tensor does not follow from its type", t.name ? t.name : "?");
  else if (t.bytes > room || t.offset > room - t.bytes)
    xlm_json_fail(r, "tensor lies outside its area", t.name ? t.name : "?");
  t.type.panels = read_panels(r, o, &t, p->dims);
  return t;
}

static xlm_op_id read_op(reader *r, const json_t *o) {
  const char *name = xlm_json_text(r, o, "op");
  xlm_op_id op = xlm_op_find(name);
  if (!op) xlm_json_fail(r, "unknown operation", name);
  return op;
}

static xlm_instr read_instr(reader *r, const json_t *o, const xlm_rank_plan *p) {
  uint32_t n_in, n_out;
  xlm_instr i = {.op = read_op(r, o), .attrs = xlm_json_attrs(r, o)};
  i.variant = json_object_get(o, "variant") ? xlm_json_text(r, o, "variant") : "";
  i.in = xlm_json_indices(r, o, "in", 1, r->n_tensors, UINT16_MAX, &n_in);
  i.out = xlm_json_indices(r, o, "out", 1, r->n_tensors, UINT16_MAX, &n_out);
  i.n_in = (uint16_t)n_in;
  i.n_out = (uint16_t)n_out;
  i.stream = (xlm_stream)xlm_json_int_or(r, o, "stream", 0, XLM_STREAMS - 1, 0);
  i.after = (uint32_t)xlm_json_int_or(r, o, "after", 0, r->n_instrs, 0);
  i.workspace = (uint64_t)xlm_json_int(r, o, "workspace", 0, INT64_MAX);
  i.workspace_at = (uint64_t)xlm_json_int(r, o, "workspace_at", 0, INT64_MAX);
  i.flops = xlm_json_number(r, o, "flops");
  i.model_flops = xlm_json_number(r, o, "model_flops");
  i.bytes = xlm_json_number(r, o, "bytes");
  i.line = (uint32_t)xlm_json_int(r, o, "line", 0, UINT32_MAX);
  i.scope = xlm_json_text(r, o, "scope");
  uint64_t room = p->area_bytes[XLM_AREA_TEMP];
  if (i.workspace > room || i.workspace_at > room - i.workspace)
    xlm_json_fail(r, "workspace lies outside its area", xlm_op_name(i.op));
  return i;
}

static xlm_segment read_segment(reader *r, const json_t *o) {
  xlm_segment s = {.kind = (xlm_segment_kind)xlm_json_enum(r, o, "kind", XLM_ENUM_SEGMENT),
                   .stage = (int16_t)xlm_json_int(r, o, "stage", -1, INT16_MAX),
                   .chunk = (int16_t)xlm_json_int(r, o, "chunk", -1, INT16_MAX),
                   .variant = (xlm_segment_variant)xlm_json_enum(r, o, "variant", XLM_ENUM_VARIANT),
                   .first = (uint32_t)xlm_json_int(r, o, "first", 0, r->n_instrs)};
  s.n = (uint32_t)xlm_json_int(r, o, "n", 0, r->n_instrs - s.first);
  return s;
}

static xlm_segment_run read_slot_run(reader *r, const json_t *o, const xlm_rank_plan *p) {
  xlm_segment_run run = {.segment = (uint32_t)xlm_json_int(r, o, "segment", 0, (int64_t)r->n_segments - 1),
                         .microbatch = (int32_t)xlm_json_int(r, o, "microbatch", -1, INT32_MAX)};
  uint32_t n;
  const json_t *slots = xlm_json_list(r, o, "slots", XLM_SLOT_AREAS, &n);
  for (uint32_t k = 0; k < XLM_SLOT_AREAS; k++) {
    const json_t *x = json_array_get(slots, k);
    if (!json_is_integer(x) || json_integer_value(x) < -1 || json_integer_value(x) >= p->slots[k].n)
      xlm_json_fail(r, "bad number in", "slots");
    else
      run.slot[k] = (int32_t)json_integer_value(x);
  }
  return run;
}

static xlm_plan_state read_state(reader *r, const json_t *o) {
  return (xlm_plan_state){.name = xlm_json_text(r, o, "name"),
                          .role = (xlm_role)xlm_json_enum(r, o, "role", XLM_ENUM_ROLE),
                          .init = xlm_json_init(r, json_object_get(o, "init"), "init"),
                          .tensor = (uint32_t)xlm_json_int(r, o, "tensor", 1, (int64_t)r->n_tensors - 1),
                          .saved = xlm_json_bool(o, "saved")};
}

// A number for each program that has an entry; `unset` for the others.
static void read_by_program(reader *r, const json_t *o, const char *key, int64_t unset, int64_t last,
                            int64_t out[XLM_PROGRAMS]) {
  const json_t *of = json_object_get(o, key);
  size_t found = 0;
  for (int p = 0; p < XLM_PROGRAMS; p++) {
    found += json_object_get(of, xlm_program_name((xlm_program_id)p)) != NULL;
    out[p] = xlm_json_int_or(r, of, xlm_program_name((xlm_program_id)p), unset + 1, last, unset);
  }
  if (!json_is_object(of) || found != json_object_size(of)) xlm_json_fail(r, "bad programs in", key);
}

static xlm_plan_input read_input(reader *r, const json_t *o) {
  int64_t tensor[XLM_PROGRAMS];
  read_by_program(r, o, "tensors", 0, (int64_t)r->n_tensors - 1, tensor);
  xlm_plan_input in = {.name = xlm_json_text(r, o, "name"),
                       .role = (xlm_input_role)xlm_json_enum(r, o, "role", XLM_ENUM_INPUT_ROLE),
                       .source = xlm_json_text(r, o, "source"),
                       .shift = xlm_json_int(r, o, "shift", 0, XLM_MAX_SHIFT),
                       .whole_step = xlm_json_bool(o, "whole_step"),
                       .vocab = xlm_json_int(r, o, "vocab", 0, INT64_MAX),
                       .chunk = (int16_t)xlm_json_int(r, o, "chunk", -1, INT16_MAX)};
  for (int p = 0; p < XLM_PROGRAMS; p++) in.tensor[p] = (uint32_t)tensor[p];
  return in;
}

static xlm_plan_output read_output(reader *r, const json_t *o) {
  return (xlm_plan_output){.name = xlm_json_text(r, o, "name"),
                           .role = (xlm_output_role)xlm_json_enum(r, o, "role", XLM_ENUM_OUTPUT_ROLE),
                           .program = (xlm_program_id)xlm_json_enum(r, o, "program", XLM_ENUM_PROGRAM),
                           .tensor = (uint32_t)xlm_json_int(r, o, "tensor", 1, (int64_t)r->n_tensors - 1)};
}

static void read_slots(reader *r, const json_t *o, xlm_rank_plan *p) {
  enum { MOST = 1 << 24 };
  uint32_t n;
  const json_t *areas = xlm_json_list(r, o, "slots", XLM_SLOT_AREAS, &n);
  for (uint32_t k = 0; k < XLM_SLOT_AREAS; k++) {
    const json_t *list = json_array_get(areas, k);
    size_t have = json_array_size(list);
    if (!have || have > MOST) {
      xlm_json_fail(r, "bad list", "slots");
      return;
    }
    uint64_t *at = XLM_NEW_N(r->a, uint64_t, have);
    xlm_json_to_longs(r, list, "slots", at, (uint32_t)have);
    for (size_t i = 1; i < have; i++)
      if (at[i] < at[i - 1] || at[i] - at[i - 1] > at[1])
        xlm_json_fail(r, "slots are not in order:", "slots");
    if (at[0] || at[have - 1] != p->area_bytes[XLM_FIRST_SLOT_AREA + k])
      xlm_json_fail(r, "slots do not fit:", "slots");
    p->slots[k] = (xlm_slots){(int32_t)have - 1, at};
  }
}

static void read_memory(reader *r, const json_t *o, xlm_rank_plan *p) {
  p->arena_bytes = (uint64_t)xlm_json_int(r, o, "arena_bytes", 0, INT64_MAX);
  xlm_json_longs(r, o, "area_begin", p->area_begin, XLM_AREAS);
  xlm_json_longs(r, o, "area_bytes", p->area_bytes, XLM_AREAS);
  xlm_json_longs(r, o, "category_bytes", p->category_bytes, XLM_CATEGORIES);
  p->free_bytes = (uint64_t)xlm_json_int(r, o, "free_bytes", 0, INT64_MAX);
  uint64_t at = 0;
  for (int a = 0; a < XLM_AREAS && !r->failed; a++) {
    if (p->area_begin[a] != at || p->area_bytes[a] > p->arena_bytes - at)
      xlm_json_fail(r, "areas do not add up:", "area_begin");
    at += p->area_bytes[a];
  }
  if (at != p->arena_bytes) xlm_json_fail(r, "areas do not add up:", "arena_bytes");
  read_slots(r, o, p);
}

enum { MOST = 1 << 24 }; // entries per table

static void read_tensors(reader *r, const json_t *o, xlm_rank_plan *p) {
  uint32_t n;
  const json_t *dims = xlm_json_list(r, o, "dims", MOST, &n);
  xlm_dim_info *d = XLM_NEW_N(r->a, xlm_dim_info, n + 1);
  d[0].name = "";
  for (uint32_t i = 0; i < n; i++) d[i + 1] = read_dim(r, xlm_json_entry(r, 1, "dims", dims, i));
  p->dims = d, p->n_dims = r->n_dims = n + 1;
  const json_t *tensors = xlm_json_list(r, o, "tensors", MOST, &n);
  xlm_tensor *t = XLM_NEW_N(r->a, xlm_tensor, n + 1);
  t[0].name = "";
  for (uint32_t i = 0; i < n && !r->failed; i++)
    t[i + 1] = read_tensor(r, xlm_json_entry(r, 1, "tensors", tensors, i), p, i + 1);
  p->tensors = t, p->n_tensors = r->n_tensors = n + 1;
}

static void read_program(reader *r, const json_t *o, xlm_rank_plan *p) {
  const json_t *instrs = xlm_json_list(r, o, "instructions", MOST, &p->n_instrs);
  r->n_instrs = p->n_instrs;
  xlm_instr *in = XLM_NEW_N(r->a, xlm_instr, p->n_instrs);
  for (uint32_t i = 0; i < p->n_instrs && !r->failed; i++)
    in[i] = read_instr(r, xlm_json_entry(r, 1, "instructions", instrs, i), p);
  p->instrs = in;
  const json_t *segments = xlm_json_list(r, o, "segments", MOST, &p->n_segments);
  r->n_segments = p->n_segments;
  xlm_segment *s = XLM_NEW_N(r->a, xlm_segment, p->n_segments);
  for (uint32_t i = 0; i < p->n_segments && !r->failed; i++)
    s[i] = read_segment(r, xlm_json_entry(r, 1, "segments", segments, i));
  p->segments = s;
  const json_t *schedule = xlm_json_list(r, o, "schedule", MOST, &p->n_schedule);
  xlm_segment_run *runs = XLM_NEW_N(r->a, xlm_segment_run, p->n_schedule);
  for (uint32_t i = 0; i < p->n_schedule && !r->failed; i++)
    runs[i] = read_slot_run(r, xlm_json_entry(r, 1, "schedule", schedule, i), p);
  p->schedule = runs;
}

static void read_ends(reader *r, const json_t *o,
                      xlm_rank_plan *p) { // inputs and outputs
  const json_t *states = xlm_json_list(r, o, "states", MOST, &p->n_states);
  xlm_plan_state *st = XLM_NEW_N(r->a, xlm_plan_state, p->n_states);
  for (uint32_t i = 0; i < p->n_states && !r->failed; i++)
    st[i] = read_state(r, xlm_json_entry(r, 1, "states", states, i));
  p->states = st;
  const json_t *inputs = xlm_json_list(r, o, "inputs", MOST, &p->n_inputs);
  xlm_plan_input *in = XLM_NEW_N(r->a, xlm_plan_input, p->n_inputs);
  for (uint32_t i = 0; i < p->n_inputs && !r->failed; i++)
    in[i] = read_input(r, xlm_json_entry(r, 1, "inputs", inputs, i));
  p->inputs = in;
  const json_t *outputs = xlm_json_list(r, o, "outputs", MOST, &p->n_outputs);
  xlm_plan_output *out = XLM_NEW_N(r->a, xlm_plan_output, p->n_outputs);
  for (uint32_t i = 0; i < p->n_outputs && !r->failed; i++)
    out[i] = read_output(r, xlm_json_entry(r, 1, "outputs", outputs, i));
  p->outputs = out;
}

xlm_rank_plan *xlm_json_rank(reader *r, const json_t *o, uint8_t n_axes) {
  xlm_rank_plan *p = XLM_NEW(r->a, xlm_rank_plan);
  uint32_t n_coord, entry;
  read_memory(r, o, p);
  p->stage = (int16_t)xlm_json_int(r, o, "stage", -1, INT16_MAX);
  uint32_t *coord = xlm_json_indices(r, o, "coord", 0, INT32_MAX, n_axes, &n_coord);
  for (uint32_t i = 0; i < n_coord; i++) p->coord[i] = (int32_t)coord[i];
  read_tensors(r, o, p);
  read_program(r, o, p);
  read_ends(r, o, p);
  r->depth = 1;
  int64_t segment[XLM_PROGRAMS];
  read_by_program(r, o, "programs", -1, (int64_t)p->n_segments - 1, segment);
  for (int k = 0; k < XLM_PROGRAMS; k++) p->segment_of[k] = (int32_t)segment[k];
  p->peak_instr = (uint32_t)xlm_json_int(r, o, "peak_instr", 0, p->n_instrs);
  if (!r->failed && !xlm_plan_slots_suffice(p, &entry))
    xlm_json_fail(r, "values reach beyond their", "slots");
  return p;
}
