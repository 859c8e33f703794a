// The page of a plan as JSON (fields: docs/estimates.md), in a fixed order.
#include <stdio.h>

#include "compiler/report/plan_page.h"

enum { DIGITS = 9 }; // of estimates

static void put_place(xlm_json *j, const xlm_plan *p, uint32_t line) {
  xlm_model_line at = xlm_plan_model_line(p, line);
  char file[512];
  snprintf(file, sizeof file, "%.*s", at.n, at.path);
  xlm_json_put_text(j, "file", line ? file : "");
  xlm_json_put_int(j, "line", line ? at.line : 0);
}

static void peak(xlm_json *j, const xlm_plan *p, const xlm_instr *in) {
  xlm_json_object(j, "peak", XLM_JSON_ROW);
  xlm_json_put_text(j, "op", xlm_op_name(in->op));
  xlm_json_put_text(j, "scope", in->scope);
  put_place(j, p, in->line);
  xlm_json_close(j);
}

static void stage(xlm_json *j, const xlm_plan *p, int number, const xlm_stage_row *row) {
  const xlm_rank_plan *r = row->rank;
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_int(j, "stage", number);
  xlm_json_put_int(j, "rank_plan", row->rank_plan);
  xlm_json_put_text(j, "rounds", row->rounds);
  xlm_json_object(j, "category_bytes", XLM_JSON_ROW);
  for (int c = 0; c < XLM_CATEGORIES; c++)
    xlm_json_put_int(j, xlm_category_name((xlm_category)c), (int64_t)r->category_bytes[c]);
  xlm_json_close(j);
  xlm_json_put_int(j, "arena_bytes", (int64_t)r->arena_bytes);
  if (r->n_instrs) peak(j, p, &r->instrs[r->peak_instr]);
  xlm_json_close(j);
}

static void stages(xlm_json *j, const xlm_plan *p, xlm_arena *a) {
  int n;
  xlm_stage_row *rows = xlm_report_stages(p, a, &n);
  xlm_json_array(j, "stages", XLM_JSON_LINES);
  for (int s = 0; s < n; s++) stage(j, p, s, &rows[s]);
  xlm_json_close(j);
}

static void communication(xlm_json *j, const xlm_plan *p, const xlm_plan_page *o, xlm_arena *a) {
  uint32_t n;
  xlm_traffic_row *rows = xlm_report_traffic(p, o->program, o->cluster, a, &n);
  xlm_json_array(j, "communication", XLM_JSON_LINES);
  for (uint32_t i = 0; i < n; i++) {
    const xlm_traffic_row *r = &rows[i];
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "axes", xlm_report_axes(&p->mesh, r->axes, a));
    xlm_json_put_text(j, "op", r->op);
    xlm_json_put_text(j, "value", r->value);
    put_place(j, p, r->line);
    xlm_json_put_int(j, "count", r->count);
    xlm_json_put_int(j, "bytes", (int64_t)r->bytes);
    if (o->cluster) xlm_json_put_rounded(j, "seconds", r->seconds, DIGITS);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void parts(xlm_json *j, const xlm_estimate *e) {
  xlm_json_array(j, "parts", XLM_JSON_LINES);
  for (int i = 0; i < e->schedule->stages * e->schedule->chunks; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_rounded(j, "f", e->parts[i].f, DIGITS);
    xlm_json_put_rounded(j, "b", e->parts[i].b, DIGITS);
    xlm_json_put_rounded(j, "w", e->parts[i].w, DIGITS);
    xlm_json_put_rounded(j, "send", e->parts[i].send, DIGITS);
    xlm_json_put_rounded(j, "last", e->parts[i].last, DIGITS);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void estimate(xlm_json *j, const xlm_plan_page *o) {
  const xlm_estimate *e = o->estimate;
  xlm_json_object(j, "estimate", XLM_JSON_LINES);
  xlm_json_put_text(j, "cluster", o->cluster->name);
  xlm_json_put_rounded(j, "step_seconds", e->step, DIGITS);
  xlm_json_put_rounded(j, "serial_step_seconds", e->step_serial, DIGITS);
  xlm_json_put_rounded(j, "bubble", e->bubble, DIGITS);
  xlm_json_put_rounded(j, "compute_seconds", e->compute, DIGITS);
  xlm_json_put_rounded(j, "floor_seconds", e->floor, DIGITS);
  xlm_json_put_rounded(j, "communication_seconds", e->communication, DIGITS);
  xlm_json_put_rounded(j, "tokens_per_second", e->tokens_per_second, DIGITS);
  xlm_json_put_rounded(j, "mfu", e->mfu, DIGITS);
  parts(j, e);
  xlm_json_array(j, "optimizer_seconds", XLM_JSON_ROW);
  for (int s = 0; s < e->schedule->stages; s++) xlm_json_put_rounded(j, NULL, e->optimizer[s], DIGITS);
  xlm_json_close(j);
  xlm_json_close(j);
}

// Of the programs other than training, one run of each.
static void runs(xlm_json *j, const xlm_plan *p, const xlm_plan_page *o, xlm_arena *a) {
  xlm_json_array(j, "runs", XLM_JSON_LINES);
  for (int i = XLM_PROGRAM_TRAIN + 1; i < XLM_PROGRAMS && o->cluster; i++) {
    xlm_run_estimate e = xlm_estimate_run(p, o->cluster, (xlm_program_id)i, a);
    if (!(e.seconds > 0)) continue;
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "program", xlm_program_name((xlm_program_id)i));
    xlm_json_put_rounded(j, "seconds", e.seconds, DIGITS);
    xlm_json_put_rounded(j, "compute_seconds", e.compute, DIGITS);
    xlm_json_put_rounded(j, "floor_seconds", e.floor, DIGITS);
    xlm_json_put_rounded(j, "communication_seconds", e.communication, DIGITS);
    xlm_json_put_rounded(j, "tokens", e.tokens, DIGITS);
    xlm_json_put_rounded(j, "tokens_per_second", e.tokens_per_second, DIGITS);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void experts(xlm_json *j, const xlm_plan *p, xlm_arena *a) {
  xlm_experts e = xlm_report_experts(p, a);
  if (!e.worst) {
    xlm_json_put_null(j, "experts");
    return;
  }
  xlm_json_object(j, "experts", XLM_JSON_ROW);
  xlm_json_put_int(j, "balanced_bytes", (int64_t)e.balanced);
  xlm_json_put_int(j, "worst_bytes", (int64_t)e.worst);
  xlm_json_put_int(j, "arena_balanced_bytes", (int64_t)e.arena_balanced);
  xlm_json_put_int(j, "arena_bytes", (int64_t)e.arena);
  xlm_json_close(j);
}

static void caches(xlm_json *j, const xlm_plan *p, xlm_arena *a) {
  xlm_caches c = xlm_report_caches(p, a);
  if (!c.n) {
    xlm_json_put_null(j, "caches");
    return;
  }
  xlm_json_object(j, "caches", XLM_JSON_LINES);
  xlm_json_put_int(j, "bytes_per_sequence", (int64_t)c.sequence);
  xlm_json_put_int(j, "bytes_per_token", (int64_t)c.token);
  xlm_json_put_int(j, "rank_bytes", (int64_t)c.rank);
  xlm_json_array(j, "rows", XLM_JSON_LINES);
  for (uint32_t i = 0; i < c.n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "name", c.rows[i].name);
    xlm_json_put_text(j, "type", c.rows[i].type);
    xlm_json_put_int(j, "number", c.rows[i].n);
    xlm_json_put_int(j, "bytes_per_sequence", (int64_t)c.rows[i].sequence);
    xlm_json_put_int(j, "bytes_per_token", (int64_t)c.rows[i].token);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}

static uint64_t fullest(const xlm_plan *p) {
  uint64_t most = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->arena_bytes > most) most = p->rank_plans[c]->arena_bytes;
  return most;
}

static void updates(xlm_json *j, const xlm_plan_page *o) {
  xlm_json_array(j, "updates", XLM_JSON_LINES);
  for (int i = 0; i < o->n_updates; i++) {
    const xlm_update_row *u = &o->updates[i];
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "group", u->choice.group);
    xlm_json_put_text(j, "optimizer", u->choice.frozen ? NULL : u->choice.optimizer->name); // null: frozen
    xlm_json_put_int(j, "tensors", (int64_t)u->parameters);
    xlm_json_put_real(j, "parameters", (double)u->elements);
    xlm_json_put_real(j, "lr", u->choice.lr);
    xlm_json_put_real(j, "weight_decay", u->choice.weight_decay);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void fits(xlm_json *j, const xlm_plan *p, const xlm_plan_page *o) {
  if (o->memory_limit) {
    xlm_json_put_int(j, "memory_limit", (int64_t)o->memory_limit);
    xlm_json_put_bool(j, "fits", fullest(p) <= o->memory_limit);
  } else {
    xlm_json_put_null(j, "memory_limit");
    xlm_json_put_null(j, "fits");
  }
  xlm_json_put_text(j, "advice", o->advice);
}

void xlm_report_plan_ranks_json(const xlm_plan *p, const xlm_plan_page *o, xlm_arena *a, const char *key,
                                xlm_json *j) {
  xlm_json_object(j, key, XLM_JSON_LINES);
  xlm_json_put_int(j, "xlm_report", 1);
  xlm_json_put_text(j, "model", p->model);
  xlm_json_put_text(j, "preset", p->preset);
  xlm_json_put_text(j, "dtype", xlm_dtype_name(p->dtype));
  xlm_json_put_real(j, "parameters", p->parameters);
  xlm_json_put_int(j, "ranks", p->n_ranks);
  xlm_json_put_int(j, "rank_plans", p->n_rank_plans);
  xlm_plan_write_mesh(&p->mesh, j);
  xlm_plan_write_target(&p->target, j);
  xlm_json_put_int(j, "samples_per_step", p->batch * p->microbatches);
  xlm_json_put_int(j, "seq", p->seq);
  xlm_json_put_int(j, "microbatches", p->microbatches);
  xlm_json_put_text(j, "program", xlm_program_name(o->program));
  xlm_json_put_text(j, "schedule", o->schedule);
  xlm_json_put_real(j, "model_flops_per_token", p->model_flops_per_token);
  stages(j, p, a);
  caches(j, p, a);
  experts(j, p, a);
  fits(j, p, o);
  communication(j, p, o, a);
  updates(j, o);
  xlm_json_put_int(j, "verified_operations", o->verified);
  if (o->estimate)
    estimate(j, o);
  else
    xlm_json_put_null(j, "estimate");
  if (o->program != XLM_PROGRAM_TRAIN) runs(j, p, o, a);
  xlm_json_close(j);
}
