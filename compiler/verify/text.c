// Names of ranks, instructions and tensors in messages.
#include <stdio.h>

#include "compiler/verify/verify_plan_priv.h"

bool xlm_verify_fail(verifier *v, const char *fmt, ...) {
  if (v->wrong) return false;
  xlm_error e;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e.text, sizeof e.text, fmt, ap);
  va_end(ap);
  v->wrong = xlm_arena_strdup(v->arena, e.text);
  return false;
}

static const char *or_empty(const char *s) {
  return s ? s : "";
}

const char *xlm_verify_axes(const verifier *v, uint32_t axes) {
  xlm_text t = xlm_text_new(v->arena);
  for (int i = 0; i < v->plan->mesh.n; i++)
    if (axes >> i & 1) xlm_text_printf(&t, "%s%.32s", t.n ? ", " : "", or_empty(v->plan->mesh.axis[i]));
  return t.n ? t.data : "nothing";
}

const char *xlm_verify_rank(const verifier *v, int64_t rank) {
  xlm_text t = xlm_text_new(v->arena);
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&v->plan->mesh, rank, coord);
  xlm_text_printf(&t, "rank %lld", (long long)rank);
  const char *before = " (";
  for (int i = 0; i < v->plan->mesh.n; i++) {
    if (v->plan->mesh.size[i] < 2) continue;
    xlm_text_printf(&t, "%s%.32s %d", before, or_empty(v->plan->mesh.axis[i]), coord[i]);
    before = ", ";
  }
  if (*before == ',') xlm_text_add(&t, ")");
  return t.data;
}

static const char *place(const verifier *v, const char *scope, uint32_t line) {
  xlm_text t = xlm_text_new(v->arena);
  if (scope && *scope) xlm_text_printf(&t, " of %.100s", scope);
  xlm_model_line at = xlm_plan_model_line(v->plan, line);
  if (line) xlm_text_printf(&t, " (%.*s:%u)", at.n < 200 ? at.n : 200, at.path, at.line);
  return t.n ? t.data : "";
}

const char *xlm_verify_instr(const verifier *v, const xlm_instr *in) {
  xlm_text t = xlm_text_new(v->arena);
  uint32_t axes = (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0);
  comm_form form;
  xlm_text_printf(&t, "`%s`", xlm_op_name(in->op));
  if (xlm_verify_form(in->op, &form) && form == COMM_COLLECTIVE)
    xlm_text_printf(&t, " over %s", xlm_verify_axes(v, axes));
  xlm_text_add(&t, place(v, in->scope, in->line));
  return t.data;
}

const char *xlm_verify_tensor(const verifier *v, const xlm_rank_plan *r, uint32_t tensor) {
  const xlm_tensor *t = &r->tensors[tensor];
  const char *where = place(v, NULL, t->line);
  if (t->name && *t->name) return xlm_arena_printf(v->arena, "`%.100s`%s", t->name, where);
  return xlm_arena_printf(v->arena, "an unnamed value, tensor %u%s", tensor, where);
}

const char *xlm_verify_run(const verifier *v, const xlm_rank_plan *r, const xlm_segment_run *run) {
  const xlm_segment *s = &r->segments[run->segment];
  if (run->microbatch < 0 || xlm_segment_program(s->kind) != XLM_PROGRAM_TRAIN)
    return xlm_segment_name(s->kind);
  return xlm_arena_printf(v->arena, "%s of microbatch %d", xlm_segment_name(s->kind), run->microbatch);
}

const char *xlm_verify_owner(const verifier *v, uint32_t rank_plan) {
  uint32_t rank = 0;
  while (rank + 1 < v->plan->n_ranks && v->plan->rank_plan_of[rank] != rank_plan) rank++;
  return xlm_verify_rank(v, rank);
}
