// One rank plan as JSON.
#include "runtime/plan/json_write_priv.h"

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
  xlm_json_put_ints(j, "dims", x->type.dim, x->type.rank);
  const xlm_panels *p = &x->type.panels;
  if (p->width) xlm_json_put_ints(j, "panels", (uint32_t[]){p->width, p->split, p->columns_first}, 3);
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
  xlm_json_put_ints(j, "in", i->in, i->n_in);
  xlm_json_put_ints(j, "out", i->out, i->n_out);
  xlm_json_put_attrs(j, &i->attrs);
  if (i->stream) xlm_json_put_int(j, "stream", i->stream);
  if (i->after) xlm_json_put_int(j, "after", i->after);
  xlm_json_put_int(j, "workspace", (int64_t)i->workspace);
  xlm_json_put_int(j, "workspace_at", (int64_t)i->workspace_at);
  xlm_json_put_number(j, "flops", i->flops);
  xlm_json_put_number(j, "model_flops", i->model_flops);
  xlm_json_put_number(j, "bytes", i->bytes);
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

static void state(xlm_json *j, const xlm_plan_state *s) {
  xlm_json_put_text(j, "name", s->name);
  xlm_json_put_text(j, "role", xlm_enum_name(XLM_ENUM_ROLE, s->role));
  xlm_json_put_init(j, "init", &s->init);
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

// Per area with slots: the offset of each slot, then the end of the last.
static void slots(xlm_json *j, const xlm_rank_plan *r) {
  xlm_json_array(j, "slots", XLM_JSON_ROW);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) xlm_json_put_longs(j, NULL, r->slots[k].at, r->slots[k].n + 1);
  xlm_json_close(j);
}

static void programs(xlm_json *j, const xlm_rank_plan *r) { // the segment of each, but for train
  xlm_json_object(j, "programs", XLM_JSON_ROW);
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (r->segment_of[p] >= 0) xlm_json_put_int(j, xlm_program_name((xlm_program_id)p), r->segment_of[p]);
  xlm_json_close(j);
}

void xlm_json_put_rank(xlm_json *j, const xlm_rank_plan *r, uint8_t n_axes) {
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_int(j, "stage", r->stage);
  xlm_json_array(j, "coord", XLM_JSON_ROW);
  for (int i = 0; i < n_axes; i++) xlm_json_put_int(j, NULL, r->coord[i]);
  xlm_json_close(j);
  xlm_json_put_int(j, "arena_bytes", (int64_t)r->arena_bytes);
  xlm_json_put_longs(j, "area_begin", r->area_begin, XLM_AREAS);
  xlm_json_put_longs(j, "area_bytes", r->area_bytes, XLM_AREAS);
  slots(j, r);
  xlm_json_put_longs(j, "category_bytes", r->category_bytes, XLM_CATEGORIES);
  xlm_json_put_int(j, "free_bytes", (int64_t)r->free_bytes);
  xlm_json_put_int(j, "peak_instr", r->peak_instr);
  programs(j, r);
  XLM_JSON_LIST("dims", r->dims, r->n_dims, 1, dim);
  XLM_JSON_LIST("states", r->states, r->n_states, 0, state);
  XLM_JSON_LIST("inputs", r->inputs, r->n_inputs, 0, input);
  XLM_JSON_LIST("outputs", r->outputs, r->n_outputs, 0, output);
  XLM_JSON_LIST("segments", r->segments, r->n_segments, 0, segment);
  XLM_JSON_LIST("schedule", r->schedule, r->n_schedule, 0, slot_run);
  XLM_JSON_LIST("tensors", r->tensors, r->n_tensors, 1, tensor);
  XLM_JSON_LIST("instructions", r->instrs, r->n_instrs, 0, instr);
  xlm_json_close(j);
}
