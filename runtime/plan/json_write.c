// The plan as JSON; its documentation is docs/plan.md. Tensors, dims and instructions refer to each other by
// index, as in plan.h. Every number that matters is an integer or a decimal that reads back to the same
// double.
#include <math.h>
#include <string.h>

#include "runtime/plan/plan.h"

static void string(xlm_text *t, const char *s) {
  if (!s) {
    xlm_text_add(t, "null");
    return;
  }
  xlm_text_add(t, "\"");
  for (; *s; s++) {
    if (*s == '"' || *s == '\\')
      xlm_text_printf(t, "\\%c", *s);
    else if ((unsigned char)*s < 0x20)
      xlm_text_printf(t, "\\u%04x", (unsigned)*s);
    else
      xlm_text_addn(t, s, 1);
  }
  xlm_text_add(t, "\"");
}

static void number(xlm_text *t, double x) {
  if (isfinite(x))
    xlm_text_double(t, x);
  else
    xlm_text_add(t, isnan(x) ? "\"nan\"" : x > 0 ? "\"inf\"" : "\"-inf\"");
}

static void key(xlm_text *t, const char *name, bool first) {
  xlm_text_printf(t, "%s\"%s\": ", first ? "" : ", ", name);
}

static void text_field(xlm_text *t, const char *name, const char *value, bool first) {
  key(t, name, first);
  string(t, value);
}

static void int_field(xlm_text *t, const char *name, int64_t value, bool first) {
  key(t, name, first);
  xlm_text_printf(t, "%lld", (long long)value);
}

static void number_field(xlm_text *t, const char *name, double value, bool first) {
  key(t, name, first);
  number(t, value);
}

static void ints(xlm_text *t, const char *name, const uint32_t *at, uint32_t n, bool first) {
  key(t, name, first);
  for (uint32_t i = 0; i < n; i++) xlm_text_printf(t, "%s%u", i ? ", " : "[", at[i]);
  xlm_text_add(t, n ? "]" : "[]");
}

static void longs(xlm_text *t, const char *name, const uint64_t *at, uint32_t n) {
  key(t, name, false);
  for (uint32_t i = 0; i < n; i++) xlm_text_printf(t, "%s%llu", i ? ", " : "[", (unsigned long long)at[i]);
  xlm_text_add(t, "]");
}

static void code(xlm_text *t, const xlm_code *c) {
  xlm_text_printf(t, "{\"in\": %u, \"out\": [", c->n_in);
  for (int i = 0; i < c->n_out; i++) xlm_text_printf(t, "%s%u", i ? ", " : "", c->out[i]);
  xlm_text_add(t, "], \"at\": [");
  for (int i = 0; i < c->n; i++) {
    const xlm_code_instr *in = &c->at[i];
    xlm_text_printf(t, "%s[\"%s\", %u, %u, %u, ", i ? ", " : "", xlm_fn_name((xlm_fn)in->fn), in->a[0],
                    in->a[1], in->a[2]);
    number(t, in->imm);
    xlm_text_add(t, "]");
  }
  xlm_text_add(t, "]}");
}

static void write_int(xlm_text *t, const xlm_attr *a) {
  xlm_text_printf(t, "%lld", (long long)a->i);
}
static void write_float(xlm_text *t, const xlm_attr *a) {
  number(t, a->f);
}
static void write_text(xlm_text *t, const xlm_attr *a) {
  string(t, a->text);
}
static void write_code(xlm_text *t, const xlm_attr *a) {
  code(t, a->code);
}
static void write_dims(xlm_text *t, const xlm_attr *a) {
  xlm_text_add(t, "[");
  for (int i = 0; i < a->n; i++) xlm_text_printf(t, "%s%u", i ? ", " : "", a->dims[i]);
  xlm_text_add(t, "]");
}

static void (*const write_attr[])(xlm_text *, const xlm_attr *) = {[XLM_ATTR_INT] = write_int,
                                                                   [XLM_ATTR_FLOAT] = write_float,
                                                                   [XLM_ATTR_DIMS] = write_dims,
                                                                   [XLM_ATTR_TEXT] = write_text,
                                                                   [XLM_ATTR_CODE] = write_code};

static void attrs(xlm_text *t, const xlm_attrs *as) {
  key(t, "attrs", false);
  xlm_text_add(t, "{");
  for (int i = 0; i < as->n; i++) {
    key(t, xlm_attr_name(as->at[i].key), i == 0);
    write_attr[xlm_attr_kind_of(as->at[i].key)](t, &as->at[i]);
  }
  xlm_text_add(t, "}");
}

static void dim(xlm_text *t, const xlm_dim_info *d) {
  text_field(t, "name", d->name, true);
  int_field(t, "size", d->size, false);
  int_field(t, "full", d->full, false);
  int_field(t, "offset", d->offset, false);
  if (d->tail) int_field(t, "tail", d->tail, false), int_field(t, "tail_offset", d->tail_offset, false);
  int_field(t, "axes", d->axes, false);
  if (d->mirrored) int_field(t, "mirrored", d->mirrored, false);
  if (d->grain > 1) int_field(t, "grain", d->grain, false);
  if (d->ragged) xlm_text_add(t, ", \"ragged\": true");
}

static void tensor(xlm_text *t, const xlm_tensor *x) {
  text_field(t, "name", x->name, true);
  text_field(t, "dtype", xlm_dtype_name(x->type.dtype), false);
  ints(t, "dims", x->type.dim, x->type.rank, false);
  text_field(t, "category", xlm_category_name(x->category), false);
  int_field(t, "area", x->area, false);
  int_field(t, "offset", (int64_t)x->offset, false);
  int_field(t, "bytes", (int64_t)x->bytes, false);
  if (x->view_of) int_field(t, "view_of", x->view_of, false);
  if (x->partial) int_field(t, "partial", x->partial, false);
  int_field(t, "line", x->line, false);
}

static void instr(xlm_text *t, const xlm_instr *i) {
  text_field(t, "op", xlm_op_name(i->op), true);
  ints(t, "in", i->in, i->n_in, false);
  ints(t, "out", i->out, i->n_out, false);
  attrs(t, &i->attrs);
  if (i->stream) int_field(t, "stream", i->stream, false);
  if (i->after) int_field(t, "after", i->after, false);
  int_field(t, "workspace", (int64_t)i->workspace, false);
  int_field(t, "workspace_at", (int64_t)i->workspace_at, false);
  number_field(t, "flops", i->flops, false);
  number_field(t, "model_flops", i->model_flops, false);
  number_field(t, "bytes", i->bytes, false);
  int_field(t, "line", i->line, false);
  text_field(t, "scope", i->scope, false);
}

static void segment(xlm_text *t, const xlm_segment *s) {
  text_field(t, "kind", xlm_segment_name(s->kind), true);
  int_field(t, "stage", s->stage, false);
  int_field(t, "chunk", s->chunk, false);
  if (s->rest) xlm_text_add(t, ", \"rest\": true");
  int_field(t, "first", s->first, false);
  int_field(t, "n", s->n, false);
}

static void slot_run(xlm_text *t, const xlm_segment_run *r) {
  int_field(t, "segment", r->segment, true);
  int_field(t, "microbatch", r->microbatch, false);
  xlm_text_printf(t, ", \"slots\": [%d, %d, %d]", r->slot[0], r->slot[1], r->slot[2]);
}

static void state(xlm_text *t, const xlm_plan_state *s) {
  text_field(t, "name", s->name, true);
  text_field(t, "role", s->role, false);
  text_field(t, "init", s->init, false);
  int_field(t, "tensor", s->tensor, false);
  xlm_text_printf(t, ", \"saved\": %s", s->saved ? "true" : "false");
}

static void input(xlm_text *t, const xlm_plan_input *in) {
  text_field(t, "name", in->name, true);
  text_field(t, "role", in->role, false);
  int_field(t, "tensor", in->tensor, false);
  int_field(t, "eval_tensor", in->eval_tensor, false);
  int_field(t, "ignore", in->ignore, false);
  int_field(t, "vocab", in->vocab, false);
  int_field(t, "chunk", in->chunk, false);
}

static void output(xlm_text *t, const xlm_plan_output *o) {
  text_field(t, "name", o->name, true);
  text_field(t, "role", o->role, false);
  xlm_text_printf(t, ", \"eval\": %s", o->eval ? "true" : "false");
  int_field(t, "tensor", o->tensor, false);
}

// One entry a line, so that two plans can be compared with diff.
#define LIST(name, at, n, first, write)                                                                      \
  do {                                                                                                       \
    xlm_text_printf(t, ",\n   \"%s\": [", name);                                                             \
    for (uint32_t list_i = first; list_i < (n); list_i++) {                                                  \
      xlm_text_printf(t, "%s\n    {", list_i > first ? "," : "");                                            \
      write(t, &(at)[list_i]);                                                                               \
      xlm_text_add(t, "}");                                                                                  \
    }                                                                                                        \
    xlm_text_add(t, "]");                                                                                    \
  } while (0)

// Per area with slots: where each slot begins, and where the last ends.
static void slots(xlm_text *t, const xlm_rank_plan *r) {
  key(t, "slots", false);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) {
    xlm_text_add(t, k ? ", [" : "[[");
    for (int32_t i = 0; i <= r->slots[k].n; i++)
      xlm_text_printf(t, "%s%llu", i ? ", " : "", (unsigned long long)r->slots[k].at[i]);
    xlm_text_add(t, "]");
  }
  xlm_text_add(t, "]");
}

static void rank_plan(xlm_text *t, const xlm_rank_plan *r, uint8_t n_axes) {
  xlm_text_printf(t, "  {\"stage\": %d", r->stage);
  key(t, "coord", false);
  for (int i = 0; i < n_axes; i++) xlm_text_printf(t, "%s%d", i ? ", " : "[", r->coord[i]);
  xlm_text_add(t, n_axes ? "]" : "[]");
  int_field(t, "arena_bytes", (int64_t)r->arena_bytes, false);
  longs(t, "area_begin", r->area_begin, XLM_AREAS);
  longs(t, "area_bytes", r->area_bytes, XLM_AREAS);
  slots(t, r);
  longs(t, "category_bytes", r->category_bytes, XLM_CATEGORIES);
  int_field(t, "free_bytes", (int64_t)r->free_bytes, false);
  int_field(t, "peak_instr", r->peak_instr, false);
  int_field(t, "eval_segment", r->eval_segment, false);
  LIST("dims", r->dims, r->n_dims, 1, dim);
  LIST("states", r->states, r->n_states, 0, state);
  LIST("inputs", r->inputs, r->n_inputs, 0, input);
  LIST("outputs", r->outputs, r->n_outputs, 0, output);
  LIST("segments", r->segments, r->n_segments, 0, segment);
  LIST("schedule", r->schedule, r->n_schedule, 0, slot_run);
  LIST("tensors", r->tensors, r->n_tensors, 1, tensor);
  LIST("instructions", r->instrs, r->n_instrs, 0, instr);
  xlm_text_add(t, "}");
}

static void weight(xlm_text *t, const xlm_plan_weight *w) {
  text_field(t, "param", w->param, true);
  text_field(t, "external", w->external, false);
  int_field(t, "each", w->each, false);
  key(t, "groups", false);
  xlm_text_add(t, "[");
  for (int i = 0; i < w->n_groups; i++) {
    xlm_text_add(t, i ? ", {" : "{");
    ints(t, "dims", w->group[i].dim, w->group[i].n, true);
    int_field(t, "part", w->group[i].part, false);
    int_field(t, "parts", w->group[i].parts, false);
    xlm_text_add(t, "}");
  }
  xlm_text_add(t, "]");
}

static void config(xlm_text *t, const xlm_plan_config *c) {
  text_field(t, "name", c->name, true);
  number_field(t, "value", c->value, false);
  xlm_text_printf(t, ", \"integer\": %s, \"aliases\": [", c->integer ? "true" : "false");
  for (int i = 0; i < c->n_aliases; i++) {
    xlm_text_add(t, i ? ", " : "");
    string(t, c->alias[i]);
  }
  xlm_text_add(t, "]");
}

static void setting(xlm_text *t, const xlm_plan_setting *s) {
  text_field(t, "key", s->key, true);
  text_field(t, "value", s->value, false);
}

static void mesh(xlm_text *t, const xlm_mesh *m) {
  key(t, "mesh", false);
  xlm_text_add(t, "[");
  for (int i = 0; i < m->n; i++) {
    xlm_text_printf(t, "%s{", i ? ", " : "");
    text_field(t, "axis", m->axis[i], true);
    int_field(t, "size", m->size[i], false);
    xlm_text_add(t, "}");
  }
  xlm_text_add(t, "]");
}

static void plan(const xlm_plan *p, xlm_text *t) { // without the last brace
  xlm_text_add(t, "{\"xlm_plan\": 1");
  text_field(t, "model", p->model, false);
  text_field(t, "preset", p->preset, false);
  text_field(t, "source", p->source_path, false);
  text_field(t, "source_text", p->source_text, false);
  text_field(t, "text_hash", p->text_hash, false);
  text_field(t, "dtype", xlm_dtype_name(p->dtype), false);
  int_field(t, "batch", p->batch, false);
  int_field(t, "seq", p->seq, false);
  int_field(t, "microbatches", p->microbatches, false);
  int_field(t, "threads", p->threads, false);
  int_field(t, "seed", (int64_t)p->seed, false);
  mesh(t, &p->mesh);
  number_field(t, "parameters", p->parameters, false);
  number_field(t, "model_flops_per_token", p->model_flops_per_token, false);
  text_field(t, "weights_name", p->weights_name, false);
  LIST("weights", p->weights, p->n_weights, 0, weight);
  LIST("config", p->config, p->n_config, 0, config);
  LIST("settings", p->settings, p->n_settings, 0, setting);
  ints(t, "rank_plan_of", p->rank_plan_of, p->n_ranks, false);
  xlm_text_add(t, ",\n \"rank_plans\": [\n");
  for (uint32_t i = 0; i < p->n_rank_plans; i++) {
    xlm_text_add(t, i ? ",\n" : "");
    rank_plan(t, p->rank_plans[i], p->mesh.n);
  }
  xlm_text_add(t, "]");
}

void xlm_plan_print_json(const xlm_plan *p, xlm_text *t) {
  plan(p, t);
  xlm_text_add(t, "}\n");
}

void xlm_plan_print_json_with(const xlm_plan *p, const char *name, const char *text, xlm_text *t) {
  plan(p, t);
  xlm_text_printf(t, ",\n \"%s\": ", name);
  xlm_text_add(t, text);
  xlm_text_add(t, "}\n");
}
