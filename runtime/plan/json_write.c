// The plan as JSON; docs/plan.md documents it. Tensors, dims and instructions refer to each other by index,
// as in plan.h. Numbers are integers, or decimals that read back as the same double.
#include <stdio.h>

#include "runtime/base/hash.h"
#include "runtime/plan/json_write_priv.h"

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
  xlm_json_put_number(j, "value", c->value);
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
  if (p->prefix) xlm_json_put_int(j, "prefix", p->prefix);
  xlm_plan_write_target(&p->target, j);
  xlm_json_put_int(j, "seed", (int64_t)p->seed);
  xlm_plan_write_mesh(&p->mesh, j);
  xlm_json_put_number(j, "parameters", p->parameters);
  xlm_json_put_number(j, "model_flops_per_token", p->model_flops_per_token);
  xlm_json_put_text(j, "weights_name", p->weights_name);
  XLM_JSON_LIST("weights", p->weights, p->n_weights, 0, weight);
  XLM_JSON_LIST("config", p->config, p->n_config, 0, config);
  XLM_JSON_LIST("keys", p->keys, p->n_keys, 0, config_key);
  XLM_JSON_LIST("settings", p->settings, p->n_settings, 0, setting);
  xlm_json_put_ints(j, "rank_plan_of", p->rank_plan_of, p->n_ranks);
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
  if (!places) common.target.threads = 0, common.n_settings = 0; // what settings change stands in the ranks
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  around(&common, &j);
  xlm_json_array(&j, "rank_plans", XLM_JSON_LINES);
  for (uint32_t i = 0; i < p->n_rank_plans; i++) {
    xlm_rank_plan bare = places ? *p->rank_plans[i] : without_places(p->rank_plans[i], a);
    xlm_json_put_rank(&j, &bare, p->mesh.n);
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
  for (uint32_t i = 0; i < p->n_rank_plans; i++) xlm_json_put_rank(j, p->rank_plans[i], p->mesh.n);
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
