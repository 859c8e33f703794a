// Adapters of PEFT become those of a run; see peft.h. Ranks and alphas are compared with the configuration
// first, so that a message says what the run would have to be given.
#include "runtime/interchange/peft_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/interchange/weights.h"

// ---- adapter_config.json ----

// The entry of rank_pattern or alpha_pattern for a module: its key is the module's name or the end of it.
static const json_t *pattern_of(const json_t *config, const char *which, const char *module) {
  const char *key;
  json_t *value, *patterns = json_object_get(config, which);
  json_object_foreach(patterns, key, value) {
    size_t n = strlen(module), m = strlen(key);
    if (n >= m && !strcmp(module + n - m, key) && (n == m || module[n - m - 1] == '.')) return value;
  }
  return NULL;
}

static double number_of(const json_t *config, const char *key, const char *pattern, const char *module) {
  const json_t *own = pattern_of(config, pattern, module), *value = own ? own : json_object_get(config, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool is_set(const json_t *config, const char *key) {
  const json_t *x = json_object_get(config, key);
  return x && !json_is_null(x) && !json_is_false(x) && !(json_is_array(x) && !json_array_size(x)) &&
         !(json_is_object(x) && !json_object_size(x));
}

static xlm_status check_kind(const json_t *config, xlm_error *err) {
  static const char *const others[] = {"use_dora", "modules_to_save", "trainable_token_indices",
                                       "use_qalora"};
  const char *type = json_string_value(json_object_get(config, "peft_type")),
             *bias = json_string_value(json_object_get(config, "bias"));
  if (!type || strcmp(type, "LORA") != 0)
    return xlm_fail(err, XLM_USER, "its adapters are of the type %s, and those of a run are LORA",
                    type ? type : "that no `peft_type` says");
  if (bias && strcmp(bias, "none") != 0)
    return xlm_fail(err, XLM_USER, "it trains biases (`bias` is %s), and adapters of a run do not", bias);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (is_set(config, others[i]))
      return xlm_fail(err, XLM_USER, "it uses `%s`, and adapters of a run are two factors per layer",
                      others[i]);
  return XLM_OK;
}

static xlm_status check_layer(const xlm_peft *x, const xlm_peft_layer *l, const json_t *config) {
  double rank = number_of(config, "r", "rank_pattern", l->module),
         alpha = number_of(config, "lora_alpha", "alpha_pattern", l->module);
  if (isnan(rank) || isnan(alpha) || rank < 1)
    return xlm_fail(x->err, XLM_USER, "its adapter_config.json has no `r` and `lora_alpha` for '%s'",
                    l->module);
  if (json_is_true(json_object_get(config, "use_rslora"))) alpha *= sqrt(rank); // alpha / sqrt(rank) there
  if (rank == (double)l->rank && fabs(alpha - l->alpha) <= 1e-6 * fabs(alpha)) return XLM_OK;
  return xlm_fail(
      x->err, XLM_USER,
      "its adapter of '%s' has rank %.0f and alpha %.9g, and that of the run rank %lld and alpha %.9g: "
      "give --lora 'match=... rank=%.0f alpha=%.9g'",
      l->module, rank, alpha, (long long)l->rank, l->alpha, rank, alpha);
}

static xlm_status check_config(const xlm_peft *x, const char *folder) {
  json_t *config;
  XLM_TRY(xlm_json_parse_file(xlm_arena_printf(x->a, "%s/adapter_config.json", folder), 0, &config, x->err));
  xlm_status s = check_kind(config, x->err);
  for (uint32_t i = 0; i < x->n && s == XLM_OK; i++) s = check_layer(x, &x->layers[i], config);
  json_decref(config);
  return s;
}

// ---- the factors ----

// The tensors of the file are those of the run, all of them.
static xlm_status check_tensors(const xlm_peft *x, const xlm_safetensors *f) {
  for (uint32_t i = 0; i < x->n_entries; i++)
    if (!xlm_safetensors_find(f, x->entries[i].external))
      return xlm_fail(
          x->err, XLM_USER,
          "it has no tensor '%s', and a --lora of the run matches '%s': leave out what it does not have",
          x->entries[i].external, x->entries[i].param);
  for (int k = 0; k < xlm_safetensors_count(f); k++) {
    const char *name = xlm_safetensors_at(f, k)->name;
    bool known = false;
    for (uint32_t i = 0; i < x->n_entries && !known; i++) known = !strcmp(x->entries[i].external, name);
    if (!known)
      return xlm_fail(x->err, XLM_USER,
                      "its tensor '%s' is of no adapter of the run: give a --lora that matches the parameter",
                      name);
  }
  return XLM_OK;
}

static xlm_status read_factors(const xlm_peft *x, const char *folder) {
  xlm_plan plan = *x->plan;
  xlm_safetensors *f;
  xlm_weights *w;
  plan.weights = x->entries, plan.n_weights = x->n_entries;
  XLM_TRY(xlm_safetensors_open(xlm_arena_printf(x->a, "%s/adapter_model.safetensors", folder), &f, x->err));
  xlm_status s = check_tensors(x, f);
  if (s == XLM_OK) s = xlm_weights_new(x->store, &plan, &w, x->err);
  if (s == XLM_OK) {
    s = xlm_weights_import(w, f, x->err);
    xlm_weights_free(w);
  }
  xlm_safetensors_close(f);
  return s;
}

static xlm_status import(xlm_peft *x, const char *folder) {
  bool *saved = XLM_NEW_N(x->a, bool, x->store->n);
  for (int i = 0; i < x->store->n; i++) saved[i] = x->store->at[i].saved;
  xlm_status s = xlm_peft_layers(x);
  if (s == XLM_OK) s = check_config(x, folder);
  if (s == XLM_OK) s = read_factors(x, folder);
  for (int i = 0; i < x->store->n; i++) x->store->at[i].saved = saved[i];
  return s;
}

xlm_status xlm_peft_import(const char *folder, const xlm_plan *p, xlm_store *s, xlm_lora_scale *scale,
                           void *arg, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_status status = xlm_fail(err, XLM_ENV, "no memory to read '%s'", folder);
  if (a && XLM_ARENA_TRY(a)) {
    xlm_peft x = {.a = a, .plan = p, .store = s, .scale = scale, .arg = arg, .err = err};
    status = import(&x, folder);
  }
  if (a) xlm_arena_free(a);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(err, "cannot use the adapters of '%s'", folder);
}
