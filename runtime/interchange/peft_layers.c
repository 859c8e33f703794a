// Which layers have adapters, and where their factors stand in files of PEFT. The factors of a layer have its
// dimensions and the rank, so their layouts follow from that of its weight in the `weights` section: entries
// for them replace the plan's.
#include "runtime/interchange/peft_priv.h"

#include <string.h>

#define END_A ".lora_a"
#define END_B ".lora_b"

const char *xlm_peft_without(xlm_arena *a, const char *name, const char *end) { // NULL: it does not end so
  size_t n = strlen(name), m = strlen(end);
  return n > m && !strcmp(name + n - m, end) ? xlm_arena_strndup(a, name, n - m) : NULL;
}

static bool has_dim(const xlm_peft *x, const xlm_stored *t, xlm_dim d) {
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(t->dim[i], x->plan->rank_plans[0]->dims[d].name)) return true;
  return false;
}

static xlm_dim dim_named(const xlm_peft *x, const char *name) {
  const xlm_rank_plan *r = x->plan->rank_plans[0];
  xlm_dim d = 1;
  while (d < r->n_dims && (!r->dims[d].name || strcmp(r->dims[d].name, name) != 0)) d++;
  XLM_ASSERT(d < r->n_dims, "no dimension '%s' in the plan", name);
  return d;
}

// The external dimension of the layer's input: that whose factors are all of `a` and not of `b`, while those
// of the other are all of `b`. -1: it is no matrix from inputs to outputs.
static int input_of(const xlm_peft *x, const xlm_plan_weight *e, const xlm_stored *a, const xlm_stored *b) {
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

static void add_entry(xlm_peft *x, const xlm_plan_weight *weight, const xlm_stored *factor, const char *name,
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

static const xlm_plan_weight *entry_of(const xlm_peft *x, const char *param) {
  for (uint32_t i = 0; i < x->plan->n_weights; i++)
    if (!strcmp(x->plan->weights[i].param, param)) return &x->plan->weights[i];
  return NULL;
}

static xlm_status add_layer(xlm_peft *x, const char *param, const xlm_stored *a) {
  const xlm_plan_weight *w = entry_of(x, param);
  const xlm_stored *b = xlm_store_find(x->store, xlm_arena_printf(x->a, "%s" END_B, param));
  const char *module = w ? xlm_peft_without(x->a, w->external, XLM_PEFT_END_WEIGHT) : NULL;
  int in = module && b ? input_of(x, w, a, b) : -1;
  if (in < 0)
    return xlm_fail(x->err, XLM_USER,
                    "the adapter of '%s' is not of a whole layer of other tools%s%s%s: --format safetensors "
                    "merges adapters into the weights",
                    param, w ? " ('" : "", w ? w->external : "", w ? "' has more than it)" : "");
  xlm_peft_layer l = {.module = module, .rank = a->shape[a->rank - 1], .in_first = in == 0};
  l.alpha = x->scale(x->arg, param) * (double)l.rank;
  xlm_dim rank = dim_named(x, a->dim[a->rank - 1]);
  add_entry(x, w, a, xlm_arena_printf(x->a, XLM_PEFT_PREFIX "%s.lora_A.weight", module), in, rank, true);
  add_entry(x, w, b, xlm_arena_printf(x->a, XLM_PEFT_PREFIX "%s.lora_B.weight", module), 1 - in, rank, false);
  XLM_PUSH(x->a, x->layers, x->n, x->cap, l);
  return XLM_OK;
}

xlm_status xlm_peft_layers(xlm_peft *x) {
  x->entries = XLM_NEW_N(x->a, xlm_plan_weight, 2 * (size_t)x->store->n);
  for (int i = 0; i < x->store->n; i++) {
    xlm_stored *t = &x->store->at[i];
    bool parameter = t->role == XLM_ROLE_PARAMETER && t->saved;
    const char *param = parameter ? xlm_peft_without(x->a, t->name, END_A) : NULL;
    t->saved = parameter && (param || xlm_peft_without(x->a, t->name, END_B));
    if (param) XLM_TRY(add_layer(x, param, t));
  }
  if (x->n) return XLM_OK;
  return xlm_fail(x->err, XLM_USER,
                  "there are no adapters: they come from a run with --lora (docs/weights.md), and --format "
                  "safetensors writes all weights");
}
