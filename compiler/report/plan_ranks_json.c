// What the page of a plan says, as JSON (fields: docs/estimates.md). By jansson, in a fixed order.
#include <jansson.h>
#include <stdlib.h>

#include "compiler/report/plan_page.h"

static json_t *number(uint64_t n) {
  return json_integer((json_int_t)n);
}

static json_t *mesh(const xlm_mesh *m) {
  json_t *list = json_array();
  for (int i = 0; i < m->n; i++)
    json_array_append_new(list, json_pack("{s:s, s:i}", "axis", m->axis[i], "size", (int)m->size[i]));
  return list;
}

static json_t *stage(const xlm_plan *p, int number_of, const xlm_stage_row *row) {
  const xlm_rank_plan *r = row->rank;
  json_t *bytes = json_object(), *out = json_object();
  json_object_set_new(out, "stage", json_integer(number_of));
  json_object_set_new(out, "rank_plan", number(row->rank_plan));
  json_object_set_new(out, "rounds", json_string(row->rounds));
  for (int c = 0; c < XLM_CATEGORIES; c++)
    json_object_set_new(bytes, xlm_category_name((xlm_category)c), number(r->category_bytes[c]));
  json_object_set_new(out, "category_bytes", bytes);
  json_object_set_new(out, "arena_bytes", number(r->arena_bytes));
  if (!r->n_instrs) return out;
  const xlm_instr *in = &r->instrs[r->peak_instr];
  json_object_set_new(out, "peak",
                      json_pack("{s:s, s:s, s:s, s:I}", "op", xlm_op_name(in->op), "scope", in->scope, "file",
                                p->source_path, "line", (json_int_t)in->line));
  return out;
}

static json_t *stages(const xlm_plan *p, xlm_arena *a) {
  int n;
  xlm_stage_row *rows = xlm_report_stages(p, a, &n);
  json_t *list = json_array();
  for (int s = 0; s < n; s++) json_array_append_new(list, stage(p, s, &rows[s]));
  return list;
}

static json_t *communication(const xlm_plan *p, const xlm_plan_page *o, xlm_arena *a) {
  uint32_t n;
  xlm_traffic_row *rows = xlm_report_traffic(p, o->cluster, a, &n);
  json_t *list = json_array();
  for (uint32_t i = 0; i < n; i++) {
    const xlm_traffic_row *r = &rows[i];
    json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "axes", xlm_report_axes(&p->mesh, r->axes, a),
                            "op", r->op, "value", r->value, "line", (json_int_t)r->line, "count",
                            (json_int_t)r->count, "bytes", (json_int_t)r->bytes);
    if (o->cluster) json_object_set_new(row, "seconds", json_real(r->seconds));
    json_array_append_new(list, row);
  }
  return list;
}

static json_t *estimate(const xlm_plan_page *o) {
  const xlm_estimate *e = o->estimate;
  json_t *parts = json_array(), *optimizer = json_array();
  for (int i = 0; i < e->schedule->stages * e->schedule->chunks; i++)
    json_array_append_new(parts,
                          json_pack("{s:f, s:f, s:f, s:f, s:f}", "f", e->parts[i].f, "b", e->parts[i].b, "w",
                                    e->parts[i].w, "send", e->parts[i].send, "last", e->parts[i].last));
  for (int s = 0; s < e->schedule->stages; s++) json_array_append_new(optimizer, json_real(e->optimizer[s]));
  return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "cluster", o->cluster->name,
                   "step_seconds", e->step, "serial_step_seconds", e->step_serial, "bubble", e->bubble,
                   "compute_seconds", e->compute, "communication_seconds", e->communication,
                   "tokens_per_second", e->tokens_per_second, "mfu", e->mfu, "parts", parts,
                   "optimizer_seconds", optimizer);
}

static json_t *experts(const xlm_plan *p, xlm_arena *a) {
  xlm_experts e = xlm_report_experts(p, a);
  if (!e.worst) return json_null();
  return json_pack("{s:I, s:I, s:I, s:I}", "balanced_bytes", (json_int_t)e.balanced, "worst_bytes",
                   (json_int_t)e.worst, "arena_balanced_bytes", (json_int_t)e.arena_balanced, "arena_bytes",
                   (json_int_t)e.arena);
}

static json_t *updates(const xlm_plan_page *o) {
  json_t *list = json_array();
  for (int i = 0; i < o->n_updates; i++) {
    const xlm_update_row *u = &o->updates[i];
    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "group", u->choice.group,
                                          "optimizer", u->choice.optimizer->name, "tensors",
                                          (json_int_t)u->parameters, "parameters", u->elements, "lr",
                                          u->choice.lr, "weight_decay", u->choice.weight_decay));
  }
  return list;
}

static uint64_t fullest(const xlm_plan *p) {
  uint64_t most = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->arena_bytes > most) most = p->rank_plans[c]->arena_bytes;
  return most;
}

void xlm_report_plan_ranks_json(const xlm_plan *p, const xlm_plan_page *o, xlm_text *out) {
  xlm_arena *a = out->arena;
  json_t *top = json_object();
  json_object_set_new(top, "xlm_report", json_integer(1));
  json_object_set_new(top, "model", json_string(p->model));
  json_object_set_new(top, "preset", p->preset ? json_string(p->preset) : json_null());
  json_object_set_new(top, "dtype", json_string(xlm_dtype_name(p->dtype)));
  json_object_set_new(top, "parameters", json_real(p->parameters));
  json_object_set_new(top, "ranks", number(p->n_ranks));
  json_object_set_new(top, "rank_plans", number(p->n_rank_plans));
  json_object_set_new(top, "mesh", mesh(&p->mesh));
  json_object_set_new(top, "samples_per_step", json_integer(p->batch * p->microbatches));
  json_object_set_new(top, "seq", json_integer(p->seq));
  json_object_set_new(top, "microbatches", json_integer(p->microbatches));
  json_object_set_new(top, "schedule", o->schedule ? json_string(o->schedule) : json_null());
  json_object_set_new(top, "model_flops_per_token", json_real(p->model_flops_per_token));
  json_object_set_new(top, "stages", stages(p, a));
  json_object_set_new(top, "experts", experts(p, a));
  json_object_set_new(top, "memory_limit", o->memory_limit ? number(o->memory_limit) : json_null());
  json_object_set_new(top, "fits",
                      o->memory_limit ? json_boolean(fullest(p) <= o->memory_limit) : json_null());
  json_object_set_new(top, "advice", o->advice ? json_string(o->advice) : json_null());
  json_object_set_new(top, "communication", communication(p, o, a));
  json_object_set_new(top, "updates", updates(o));
  json_object_set_new(top, "verified_operations", json_integer(o->verified));
  json_object_set_new(top, "estimate", o->estimate ? estimate(o) : json_null());
  char *text = json_dumps(top, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
  xlm_text_add(out, text ? text : "{}");
  xlm_text_add(out, "\n");
  free(text);
  json_decref(top);
}
