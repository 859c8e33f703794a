// config.json in the form that Hugging Face's readers expect: the dims and lets with public names and, per
// architecture, keys that the model text does not have. For an unknown architecture, only the names. Also
// compares the config.json that came with weights with the model.
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/json_parse.h"
#include "runtime/interchange/config_json.h"

static const struct {
  const char *model, *type, *architecture, *activation_key, *activation, *length_key;
} known[] = {
    {"llama", "llama", "LlamaForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"mixtral", "mixtral", "MixtralForCausalLM", "hidden_act", "silu", "max_position_embeddings"},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "activation_function", "gelu_new", "n_positions"},
};

static bool has(const xlm_plan *p, const char *key) {
  for (uint32_t i = 0; i < p->n_config; i++)
    for (int k = 0; k < p->config[i].n_aliases; k++)
      if (!strcmp(p->config[i].alias[k], key)) return true;
  return false;
}

static void put_architecture(xlm_json *j, const xlm_plan *p) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].model, p->model)) continue;
    xlm_json_array(j, "architectures", XLM_JSON_ROW);
    xlm_json_put_text(j, NULL, known[i].architecture);
    xlm_json_close(j);
    xlm_json_put_text(j, "model_type", known[i].type);
    xlm_json_put_text(j, known[i].activation_key, known[i].activation);
    if (!has(p, known[i].length_key)) xlm_json_put_int(j, known[i].length_key, p->seq);
    return;
  }
  xlm_json_put_text(j, "model_type", p->model);
}

static void put_value(xlm_json *j, const char *key, const xlm_plan_config *x) {
  if (!strcmp(key, "tie_word_embeddings"))
    xlm_json_put_bool(j, key, x->value != 0);
  else if (x->integer)
    xlm_json_put_int(j, key, (int64_t)x->value);
  else
    xlm_json_put_rounded(j, key, x->value, 15);
}

static void put_names(xlm_json *j, const xlm_plan_config *x) {
  for (int k = 0; k < x->n_aliases; k++) put_value(j, x->alias[k], x);
}

void xlm_config_print(const xlm_plan *p, xlm_text *out) {
  xlm_json j;
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  put_architecture(&j, p);
  for (uint32_t i = 0; i < p->n_config; i++) put_names(&j, &p->config[i]);
  xlm_json_put_text(&j, "torch_dtype", "float32");
  xlm_json_close(&j);
  xlm_text_add(out, "\n");
}

// ---- comparing ----

// Keys that a run may set freely, since they do not change what the weights compute.
static bool may_differ(const xlm_plan_config *x, const char *key) {
  size_t n = strlen(key);
  return !strcmp(x->name, "seq") || !strcmp(x->name, "batch") ||
         (n > 10 && !strcmp(key + n - 10, "_loss_coef"));
}

static const char *value_text(xlm_arena *a, const json_t *v) {
  if (json_is_true(v) || json_is_false(v)) return json_is_true(v) ? "true" : "false";
  if (json_is_integer(v)) return xlm_arena_printf(a, "%lld", (long long)json_integer_value(v));
  return xlm_arena_printf(a, "%.9g", json_number_value(v));
}

static bool is_number(const json_t *v) {
  return json_is_number(v) || json_is_boolean(v);
}

static bool same(const json_t *v, double here) {
  double there = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
  return fabs(there - here) <= 1e-6 * fabs(here);
}

static const char *as_flag(xlm_arena *a, const char *key) {
  char *flag = xlm_arena_strdup(a, key);
  for (char *c = flag; *c; c++)
    if (*c == '_') *c = '-';
  return flag;
}

static xlm_status differs(xlm_arena *a, const char *path, const xlm_plan_config *x, const char *key,
                          const json_t *v, xlm_error *err) {
  const char *there = value_text(a, v);
  if (!strcmp(key, "tie_word_embeddings") && !strcmp(x->name, key)) // derived from the graph; there is no let
                                                                    // to set
    return xlm_fail(err, XLM_USER,
                    "'%s' says %s = %s, and in this model the head is %s: use a model text that %s "
                    "(models/qwen3.xlm shows both)",
                    path, key, there, x->value != 0 ? "the embedding" : "a parameter of its own",
                    x->value != 0 ? "gives the head weights of its own"
                                  : "uses the embedding again as its head");
  bool truth = !strcmp(key, "tie_word_embeddings");
  return xlm_fail(err, XLM_USER, "'%s' says %s = %s, and this model has %s: give --%s %s", path, key, there,
                  truth ? x->value != 0 ? "true" : "false" : xlm_arena_printf(a, "%.9g", x->value),
                  as_flag(a, key), there);
}

// Scaled rotary frequencies, which rope here does not support: it has only a base.
static xlm_status check_rope(const char *path, const json_t *c, const char *key, xlm_error *err) {
  const json_t *rope = json_object_get(c, key);
  const char *type = json_string_value(json_object_get(rope, "rope_type"));
  if (!type) type = json_string_value(json_object_get(rope, "type"));
  if (!json_is_object(rope) || (type && !strcmp(type, "default")) ||
      (!type && !json_object_get(rope, "factor")))
    return XLM_OK;
  return xlm_fail(
      err, XLM_USER,
      "'%s' scales its rotary embeddings (%s of type '%s'), which `rope` does not support: the results "
      "would differ",
      path, key, type ? type : "linear");
}

static xlm_status compare(xlm_arena *a, const char *path, const json_t *c, const xlm_plan *p,
                          xlm_error *err) {
  XLM_TRY(check_rope(path, c, "rope_scaling", err));
  XLM_TRY(check_rope(path, c, "rope_parameters", err));
  for (uint32_t i = 0; i < p->n_config; i++)
    for (int k = 0; k < p->config[i].n_aliases; k++) {
      const xlm_plan_config *x = &p->config[i];
      const json_t *v = json_object_get(c, x->alias[k]);
      if (!v) v = json_object_get(json_object_get(c, "rope_parameters"), x->alias[k]);
      if (is_number(v) && !may_differ(x, x->alias[k]) && !same(v, x->value))
        return differs(a, path, x, x->alias[k], v, err);
    }
  return XLM_OK;
}

static void free_json(void *json) {
  json_decref(json);
}

xlm_status xlm_config_compare(xlm_arena *a, const char *weights, const xlm_plan *p, xlm_error *err) {
  struct stat st;
  const char *slash = strrchr(weights, '/');
  bool folder = !stat(weights, &st) && S_ISDIR(st.st_mode);
  const char *path = folder  ? xlm_arena_printf(a, "%s/config.json", weights)
                     : slash ? xlm_arena_printf(a, "%.*s/config.json", (int)(slash - weights), weights)
                             : "config.json";
  json_t *root;
  if (stat(path, &st)) return XLM_OK;
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, free_json);
  XLM_TRY(xlm_json_parse_file(path, 0, &root, err));
  cleanup->what = root;
  xlm_status status = compare(a, path, root, p, err);
  xlm_arena_clean_up(cleanup);
  return status;
}
