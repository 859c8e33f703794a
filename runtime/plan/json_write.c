// The plan as JSON; docs/plan.md documents it. Tensors, dims and instructions refer to each other by index,
// as in plan.h. Numbers are integers, or decimals that read back as the same double.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/hash.h"
#include "runtime/plan/plan.h"

// Infinities (a mask, the neutral element of a maximum) are written as text, since JSON has none.
static void number(xlm_json *j, const char *key, double x) {
  if (isfinite(x))
    xlm_json_put_real(j, key, x);
  else
    xlm_json_put_text(j, key, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static void ints(xlm_json *j, const char *key, const uint32_t *at, uint32_t n) {
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (uint32_t i = 0; i < n; i++) xlm_json_put_int(j, NULL, at[i]);
  xlm_json_close(j);
}

static void longs(xlm_json *j, const char *key, const uint64_t *at, int64_t n) {
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
      number(j, NULL, in->imm);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}

static void write_int(xlm_json *j, const char *key, const xlm_attr *a) {
  xlm_json_put_int(j, key, a->i);
}
static void write_float(xlm_json *j, const char *key, const xlm_attr *a) {
  number(j, key, a->f);
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

static void attrs(xlm_json *j, const xlm_attrs *as) {
  xlm_json_object(j, "attrs", XLM_JSON_ROW);
  for (int i = 0; i < as->n; i++)
    write_attr[xlm_attr_kind_of(as->at[i].key)](j, xlm_attr_name(as->at[i].key), &as->at[i]);
  xlm_json_close(j);
}

static void dim(xlm_json *j, const xlm_dim_info *d) {
  xlm_json_put_text(j, "name", d->name);
  xlm_json_put_int(j, "size", d->size);
  xlm_json_put_int(j, "full", d->full);
  xlm_json_put_int(j, "offset", d->offset);
  if (d->tail) xlm_json_put_int(j, "tail", d->tail), xlm_json_put_int(j, "tail_offset", d->tail_offset);
  xlm_json_put_int(j, "axes", d->axes);
  if (d->mirrored) xlm_json_put_int(j, "mirrored", d->mirrored);
  if (d->grain > 1) xlm_json_put_int(j, "grain", d->grain);
  if (d->ragged) xlm_json_put_bool(j, "ragged", true);
}

static void tensor(xlm_json *j, const xlm_tensor *x) {
  xlm_json_put_text(j, "name", x->name);
  xlm_json_put_text(j, "dtype", xlm_dtype_name(x->type.dtype));
  ints(j, "dims", x->type.dim, x->type.rank);
  xlm_json_put_text(j, "category", xlm_category_name(x->category));
  xlm_json_put_int(j, "area", x->area);
  xlm_json_put_int(j, "offset", (int64_t)x->offset);
  xlm_json_put_int(j, "bytes", (int64_t)x->bytes);
  if (x->view_of) xlm_json_put_int(j, "view_of", x->view_of);
  if (x->partial) xlm_json_put_int(j, "partial", x->partial);
  xlm_json_put_int(j, "line", x->line);
}

static void instr(xlm_json *j, const xlm_instr *i) {
  xlm_json_put_text(j, "op", xlm_op_name(i->op));
  if (i->variant && *i->variant) xlm_json_put_text(j, "variant", i->variant);
  ints(j, "in", i->in, i->n_in);
  ints(j, "out", i->out, i->n_out);
  attrs(j, &i->attrs);
  if (i->stream) xlm_json_put_int(j, "stream", i->stream);
  if (i->after) xlm_json_put_int(j, "after", i->after);
  xlm_json_put_int(j, "workspace", (int64_t)i->workspace);
  xlm_json_put_int(j, "workspace_at", (int64_t)i->workspace_at);
  number(j, "flops", i->flops);
  number(j, "model_flops", i->model_flops);
  number(j, "bytes", i->bytes);
  xlm_json_put_int(j, "line", i->line);
  xlm_json_put_text(j, "scope", i->scope);
}

static void segment(xlm_json *j, const xlm_segment *s) {
  xlm_json_put_text(j, "kind", xlm_segment_name(s->kind));
  xlm_json_put_int(j, "stage", s->stage);
  xlm_json_put_int(j, "chunk", s->chunk);
  xlm_json_put_text(j, "variant", xlm_variant_name(s->variant));
  xlm_json_put_int(j, "first", s->first);
  xlm_json_put_int(j, "n", s->n);
}

static void slot_run(xlm_json *j, const xlm_segment_run *r) {
  xlm_json_put_int(j, "segment", r->segment);
  xlm_json_put_int(j, "microbatch", r->microbatch);
  xlm_json_array(j, "slots", XLM_JSON_ROW);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) xlm_json_put_int(j, NULL, r->slot[k]);
  xlm_json_close(j);
}

static void init(xlm_json *j, const char *key,
                 const xlm_init *x) { // ["normal", 0.02], then a program if there is one
  xlm_json_array(j, key, XLM_JSON_ROW);
  xlm_json_put_text(j, NULL, xlm_enum_name(XLM_ENUM_INIT, x->kind));
  for (int i = 0; i < xlm_init_numbers(x->kind); i++) number(j, NULL, x->x[i]);
  if (x->code) code(j, NULL, x->code);
  xlm_json_close(j);
}

static void state(xlm_json *j, const xlm_plan_state *s) {
  xlm_json_put_text(j, "name", s->name);
  xlm_json_put_text(j, "role", xlm_enum_name(XLM_ENUM_ROLE, s->role));
  init(j, "init", &s->init);
  xlm_json_put_int(j, "tensor", s->tensor);
  xlm_json_put_bool(j, "saved", s->saved);
}

static void input(xlm_json *j, const xlm_plan_input *in) {
  xlm_json_put_text(j, "name", in->name);
  xlm_json_put_text(j, "role", xlm_enum_name(XLM_ENUM_INPUT_ROLE, in->role));
  xlm_json_put_text(j, "source", in->source);
  xlm_json_put_int(j, "shift", in->shift);
  xlm_json_put_bool(j, "whole_step", in->whole_step);
  xlm_json_object(j, "tensors", XLM_JSON_ROW); // of the programs that have it
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (in->tensor[p]) xlm_json_put_int(j, xlm_program_name((xlm_program_id)p), in->tensor[p]);
  xlm_json_close(j);
  xlm_json_put_int(j, "vocab", in->vocab);
  xlm_json_put_int(j, "chunk", in->chunk);
}

static void output(xlm_json *j, const xlm_plan_output *o) {
  xlm_json_put_text(j, "name", o->name);
  xlm_json_put_text(j, "role", xlm_enum_name(XLM_ENUM_OUTPUT_ROLE, o->role));
  xlm_json_put_text(j, "program", xlm_program_name(o->program));
  xlm_json_put_int(j, "tensor", o->tensor);
}

// One entry per line, so that two plans can be compared with diff.
#define LIST(name, list, n, first, write)                                                                    \
  do {                                                                                                       \
    xlm_json_array(j, name, XLM_JSON_LINES);                                                                 \
    for (uint32_t list_i = first; list_i < (n); list_i++) {                                                  \
      xlm_json_object(j, NULL, XLM_JSON_ROW);                                                                \
      write(j, &(list)[list_i]);                                                                             \
      xlm_json_close(j);                                                                                     \
    }                                                                                                        \
    xlm_json_close(j);                                                                                       \
  } while (0)

// Per area with slots: the offset of each slot, then the end of the last.
static void slots(xlm_json *j, const xlm_rank_plan *r) {
  xlm_json_array(j, "slots", XLM_JSON_ROW);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) longs(j, NULL, r->slots[k].at, r->slots[k].n + 1);
  xlm_json_close(j);
}

static void programs(xlm_json *j, const xlm_rank_plan *r) { // the segment of each, but for train
  xlm_json_object(j, "programs", XLM_JSON_ROW);
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (r->segment_of[p] >= 0) xlm_json_put_int(j, xlm_program_name((xlm_program_id)p), r->segment_of[p]);
  xlm_json_close(j);
}

static void rank_plan(xlm_json *j, const xlm_rank_plan *r, uint8_t n_axes) {
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_int(j, "stage", r->stage);
  xlm_json_array(j, "coord", XLM_JSON_ROW);
  for (int i = 0; i < n_axes; i++) xlm_json_put_int(j, NULL, r->coord[i]);
  xlm_json_close(j);
  xlm_json_put_int(j, "arena_bytes", (int64_t)r->arena_bytes);
  longs(j, "area_begin", r->area_begin, XLM_AREAS);
  longs(j, "area_bytes", r->area_bytes, XLM_AREAS);
  slots(j, r);
  longs(j, "category_bytes", r->category_bytes, XLM_CATEGORIES);
  xlm_json_put_int(j, "free_bytes", (int64_t)r->free_bytes);
  xlm_json_put_int(j, "peak_instr", r->peak_instr);
  programs(j, r);
  LIST("dims", r->dims, r->n_dims, 1, dim);
  LIST("states", r->states, r->n_states, 0, state);
  LIST("inputs", r->inputs, r->n_inputs, 0, input);
  LIST("outputs", r->outputs, r->n_outputs, 0, output);
  LIST("segments", r->segments, r->n_segments, 0, segment);
  LIST("schedule", r->schedule, r->n_schedule, 0, slot_run);
  LIST("tensors", r->tensors, r->n_tensors, 1, tensor);
  LIST("instructions", r->instrs, r->n_instrs, 0, instr);
  xlm_json_close(j);
}

static void weight(xlm_json *j, const xlm_plan_weight *w) {
  xlm_json_put_text(j, "param", w->param);
  xlm_json_put_text(j, "external", w->external);
  xlm_json_put_int(j, "each", w->each);
  xlm_json_put_bool(j, "optional", w->optional);
  xlm_json_put_int(j, "rank", w->n_groups);
  xlm_json_array(j, "factors", XLM_JSON_ROW);
  for (int i = 0; i < w->n_factors; i++) {
    const xlm_plan_factor *f = &w->factors[i];
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_int(j, "group", f->group);
    xlm_json_put_int(j, "dim", f->dim);
    xlm_json_put_int(j, "size", f->size);
    xlm_json_put_int(j, "step", f->step);
    xlm_json_put_int(j, "at", f->at);
    xlm_json_put_int(j, "of", f->of);
    xlm_json_put_int(j, "n", f->n);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void config(xlm_json *j, const xlm_plan_config *c) {
  xlm_json_put_text(j, "name", c->name);
  number(j, "value", c->value);
  xlm_json_put_int(j, "kind", c->kind);
  xlm_json_array(j, "aliases", XLM_JSON_ROW);
  for (int i = 0; i < c->n_aliases; i++) xlm_json_put_text(j, NULL, c->alias[i]);
  xlm_json_close(j);
}

static void config_key(xlm_json *j, const xlm_plan_key *k) {
  xlm_json_put_text(j, "key", k->key);
  xlm_json_put_text(j, "json", k->json);
}

static void setting(xlm_json *j, const xlm_plan_setting *s) {
  xlm_json_put_text(j, "key", s->key);
  xlm_json_put_text(j, "value", s->value);
}

void xlm_plan_write_mesh(const xlm_mesh *m, xlm_json *j) {
  xlm_json_array(j, "mesh", XLM_JSON_ROW);
  for (int i = 0; i < m->n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "axis", m->axis[i]);
    xlm_json_put_int(j, "size", m->size[i]);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

void xlm_plan_write_target(const xlm_target *t, xlm_json *j) {
  xlm_json_object(j, "target", XLM_JSON_ROW);
  xlm_json_put_text(j, "backend", t->backend);
  xlm_json_put_text(j, "arch", t->arch);
  xlm_json_put_int(j, "threads", t->threads);
  xlm_json_put_int(j, "align", t->align);
  xlm_json_put_int(j, "memory", (int64_t)t->memory);
  if (t->own_attention) xlm_json_put_bool(j, "own_attention", true);
  xlm_json_close(j);
}

static void around(const xlm_plan *p, xlm_json *j) { // everything but the rank plans
  xlm_json_put_int(j, "xlm_plan", XLM_PLAN_FORMAT);
  xlm_json_put_text(j, "model", p->model);
  xlm_json_put_text(j, "preset", p->preset);
  xlm_json_put_text(j, "source", p->source_path);
  xlm_json_put_text(j, "source_text", p->source_text);
  xlm_json_put_text(j, "text_hash", p->text_hash);
  xlm_json_put_text(j, "dtype", xlm_dtype_name(p->dtype));
  xlm_json_put_int(j, "batch", p->batch);
  xlm_json_put_int(j, "seq", p->seq);
  xlm_json_put_int(j, "microbatches", p->microbatches);
  xlm_json_put_int(j, "chunk", p->chunk);
  xlm_plan_write_target(&p->target, j);
  xlm_json_put_int(j, "seed", (int64_t)p->seed);
  xlm_plan_write_mesh(&p->mesh, j);
  number(j, "parameters", p->parameters);
  number(j, "model_flops_per_token", p->model_flops_per_token);
  xlm_json_put_text(j, "weights_name", p->weights_name);
  LIST("weights", p->weights, p->n_weights, 0, weight);
  LIST("config", p->config, p->n_config, 0, config);
  LIST("keys", p->keys, p->n_keys, 0, config_key);
  LIST("settings", p->settings, p->n_settings, 0, setting);
  ints(j, "rank_plan_of", p->rank_plan_of, p->n_ranks);
}

// ---- the hash ----

// A copy of the rank plan without offsets and what is derived from them.
static xlm_rank_plan without_places(const xlm_rank_plan *r, xlm_arena *a) {
  xlm_tensor *tensors = XLM_NEW_N(a, xlm_tensor, r->n_tensors);
  xlm_instr *instrs = XLM_NEW_N(a, xlm_instr, r->n_instrs);
  xlm_segment_run *schedule = XLM_NEW_N(a, xlm_segment_run, r->n_schedule);
  for (uint32_t i = 0; i < r->n_tensors; i++) tensors[i] = r->tensors[i], tensors[i].offset = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    instrs[i] = r->instrs[i];
    instrs[i].workspace = instrs[i].workspace_at = instrs[i].after = 0;
    instrs[i].variant = NULL;
  }
  for (uint32_t i = 0; i < r->n_schedule; i++)
    schedule[i] = (xlm_segment_run){r->schedule[i].segment, r->schedule[i].microbatch, {-1, -1, -1}};
  static const uint64_t nothing[1];
  xlm_rank_plan out = *r;
  out.tensors = tensors, out.instrs = instrs, out.schedule = schedule;
  for (int k = 0; k < XLM_AREAS; k++) out.area_begin[k] = out.area_bytes[k] = 0;
  for (int k = 0; k < XLM_SLOT_AREAS; k++) out.slots[k] = (xlm_slots){0, nothing};
  for (int k = 0; k < XLM_CATEGORIES; k++) out.category_bytes[k] = 0;
  out.arena_bytes = out.free_bytes = out.peak_instr = 0;
  return out;
}

static xlm_status add_to_hash(void *h, const char *bytes, size_t n, xlm_error *err) {
  (void)err;
  xlm_hash_add((xlm_hash *)h, bytes, n);
  return XLM_OK;
}

uint64_t xlm_plan_hash(const xlm_plan *p, bool places, xlm_arena *a) {
  xlm_plan common = *p;
  xlm_hash h;
  xlm_json j;
  xlm_hash_start(&h);
  xlm_json_to_sink(&j, add_to_hash, &h, NULL);
  common.source_path = "";
  common.target.memory = 0;
  if (!places) common.target.threads = 0;
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  around(&common, &j);
  xlm_json_array(&j, "rank_plans", XLM_JSON_LINES);
  for (uint32_t i = 0; i < p->n_rank_plans; i++) {
    xlm_rank_plan bare = places ? *p->rank_plans[i] : without_places(p->rank_plans[i], a);
    rank_plan(&j, &bare, p->mesh.n);
  }
  xlm_json_close(&j);
  xlm_json_close(&j);
  xlm_status written = xlm_json_finish(&j);
  XLM_ASSERT(written == XLM_OK, "a hash of a plan");
  return xlm_hash_value(&h);
}

// ---- the whole ----

void xlm_plan_write_json(const xlm_plan *p, xlm_json *j) {
  char hash[20];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)xlm_plan_hash(p, true, NULL));
  around(p, j);
  xlm_json_put_text(j, "hash", hash);
  xlm_json_array(j, "rank_plans", XLM_JSON_LINES);
  for (uint32_t i = 0; i < p->n_rank_plans; i++) rank_plan(j, p->rank_plans[i], p->mesh.n);
  xlm_json_close(j);
}

void xlm_plan_print_json(const xlm_plan *p, xlm_text *t) {
  xlm_json j;
  xlm_json_to_text(&j, t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_plan_write_json(p, &j);
  xlm_json_close(&j);
  xlm_text_add(t, "\n");
}
