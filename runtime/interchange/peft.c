// Adapters for PEFT: a folder that it loads; see peft.h.
#include "runtime/interchange/peft_priv.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

// ---- adapter_config.json ----

static const char *last_name(const char *module) {
  const char *dot = strrchr(module, '.');
  return dot ? dot + 1 : module;
}

// Has every layer of this last name an adapter?
static bool has_all(const xlm_peft *x, const char *last) {
  uint32_t adapted = 0, all = 0;
  for (uint32_t i = 0; i < x->n; i++) adapted += !strcmp(last_name(x->layers[i].module), last);
  for (uint32_t i = 0; i < x->plan->n_weights; i++) {
    const char *module = xlm_peft_without(x->a, x->plan->weights[i].external, XLM_PEFT_END_WEIGHT);
    all += module && !strcmp(last_name(module), last);
  }
  return adapted == all;
}

// Last names where they say it, as PEFT writes them, else whole ones.
static void put_targets(const xlm_peft *x, xlm_json *j) {
  xlm_json_array(j, "target_modules", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < x->n; i++) {
    const char *last = last_name(x->layers[i].module);
    bool all = has_all(x, last), known = false;
    for (uint32_t k = 0; k < i && all; k++) known |= !strcmp(last_name(x->layers[k].module), last);
    if (!known) xlm_json_put_text(j, NULL, all ? last : x->layers[i].module);
  }
  xlm_json_close(j);
}

static void put_alpha(xlm_json *j, const char *key, double alpha) {
  if (alpha == (double)(int64_t)alpha)
    xlm_json_put_int(j, key, (int64_t)alpha);
  else
    xlm_json_put_rounded(j, key, alpha, 15);
}

// Those that differ from the first, whose numbers hold for all others.
static void put_patterns(const xlm_peft *x, xlm_json *j) {
  xlm_json_object(j, "rank_pattern", XLM_JSON_LINES);
  for (uint32_t i = 0; i < x->n; i++)
    if (x->layers[i].rank != x->layers->rank) xlm_json_put_int(j, x->layers[i].module, x->layers[i].rank);
  xlm_json_close(j);
  xlm_json_object(j, "alpha_pattern", XLM_JSON_LINES);
  for (uint32_t i = 0; i < x->n; i++)
    if (x->layers[i].alpha != x->layers->alpha) put_alpha(j, x->layers[i].module, x->layers[i].alpha);
  xlm_json_close(j);
}

static const char *task_of(const xlm_plan *p) { // by the first of the architectures; NULL: another one
  for (uint32_t i = 0; i < p->n_keys; i++) {
    if (strcmp(p->keys[i].key, "architectures") != 0) continue;
    if (strstr(p->keys[i].json, "ForCausalLM") || strstr(p->keys[i].json, "LMHeadModel")) return "CAUSAL_LM";
    if (strstr(p->keys[i].json, "ForConditionalGeneration")) return "SEQ_2_SEQ_LM";
  }
  return NULL;
}

static void put_text(xlm_json *j, const char *key, const char *text) {
  if (text && *text)
    xlm_json_put_text(j, key, text);
  else
    xlm_json_put_null(j, key);
}

static xlm_text config_of(const xlm_peft *x, const char *base) {
  xlm_text out = xlm_text_new(x->a);
  xlm_json j;
  xlm_json_to_text(&j, &out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "peft_type", "LORA");
  put_text(&j, "task_type", task_of(x->plan));
  put_text(&j, "base_model_name_or_path", base);
  xlm_json_put_bool(&j, "inference_mode", true);
  xlm_json_put_int(&j, "r", x->layers->rank);
  put_alpha(&j, "lora_alpha", x->layers->alpha);
  xlm_json_put_rounded(&j, "lora_dropout", 0, 15);
  xlm_json_put_text(&j, "bias", "none");
  xlm_json_put_bool(&j, "fan_in_fan_out", x->layers->in_first);
  put_targets(x, &j);
  put_patterns(x, &j);
  xlm_json_close(&j);
  xlm_text_add(&out, "\n");
  return out;
}

// ---- all ----

static xlm_status write_folder(xlm_peft *x, const char *folder, const char *base,
                               const xlm_export_options *o) {
  xlm_plan plan = *x->plan;
  xlm_export_options own = *o;
  xlm_weights *w;
  xlm_text config = config_of(x, base);
  plan.weights = x->entries, plan.n_weights = x->n_entries;
  own.adapter_config = &config;
  XLM_TRY(xlm_weights_new(x->store, &plan, &w, x->err));
  xlm_status status = xlm_export_folder(folder, &plan, w, &own, x->err);
  xlm_weights_free(w);
  return status;
}

xlm_status xlm_peft_export(const char *folder, const xlm_plan *p, xlm_store *s, xlm_lora_scale *scale,
                           void *arg, const char *base, const xlm_export_options *o, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_status status = xlm_fail(err, XLM_ENV, "no memory to write '%s'", folder);
  if (a && XLM_ARENA_TRY(a)) {
    xlm_peft x = {.a = a, .plan = p, .store = s, .scale = scale, .arg = arg, .err = err};
    status = xlm_peft_layers(&x);
    if (status == XLM_OK) status = write_folder(&x, folder, base, o);
  }
  if (a) xlm_arena_free(a);
  return status;
}
