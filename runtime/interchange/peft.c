// Adapters for PEFT; see peft.h. The factors of a layer have its dimensions and the rank, so their layouts
// follow from that of its weight in the `weights` section: entries for them replace the plan's.
#include "runtime/interchange/peft.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

#define END_A ".lora_a"
#define END_B ".lora_b"
#define END_WEIGHT ".weight"
#define PREFIX "base_model.model."

typedef struct layer { // that has an adapter
  const char *module;  // "model.layers.0.self_attn.q_proj"
  int64_t rank;
  double alpha;
  bool in_first; // its weight is stored [in, out]
} layer;

typedef struct exporter {
  xlm_arena *a;
  const xlm_plan *plan;
  xlm_store *store;
  xlm_lora_scale *scale;
  void *arg;
  const char *base;
  layer *layers;
  uint32_t n, cap;
  xlm_plan_weight *entries; // of the factors
  uint32_t n_entries;
  xlm_error *err;
} exporter;

// ---- a layer ----

static const char *without(xlm_arena *a, const char *name, const char *end) { // NULL: it does not end so
  size_t n = strlen(name), m = strlen(end);
  return n > m && !strcmp(name + n - m, end) ? xlm_arena_strndup(a, name, n - m) : NULL;
}

static bool has_dim(const exporter *x, const xlm_stored *t, xlm_dim d) {
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(t->dim[i], x->plan->rank_plans[0]->dims[d].name)) return true;
  return false;
}

static xlm_dim dim_named(const exporter *x, const char *name) {
  const xlm_rank_plan *r = x->plan->rank_plans[0];
  xlm_dim d = 1;
  while (d < r->n_dims && (!r->dims[d].name || strcmp(r->dims[d].name, name) != 0)) d++;
  XLM_ASSERT(d < r->n_dims, "no dimension '%s' in the plan", name);
  return d;
}

// The external dimension of the layer's input: that whose factors are all of `a` and not of `b`, while those
// of the other are all of `b`. -1: it is no matrix from inputs to outputs.
static int input_of(const exporter *x, const xlm_plan_weight *e, const xlm_stored *a, const xlm_stored *b) {
  int in = -1;
  bool ok = e->n_groups == 2 && !e->each && !e->code;
  for (int i = 0; i < e->n_factors && ok; i++) {
    const xlm_plan_factor *f = &e->factors[i];
    bool of_a = f->dim && has_dim(x, a, f->dim), of_b = f->dim && has_dim(x, b, f->dim);
    int here = of_a ? f->group : 1 - f->group; // what this factor says of the input
    ok = of_a != of_b && (in < 0 || in == here);
    in = here;
  }
  return ok ? in : -1;
}

static void add_entry(exporter *x, const xlm_plan_weight *weight, const xlm_stored *factor, const char *name,
                      int group, xlm_dim rank, bool rank_first) {
  xlm_plan_factor *list = XLM_NEW_N(x->a, xlm_plan_factor, weight->n_factors + 1);
  xlm_plan_weight e = {.param = factor->name, .external = name, .n_groups = 2, .factors = list};
  if (rank_first) list[e.n_factors++] = (xlm_plan_factor){.group = 0, .dim = rank, .step = 1};
  for (int i = 0; i < weight->n_factors; i++) {
    if (weight->factors[i].group != group) continue;
    list[e.n_factors] = weight->factors[i];
    list[e.n_factors++].group = rank_first;
  }
  if (!rank_first) list[e.n_factors++] = (xlm_plan_factor){.group = 1, .dim = rank, .step = 1};
  x->entries[x->n_entries++] = e;
}

static const xlm_plan_weight *entry_of(const exporter *x, const char *param) {
  for (uint32_t i = 0; i < x->plan->n_weights; i++)
    if (!strcmp(x->plan->weights[i].param, param)) return &x->plan->weights[i];
  return NULL;
}

static xlm_status add_layer(exporter *x, const char *param, const xlm_stored *a) {
  const xlm_plan_weight *w = entry_of(x, param);
  const xlm_stored *b = xlm_store_find(x->store, xlm_arena_printf(x->a, "%s" END_B, param));
  const char *module = w ? without(x->a, w->external, END_WEIGHT) : NULL;
  int in = module && b ? input_of(x, w, a, b) : -1;
  if (in < 0)
    return xlm_fail(x->err, XLM_USER,
                    "the adapter of '%s' is not of a whole layer of other tools%s%s%s: --format safetensors "
                    "merges adapters into the weights",
                    param, w ? " ('" : "", w ? w->external : "", w ? "' has more than it)" : "");
  layer l = {.module = module, .rank = a->shape[a->rank - 1], .in_first = in == 0};
  l.alpha = x->scale(x->arg, param) * (double)l.rank;
  xlm_dim rank = dim_named(x, a->dim[a->rank - 1]);
  add_entry(x, w, a, xlm_arena_printf(x->a, PREFIX "%s.lora_A.weight", module), in, rank, true);
  add_entry(x, w, b, xlm_arena_printf(x->a, PREFIX "%s.lora_B.weight", module), 1 - in, rank, false);
  XLM_PUSH(x->a, x->layers, x->n, x->cap, l);
  return XLM_OK;
}

static xlm_status find_layers(exporter *x) {
  x->entries = XLM_NEW_N(x->a, xlm_plan_weight, 2 * (size_t)x->store->n);
  for (int i = 0; i < x->store->n; i++) {
    xlm_stored *t = &x->store->at[i];
    bool parameter = t->role == XLM_ROLE_PARAMETER && t->saved;
    const char *param = parameter ? without(x->a, t->name, END_A) : NULL;
    t->saved = parameter && (param || without(x->a, t->name, END_B));
    if (param) XLM_TRY(add_layer(x, param, t));
  }
  if (x->n) return XLM_OK;
  return xlm_fail(x->err, XLM_USER,
                  "there are no adapters: they come from a run with --lora (docs/weights.md), and --format "
                  "safetensors writes all weights");
}

// ---- adapter_config.json ----

static const char *last_name(const char *module) {
  const char *dot = strrchr(module, '.');
  return dot ? dot + 1 : module;
}

// Has every layer of this last name an adapter?
static bool has_all(const exporter *x, const char *last) {
  uint32_t adapted = 0, all = 0;
  for (uint32_t i = 0; i < x->n; i++) adapted += !strcmp(last_name(x->layers[i].module), last);
  for (uint32_t i = 0; i < x->plan->n_weights; i++) {
    const char *module = without(x->a, x->plan->weights[i].external, END_WEIGHT);
    all += module && !strcmp(last_name(module), last);
  }
  return adapted == all;
}

// Last names where they say it, as PEFT writes them, else whole ones.
static void put_targets(const exporter *x, xlm_json *j) {
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
static void put_patterns(const exporter *x, xlm_json *j) {
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

static xlm_text config_of(const exporter *x) {
  xlm_text out = xlm_text_new(x->a);
  xlm_json j;
  xlm_json_to_text(&j, &out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "peft_type", "LORA");
  put_text(&j, "task_type", task_of(x->plan));
  put_text(&j, "base_model_name_or_path", x->base);
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

static xlm_status write_folder(exporter *x, const char *folder, const xlm_export_options *o) {
  xlm_plan plan = *x->plan;
  xlm_export_options own = *o;
  xlm_weights *w;
  xlm_text config = config_of(x);
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
    exporter x = {.a = a, .plan = p, .store = s, .scale = scale, .arg = arg, .base = base, .err = err};
    status = find_layers(&x);
    if (status == XLM_OK) status = write_folder(&x, folder, o);
  }
  if (a) xlm_arena_free(a);
  return status;
}
