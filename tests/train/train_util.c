// See train_util.h.
#include "compiler/parse/load.h"
#include "tests/train/train_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/diagnose/diag.h"
#include "runtime/base/map.h"
#include "tests/here.h"

const char *const toy_models[TOY_MODELS] = {
    "llama", "gpt2",      "qwen3",  "mixtral", "freestyle", "deepseek", "mamba2", "retnet",  "neox",
    "olmoe", "qwen3_moe", "gemma2", "gemma3",  "diffllama", "vit",      "ngpt",   "gpt_oss", "t5",      "plt",
    "gla"};
// Means over uneven counts, all operands of attention, recurrences of all kinds, indices along split
// dimensions, records.
const char *const test_models[TEST_MODELS] = {"counts",  "attention", "scans",
                                              "indices", "images",    "translate"};

// Small sizes that keep a model's special features: grouped heads, a window shorter than the sequence, an odd
// number of layers. The vocabulary is that of the preset `nano`, 256.
static const struct {
  const char *model, *sets;
} toy_sets[] = {
    {"llama", "kv_heads=2 ffn=96"},
    {"gpt2", ""},
    {"qwen3", "kv_heads=2 head=24 ffn=96"},
    {"mixtral", "kv_heads=2 ffn=48 experts=4 active=2"},
    {"freestyle", "layers=3 window=9"},
    {"neox", ""},
    {"olmoe", "kv_heads=2 ffn=48 experts=4 active=2"},
    {"qwen3_moe", "kv_heads=2 head=24 ffn=48 experts=4 active=2"},
    {"gemma2", "layers=3 kv_heads=2 head=24 ffn=96 window=9"},
    {"gemma3", "layers=3 kv_heads=1 head=24 ffn=96 window=9 every=2"},
    {"deepseek",
     "plain=12 rotary=4 value=12 q_rank=24 kv_rank=16 ffn=96 moe_ffn=24 experts=6 groups=3 active=2 "
     "mtp_weight=0.05"},
    {"gpt_oss",
     "layers=3 kv_heads=2 head=24 ffn=48 experts=4 active=2 window=9 limit=0.3 factor=4 original=8"},
    {"t5", "head=24 ffn=96 source=21 buckets=8 reach=16 spread=0.5"},
    {"mamba2", "head=24 state=12"},
    {"retnet", "head=24 ffn=96"},
    {"diffllama", "heads=8 kv_heads=4 ffn=96"},
    {"vit", "classes=256 height=8 tall=2 ffn=96 bytes=false"},
    {"ngpt", "ffn=96"},
    {"plt", "loops=3 kv_heads=2 ffn=96 window=9"},
    {"gla", "expand_k=0.75 ffn=96"},
};

toy_options toy_defaults(const char *model) {
  return (toy_options){.model = model,
                       .dtype = XLM_F32,
                       .batch = 2,
                       .microbatches = 1,
                       .recompute = XLM_RECOMPUTE_NONE,
                       .threads = 1};
}

const xlm_source *toy_source(xlm_arena *a, const char *model) {
  const char *room = "models";
  for (int i = 0; i < TEST_MODELS; i++)
    if (!strcmp(model, test_models[i])) room = "tests/layouts";
  const char *path = xlm_arena_printf(a, "%s/%s/%s.xlm", XLM_SOURCE_DIR, room, model);
  xlm_map m;
  xlm_error err;
  if (xlm_map_open(path, &m, &err) != XLM_OK) fail_msg("%s", err.text);
  const char *text = xlm_arena_strndup(a, (const char *)m.data, m.n);
  const xlm_source *s = xlm_source_load(a, path, text, m.n);
  xlm_map_close(&m);
  return s;
}

typedef struct set_list {
  xlm_set *at;
  int n, cap;
} set_list;

// A later value of a name replaces an earlier one.
static void add_sets(xlm_arena *a, const char *words, set_list *l) {
  for (const char *p = words ? words : ""; *p; p += strspn(p, " ")) {
    size_t n = strcspn(p, " "), name = strcspn(p, "=");
    xlm_set s = {xlm_arena_strndup(a, p, name), xlm_arena_strndup(a, p + name + 1, n - name - 1)};
    int i = 0;
    while (i < l->n && strcmp(l->at[i].name, s.name)) i++;
    if (i < l->n)
      l->at[i] = s;
    else
      XLM_PUSH(a, l->at, l->n, l->cap, s);
    p += n;
  }
}

static const xlm_device_kind *device_named(const char *name) {
  const xlm_device_kind *kind;
  xlm_error err;
  if (!name) name = getenv("XLM_TEST_DEVICE");
  if (xlm_device_find(name ? name : "cpu", &kind, &err) != XLM_OK) fail_msg("%s", err.text);
  return kind;
}

static const char *backend_for(xlm_dtype t, const char *device) {
  return t == XLM_F64 ? "ref" : device_named(device)->backend;
}

xlm_compile_options toy_compile_options(xlm_arena *a, const toy_options *o) {
  set_list sets = {0};
  add_sets(a, "hidden=64 layers=2 heads=4", &sets);
  for (size_t i = 0; i < sizeof toy_sets / sizeof *toy_sets; i++)
    if (!strcmp(toy_sets[i].model, o->model)) add_sets(a, toy_sets[i].sets, &sets);
  add_sets(a, o->sets, &sets);
  xlm_compile_options c = xlm_compile_defaults();
  c.settings = (xlm_elaborate_options){.preset = "nano",
                                       .sets = sets.at,
                                       .n_sets = sets.n,
                                       .batch = o->batch,
                                       .seq = o->seq ? o->seq : 32,
                                       .dtype = o->dtype,
                                       .training = true};
  c.train.microbatches = o->microbatches;
  c.train.lora = o->lora, c.train.n_lora = o->n_lora;
  c.recompute = o->recompute;
  c.programs = XLM_WITH_TRAIN | (o->with_eval ? XLM_WITH_EVAL : 0);
  plan_for_here(&c, backend_for(o->dtype, NULL), o->threads);
  return c;
}

const xlm_plan *toy_plan(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o) {
  return toy_plan_on(NULL, a, source, o);
}

const xlm_plan *toy_plan_on(const char *device, xlm_arena *a, const xlm_source *source,
                            const xlm_compile_options *o) {
  xlm_compile_options with = *o;
  xlm_diags d;
  plan_for_here(&with, backend_for(o->settings.dtype, device), o->target.threads);
  xlm_diags_init(&d, a, source);
  const xlm_plan *plan = xlm_compile(a, source, &with, &d, NULL, NULL).plan;
  xlm_text t = xlm_text_new(a);
  xlm_diag_render(&d, false, &t);
  if (!plan) fail_msg("%s", t.data);
  return plan;
}

xlm_backend toy_backend(const char *device) {
  const xlm_device_kind *kind = device_named(device);
  xlm_backend b = *xlm_backend_find(kind->backend);
  b.device = kind;
  return b;
}

static xlm_status open_all(toy *t, const toy_options *o, xlm_error *err) {
  xlm_data_part all;
  xlm_backend b = *xlm_backend_find(backend_for(o->dtype, NULL));
  b.device = toy_backend(o->dtype == XLM_F64 ? "cpu" : NULL).device;
  XLM_TRY(xlm_exec_open(t->plan, 0, &b, o->threads, NULL, &t->exec, err));
  XLM_TRY(xlm_store_new(t->plan, xlm_exec_states(t->exec), &t->store, err));
  XLM_TRY(xlm_store_init(t->store, 7, true, xlm_exec_pool(t->exec), err));
  xlm_data_options reads;
  XLM_TRY(xlm_plan_data(t->plan, t->arena, &reads, err));
  reads.vocab = 256;
  XLM_TRY(xlm_data_synthetic(4000, reads, 5, &t->data, err));
  all = (xlm_data_part){t->data, 0, xlm_data_tokens(t->data)};
  XLM_TRY(xlm_samples_open(all, t->plan->seq, 3, "synthetic", &t->samples, err));
  return xlm_feed_open(t->exec, &t->samples, false, &t->feed, err);
}

toy *toy_open(const toy_options *o) {
  xlm_error err;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  toy *t = XLM_NEW(a, toy);
  t->arena = a;
  xlm_compile_options c = toy_compile_options(a, o);
  t->plan = toy_plan(a, toy_source(a, o->model), &c);
  if (open_all(t, o, &err) != XLM_OK) fail_msg("%s: %s", o->model, err.text);
  return t;
}

// Always the samples of step 0, but the actual step number for the optimizer.
static xlm_status feed_same_batch(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err) {
  toy *t = arg;
  XLM_TRY(xlm_feed_step(&t->feed, e, microbatch, err));
  for (int i = 0; i < t->feed.n; i++) {
    const xlm_feed_input *in = &t->feed.inputs[i];
    if (in->role == XLM_INPUT_STEP)
      XLM_TRY(xlm_exec_put_scalar(e, in->index, XLM_PROGRAM_TRAIN, (double)(t->step + 1), err));
  }
  return XLM_OK;
}

static double read_output(const toy *t, const char *name) {
  const xlm_rank_plan *rp = t->plan->rank_plans[0];
  for (uint32_t i = 0; i < rp->n_outputs; i++) {
    if (rp->outputs[i].program != XLM_PROGRAM_TRAIN || strcmp(rp->outputs[i].name, name)) continue;
    xlm_error err = {0};
    double value;
    if (xlm_exec_get_scalar(t->exec, i, &value, &err) != XLM_OK) fail_msg("%s", err.text);
    return value;
  }
  fail_msg("the plan has no output `%s`", name);
  return 0;
}

void toy_step(toy *t, double lr) {
  xlm_error err;
  xlm_step_env env = {.seed = 7, .step = t->step};
  t->feed.lr = lr;
  if (xlm_exec_step(t->exec, env, feed_same_batch, t, &err) != XLM_OK) fail_msg("%s", err.text);
  t->step++;
  t->loss = read_output(t, "loss");
  t->norm = read_output(t, "grad_norm");
}

void toy_close(toy *t) {
  if (!t) return;
  xlm_feed_close(&t->feed);
  xlm_store_free(t->store);
  xlm_exec_close(t->exec);
  xlm_data_close(t->data);
  xlm_arena_free(t->arena);
}
