// config.json: the keys of the model's config section, and dims and lets under their public names. Also
// compares the config.json that came with weights with the model.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/json_parse.h"
#include "runtime/interchange/config_json.h"
#include "runtime/plan/config_rope.h"

static const xlm_plan_key *key_named(const xlm_plan *p, const char *key) {
  for (uint32_t i = 0; i < p->n_keys; i++)
    if (!strcmp(p->keys[i].key, key)) return &p->keys[i];
  return NULL;
}

static void put_value(xlm_json *j, const char *key, const xlm_plan_config *x) {
  switch (x->kind) {
  case XLM_NUMBER_BOOL:
    xlm_json_put_bool(j, key, x->value != 0);
    break;
  case XLM_NUMBER_INT:
    xlm_json_put_int(j, key, (int64_t)x->value);
    break;
  case XLM_NUMBER_REAL:
    xlm_json_put_rounded(j, key, x->value, 15);
    break;
  }
}

static bool is_token_id(const char *key) {
  size_t n = strlen(key);
  return n > 9 && !strcmp(key + n - 9, "_token_id");
}

// Dims and lets under their public names, without those that the config section gives. tokens: ids of tokens
// only.
static void put_public_names(xlm_json *j, const xlm_plan *p, bool tokens) {
  for (uint32_t i = 0; i < p->n_config; i++)
    for (int k = 0; k < p->config[i].n_aliases; k++) {
      const char *name = p->config[i].alias[k];
      if (!key_named(p, name) && (!tokens || is_token_id(name))) put_value(j, name, &p->config[i]);
    }
}

static bool has_public_name(const xlm_plan *p, const char *name) {
  for (uint32_t i = 0; i < p->n_config; i++)
    for (int k = 0; k < p->config[i].n_aliases; k++)
      if (!strcmp(p->config[i].alias[k], name)) return true;
  return false;
}

// null: other tools' classes would otherwise have ids of their own.
static void put_token_id(xlm_json *j, const xlm_plan *p, const char *key, int32_t id) {
  if (key_named(p, key) || has_public_name(p, key)) return;
  if (id < 0)
    xlm_json_put_null(j, key);
  else
    xlm_json_put_int(j, key, id);
}

static void put_token_ids(xlm_json *j, const xlm_plan *p, const xlm_config_tokens *t) {
  put_token_id(j, p, "bos_token_id", t ? t->bos : -1);
  put_token_id(j, p, "eos_token_id", t ? t->eos : -1);
  put_token_id(j, p, "pad_token_id", t ? t->pad : -1);
}

void xlm_generation_config_print(const xlm_plan *p, const xlm_config_tokens *tokens, xlm_text *out) {
  xlm_json j;
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_bool(&j, "_from_model_config", true);
  for (uint32_t i = 0; i < p->n_keys; i++)
    if (is_token_id(p->keys[i].key)) xlm_json_put_made(&j, p->keys[i].key, p->keys[i].json);
  put_public_names(&j, p, true);
  put_token_ids(&j, p, tokens);
  xlm_json_close(&j);
  xlm_text_add(out, "\n");
}

void xlm_config_print(const xlm_plan *p, const char *dtype, const xlm_config_tokens *tokens, xlm_text *out) {
  xlm_json j;
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  if (!key_named(p, "model_type")) xlm_json_put_text(&j, "model_type", p->model);
  for (uint32_t i = 0; i < p->n_keys; i++) xlm_json_put_made(&j, p->keys[i].key, p->keys[i].json);
  put_public_names(&j, p, false);
  put_token_ids(&j, p, tokens);
  if (!key_named(p, "torch_dtype")) xlm_json_put_text(&j, "torch_dtype", dtype);
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
  bool truth = x->kind == XLM_NUMBER_BOOL;
  if (truth && !strcmp(x->name, key)) // derived from the graph; there is no let
                                      // to set
    return xlm_fail(err, XLM_USER,
                    "'%s' says %s = %s, and in this model the head is %s: use a model text that %s "
                    "(models/qwen3.xlm shows both)",
                    path, key, there, x->value != 0 ? "the embedding" : "a parameter of its own",
                    x->value != 0 ? "gives the head weights of its own"
                                  : "uses the embedding again as its head");
  return xlm_fail(err, XLM_USER, "'%s' says %s = %s, and this model has %s: give --%s %s", path, key, there,
                  truth ? x->value != 0 ? "true" : "false" : xlm_arena_printf(a, "%.9g", x->value),
                  as_flag(a, key), there);
}

// ---- scaled rotary frequencies ----

static xlm_status check_rope(xlm_arena *a, const char *path, const json_t *c, const json_t *own,
                             xlm_error *err) {
  const char *key, *own_key, *how;
  const json_t *there = xlm_config_rope(c, &key), *here = xlm_config_rope(own, &own_key);
  if (there && !here)
    return xlm_fail(
        err, XLM_USER,
        "'%s' scales its rotary embeddings (%s of type '%s'), and this model does not: the results would "
        "differ. A model that does calls rope with `scaling`, as models/blocks/rotary.xlm",
        path, key, xlm_config_rope_type(there));
  if (here && !there)
    return xlm_fail(
        err, XLM_USER,
        "this model scales its rotary embeddings (%s of type '%s'), and '%s' does not: the results "
        "would differ",
        own_key, xlm_config_rope_type(here), path);
  if (here && (how = xlm_config_rope_differs(there, here, a)))
    return xlm_fail(err, XLM_USER, "'%s' scales its rotary embeddings otherwise: %s", path, how);
  return XLM_OK;
}

// ---- keys of the config section ----

// These name a tool's class, or say nothing about what weights compute.
static bool is_free(const char *key) {
  static const char *const keys[] = {"architectures", "model_type", "torch_dtype", "dtype", "use_cache"};
  static const char *const ends[] = {"_token_id", "_loss_coef", "_dropout", "_router_logits"};
  size_t n = strlen(key);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!strcmp(key, keys[i])) return true;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (n > strlen(ends[i]) && !strcmp(key + n - strlen(ends[i]), ends[i])) return true;
  return false;
}

static bool agree(const json_t *there, const json_t *here);

static bool members_agree(const json_t *there, const json_t *here) {
  const char *key;
  json_t *v;
  json_object_foreach((json_t *)(uintptr_t)here, key, v) {
    const json_t *other = json_object_get(there, key);
    if (other && !agree(other, v)) return false;
  }
  return true;
}

static bool elements_agree(const json_t *there, const json_t *here) {
  if (json_array_size(there) != json_array_size(here)) return false;
  for (size_t i = 0; i < json_array_size(here); i++)
    if (!agree(json_array_get(there, i), json_array_get(here, i))) return false;
  return true;
}

// Values of different types say nothing about each other: `null` is a default.
static bool agree(const json_t *there, const json_t *here) {
  if (is_number(there) && is_number(here)) {
    double x = json_is_boolean(here) ? json_is_true(here) : json_number_value(here);
    return same(there, x);
  }
  if (json_is_string(there) && json_is_string(here))
    return !strcmp(json_string_value(there), json_string_value(here));
  if (json_is_object(there) && json_is_object(here)) return members_agree(there, here);
  return !json_is_array(there) || !json_is_array(here) || elements_agree(there, here);
}

static xlm_status compare_key(xlm_arena *a, const char *path, const json_t *c, const xlm_plan_key *k,
                              const json_t *here, xlm_error *err) {
  const json_t *there = json_object_get(c, k->key);
  bool scaling = !strcmp(k->key, "rope_scaling"); // compared as a whole before
  if (is_free(k->key) || scaling || !there || agree(there, here)) return XLM_OK;
  char *text = json_dumps(there, JSON_ENCODE_ANY);
  const char *copy = text ? xlm_arena_strdup(a, text) : "another value";
  free(text);
  return xlm_fail(
      err, XLM_USER,
      "'%s' says %s = %.200s, and the config section of this model %.200s: the results would differ", path,
      k->key, copy, k->json);
}

static const json_t *value_of(const json_t *c, const char *key) {
  const json_t *v = json_object_get(c, key);
  return v ? v : json_object_get(json_object_get(c, "rope_parameters"), key);
}

static xlm_status compare_name(xlm_arena *a, const char *path, const json_t *c, const xlm_plan_config *x,
                               const char *key, xlm_error *err) {
  const json_t *v = value_of(c, key);
  if (!is_number(v) || may_differ(x, key) || same(v, x->value)) return XLM_OK;
  return differs(a, path, x, key, v, err);
}

static xlm_status compare(xlm_arena *a, const char *path, const json_t *c, const json_t *own,
                          const xlm_plan *p, xlm_error *err) {
  XLM_TRY(check_rope(a, path, c, own, err));
  for (uint32_t i = 0; i < p->n_keys; i++)
    XLM_TRY(compare_key(a, path, c, &p->keys[i], json_object_get(own, p->keys[i].key), err));
  for (uint32_t i = 0; i < p->n_config; i++)
    for (int k = 0; k < p->config[i].n_aliases; k++)
      if (!key_named(p, p->config[i].alias[k]))
        XLM_TRY(compare_name(a, path, c, &p->config[i], p->config[i].alias[k], err));
  return XLM_OK;
}

static void free_json(void *json) {
  json_decref(json);
}

// NULL: there is none.
static const char *path_beside(xlm_arena *a, const char *weights) {
  struct stat st;
  const char *slash = strrchr(weights, '/');
  bool folder = !stat(weights, &st) && S_ISDIR(st.st_mode);
  const char *path = folder  ? xlm_arena_printf(a, "%s/config.json", weights)
                     : slash ? xlm_arena_printf(a, "%.*s/config.json", (int)(slash - weights), weights)
                             : "config.json";
  return stat(path, &st) ? NULL : path;
}

xlm_status xlm_config_compare(xlm_arena *a, const char *weights, const xlm_plan *p, xlm_error *err) {
  const char *path = path_beside(a, weights);
  json_t *root, *own;
  if (!path) return XLM_OK;
  xlm_text text = xlm_text_new(a);
  xlm_config_print(p, "float32", NULL, &text);
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, free_json),
                    *own_cleanup = xlm_arena_add_cleanup(a, free_json);
  XLM_TRY(xlm_json_parse_file(path, 0, &root, err));
  cleanup->what = root;
  XLM_TRY(xlm_json_parse(text.data, text.n, 0, "the model's configuration", &own, err));
  own_cleanup->what = own;
  xlm_status status = compare(a, path, root, own, p, err);
  xlm_arena_clean_up(own_cleanup);
  xlm_arena_clean_up(cleanup);
  return status;
}

// ---- reading ----

static const char *setting_text(xlm_arena *a, const json_t *v) {
  if (!json_is_real(v)) return is_number(v) ? value_text(a, v) : NULL;
  const char *text = xlm_arena_printf(a, "%.17g", json_real_value(v));
  return strpbrk(text, ".en") ? text : xlm_arena_printf(a, "%s.0", text); // remains a real number
}

xlm_status xlm_config_values(xlm_arena *a, const char *weights, const char *const *keys, int n,
                             const char **values, const char **path, xlm_error *err) {
  json_t *root;
  for (int i = 0; i < n; i++) values[i] = NULL;
  if (!(*path = path_beside(a, weights))) return XLM_OK;
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, free_json);
  XLM_TRY(xlm_json_parse_file(*path, 0, &root, err));
  cleanup->what = root;
  for (int i = 0; i < n; i++) values[i] = setting_text(a, value_of(root, keys[i]));
  xlm_arena_clean_up(cleanup);
  return XLM_OK;
}
