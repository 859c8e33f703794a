// Reads a saved plan. The file is not trusted: every index, size and offset is checked before use. Whether
// the plan as a whole is sound is checked by the verifier (compiler/verify/saved.c).
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/plan/json_read_priv.h"

static const int64_t MAX_SIZE = (int64_t)1 << 48;

static xlm_plan_factor read_factor(reader *r, const json_t *o) {
  return (xlm_plan_factor){.group = (uint8_t)xlm_json_int(r, o, "group", 0, XLM_MAX_RANK - 1),
                           .dim = (xlm_dim)xlm_json_int(r, o, "dim", 0, (int64_t)r->n_dims - 1),
                           .size = xlm_json_int(r, o, "size", 0, MAX_SIZE),
                           .step = xlm_json_int(r, o, "step", 0, MAX_SIZE),
                           .at = xlm_json_int(r, o, "at", 0, MAX_SIZE),
                           .of = xlm_json_int(r, o, "of", 0, MAX_SIZE),
                           .n = (uint8_t)xlm_json_int(r, o, "n", 0, XLM_MAX_FACTORS)};
}

static xlm_plan_weight read_weight(reader *r, const json_t *o) {
  uint32_t n;
  xlm_plan_weight w = {.param = xlm_json_text(r, o, "param"),
                       .external = xlm_json_text(r, o, "external"),
                       .each = (xlm_dim)xlm_json_int(r, o, "each", 0, (int64_t)r->n_dims - 1),
                       .optional = xlm_json_bool(o, "optional"),
                       .n_groups = (uint8_t)xlm_json_int(r, o, "rank", 0, XLM_MAX_RANK)};
  const json_t *list = xlm_json_list(r, o, "factors", XLM_MAX_FACTORS, &n);
  xlm_plan_factor *f = XLM_NEW_N(r->a, xlm_plan_factor, n);
  for (uint32_t i = 0; i < n; i++) f[i] = read_factor(r, json_array_get(list, i));
  w.factors = f;
  w.n_factors = (uint8_t)n;
  return w;
}

static xlm_plan_config read_config(reader *r, const json_t *o) {
  xlm_plan_config c = {.name = xlm_json_text(r, o, "name"),
                       .value = xlm_json_number(r, o, "value"),
                       .kind = (xlm_plan_number)xlm_json_int(r, o, "kind", XLM_NUMBER_REAL, XLM_NUMBER_BOOL)};
  uint32_t n;
  const json_t *aliases = xlm_json_list(r, o, "aliases", 8, &n);
  for (uint32_t i = 0; i < n; i++) {
    const char *s = json_string_value(json_array_get(aliases, i));
    c.alias[c.n_aliases++] = xlm_arena_strdup(r->a, s ? s : "");
  }
  return c;
}

// The value goes into config.json as it is.
static xlm_plan_key read_key(reader *r, const json_t *o) {
  xlm_plan_key k = {.key = xlm_json_text(r, o, "key"), .json = xlm_json_text(r, o, "json")};
  json_t *value = NULL;
  xlm_status s =
      r->failed ? XLM_OK : xlm_json_parse(k.json, strlen(k.json), JSON_DECODE_ANY, k.key, &value, r->err);
  if (s == XLM_USER) xlm_json_fail(r, "not JSON", "json");
  if (s == XLM_ENV) r->failed = r->no_memory = true;
  json_decref(value);
  return k;
}

static xlm_plan_setting read_setting(reader *r, const json_t *o) {
  return (xlm_plan_setting){xlm_json_text(r, o, "key"), xlm_json_text(r, o, "value")};
}

static void read_mesh(reader *r, const json_t *o, xlm_plan *p) {
  uint32_t n;
  const json_t *axes = xlm_json_list(r, o, "mesh", XLM_MAX_AXES, &n);
  p->mesh.n = (uint8_t)n;
  for (uint32_t i = 0; i < n; i++) {
    p->mesh.axis[i] = xlm_json_text(r, json_array_get(axes, i), "axis");
    p->mesh.size[i] = (int32_t)xlm_json_int(r, json_array_get(axes, i), "size", 1, 1 << 24);
  }
}

static xlm_target read_target(reader *r, const json_t *o) {
  xlm_target t = {.backend = xlm_json_text(r, o, "backend"),
                  .arch = xlm_json_text(r, o, "arch"),
                  .threads = (int32_t)xlm_json_int(r, o, "threads", 1, 4096),
                  .align = (uint32_t)xlm_json_int(r, o, "align", 1, 1 << 16),
                  .memory = (uint64_t)xlm_json_int(r, o, "memory", 0, INT64_MAX),
                  .own_attention = xlm_json_bool(o, "own_attention")};
  if (t.align & (t.align - 1)) xlm_json_fail(r, "no power of two", "align");
  return t;
}

static void read_lists(reader *r, const json_t *o, xlm_plan *p) {
  const json_t *weights = xlm_json_list(r, o, "weights", 1 << 24, &p->n_weights);
  xlm_plan_weight *w = XLM_NEW_N(r->a, xlm_plan_weight, p->n_weights);
  for (uint32_t i = 0; i < p->n_weights && !r->failed; i++)
    w[i] = read_weight(r, xlm_json_entry(r, 0, "weights", weights, i));
  p->weights = w;
  const json_t *config = xlm_json_list(r, o, "config", 1 << 20, &p->n_config);
  xlm_plan_config *c = XLM_NEW_N(r->a, xlm_plan_config, p->n_config);
  for (uint32_t i = 0; i < p->n_config && !r->failed; i++)
    c[i] = read_config(r, xlm_json_entry(r, 0, "config", config, i));
  p->config = c;
  const json_t *keys = xlm_json_list(r, o, "keys", 1 << 16, &p->n_keys);
  xlm_plan_key *k = XLM_NEW_N(r->a, xlm_plan_key, p->n_keys);
  for (uint32_t i = 0; i < p->n_keys && !r->failed; i++)
    k[i] = read_key(r, xlm_json_entry(r, 0, "keys", keys, i));
  p->keys = k;
  const json_t *settings = xlm_json_list(r, o, "settings", 1 << 16, &p->n_settings);
  xlm_plan_setting *s = XLM_NEW_N(r->a, xlm_plan_setting, p->n_settings);
  for (uint32_t i = 0; i < p->n_settings && !r->failed; i++)
    s[i] = read_setting(r, xlm_json_entry(r, 0, "settings", settings, i));
  p->settings = s;
}

static bool is_this_format(reader *r, const json_t *o) {
  int64_t format = xlm_json_int(r, o, "xlm_plan", 1, INT32_MAX);
  if (!r->failed && format != XLM_PLAN_FORMAT)
    xlm_json_say(r, "its format is %lld, and this xlm reads %d", (long long)format, XLM_PLAN_FORMAT);
  return !r->failed;
}

static xlm_plan *read_plan(reader *r, const json_t *o) {
  xlm_plan *p = XLM_NEW(r->a, xlm_plan);
  if (!is_this_format(r, o)) return p;
  p->model = xlm_json_text(r, o, "model");
  p->preset = xlm_json_text_or_null(r, o, "preset");
  p->source_path = xlm_json_text(r, o, "source");
  p->source_text = xlm_json_text(r, o, "source_text");
  p->text_hash = xlm_json_text(r, o, "text_hash");
  p->dtype = (xlm_dtype)xlm_json_enum(r, o, "dtype", XLM_ENUM_DTYPE);
  p->batch = xlm_json_int(r, o, "batch", 1, INT32_MAX);
  p->seq = xlm_json_int(r, o, "seq", 1, INT32_MAX);
  p->microbatches = xlm_json_int(r, o, "microbatches", 1, INT32_MAX);
  p->chunk = xlm_json_int(r, o, "chunk", 0, p->seq);
  p->prefix = xlm_json_int_or(r, o, "prefix", 0, INT32_MAX, 0);
  p->target = read_target(r, json_object_get(o, "target"));
  p->seed = (uint64_t)xlm_json_int(r, o, "seed", INT64_MIN, INT64_MAX);
  p->parameters = xlm_json_number(r, o, "parameters");
  p->model_flops_per_token = xlm_json_number(r, o, "model_flops_per_token");
  p->weights_name = xlm_json_text_or_null(r, o, "weights_name");
  read_mesh(r, o, p);
  const json_t *rank_plans = xlm_json_list(r, o, "rank_plans", 1 << 20, &p->n_rank_plans);
  xlm_rank_plan **list = XLM_NEW_N(r->a, xlm_rank_plan *, p->n_rank_plans);
  for (uint32_t i = 0; i < p->n_rank_plans && !r->failed; i++)
    list[i] = xlm_json_rank(r, xlm_json_entry(r, 0, "rank_plans", rank_plans, i), p->mesh.n);
  p->rank_plans = list;
  r->depth = 0;
  p->rank_plan_of = xlm_json_indices(r, o, "rank_plan_of", 0, p->n_rank_plans, 1 << 24, &p->n_ranks);
  if (!p->n_rank_plans || !p->n_ranks) xlm_json_fail(r, "no ranks in", "rank_plan_of");
  if (r->failed) return p;
  r->n_dims = p->rank_plans[0]->n_dims; // the dims in weights are those of the first rank plan
  read_lists(r, o, p);
  return p;
}

static void close_json(void *root) {
  json_decref(root);
}

xlm_status xlm_plan_read_json(xlm_arena *a, const char *text, size_t n, const xlm_plan **out,
                              xlm_error *err) {
  json_t *root;
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, close_json);
  xlm_status parsed = xlm_json_parse(text, n, JSON_REJECT_DUPLICATES, "the plan", &root, err);
  if (parsed != XLM_OK) return parsed == XLM_USER ? xlm_fail_in(err, "not a plan") : parsed;
  cleanup->what = root;
  reader r = {.a = a, .err = err};
  *out = read_plan(&r, root);
  xlm_arena_clean_up(cleanup);
  return r.no_memory ? XLM_ENV : r.failed ? XLM_USER : XLM_OK;
}
