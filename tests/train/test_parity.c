// Shipped models against Hugging Face's transformers: golden files (tests/train/parity) hold the logits that
// transformers computes from our checkpoint of the initial weights, loaded by its folder alone, and the
// losses of AdamW steps from there. tools/parity/make.sh makes them. Models that transformers does not have
// are written in torch there: RetNet, freestyle and the loops of plt in float64.
//
//   test_parity                 compares
//   test_parity export DIR      writes DIR/MODEL: a checkpoint of the initial weights, and samples.txt
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/train/train_util.h"

enum { STEPS = 10, EVERY = 61 }; // of the logits, every 61st is compared
static const double rate = 1e-3;

// Losses of other libraries are not divided by layers, or balance layers apart from each other: those are
// left out. Choices that the toys of other tests do not make are set.
static const xlm_lora adapters[] = {{.match = "layers.*.attention.w[qvo]", .rank = 4, .alpha = 8},
                                    {.match = "layers.*.mlp.*", .rank = 2, .alpha = 2}};
static const struct {
  const char *name, *model, *sets; // NULL: as the name says; none
  bool adapted;
} cases[] = {
    {"llama"},
    {"llama_lora", "llama", .adapted = true},
    {"llama3", "llama", "stretch=8 original=8 theta=500"},
    {"gpt2"},
    {"qwen3"},
    {"mixtral"},
    {"deepseek", NULL, // the bias changes the choice of experts within ten steps
     "mtp=2 mtp_weight=0.3 speed=0.02 balance=0.1 stretch=4 original=8 mscale_all=0.7"},
    {"deepseek_v2", "deepseek",
     "version=2 squeezed=false mtp=0 balance=0 to_one=false stretch=4 original=8 mscale_all=0.7"},
    {"neox", NULL, "pct=0.5"}, // 8 of 16 numbers of a head
    {"olmoe"},
    {"qwen3_moe"},
    {"gemma2"},
    {"gemma3", NULL, "stretch=8"},
    {"mamba2", NULL, "head=32"}, // the heads are all of the inner dimension there
    {"retnet"},
    {"gla"},
    {"freestyle"},
    {"diffllama"},
    {"vit"},
    {"ngpt"},
    {"gpt_oss"},
    {"t5", NULL, "pad=16"}, // a token that sources and targets have
    {"t5_gated", "t5", "gated=true pad=16"},
    {"plt", NULL, "loops=2 emb_scale=0.8 hidden_scale=1.2"},
    {"plt_query", "plt", "gate_hidden=false every_norm=true"}, // three loops
    {"plt_alone", "plt", "loops=1"},
    {"plt_sequential", "plt", "loops=2 shifted=false sharing=false"},
    {"plt_no_window", "plt", "loops=2 local=false"},
};
enum { CASES = sizeof cases / sizeof *cases };

static toy_options options_of(const char *name) {
  int i = 0;
  while (strcmp(cases[i].name, name) != 0) i++;
  toy_options o = toy_defaults(cases[i].model ? cases[i].model : cases[i].name);
  if (cases[i].sets) o.sets = cases[i].sets;
  if (cases[i].adapted) o.lora = adapters, o.n_lora = sizeof adapters / sizeof *adapters;
  return o;
}

// ---- logits of the initial weights ----

static uint32_t output_named(const xlm_plan *p, const char *name) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t i = 0; i < r->n_outputs; i++)
    if (!strcmp(r->outputs[i].name, name)) return i;
  fail_msg("the plan has no output `%s`", name);
  return 0;
}

static void windows(toy *t, xlm_feed *f) {
  xlm_error err;
  for (int64_t row = 0; row < t->plan->batch; row++)
    if (xlm_feed_window(f, row, row, &err) != XLM_OK) fail_msg("%s", err.text);
}

// A toy of the eval segment alone; logits: malloc'd.
static float *logits_of(const toy_options *o, size_t *n) {
  xlm_error err;
  xlm_arena *a = xlm_arena_new(0);
  toy_options with = *o;
  xlm_compile_options c = toy_compile_options(a, &with);
  c.programs = XLM_WITH_EVAL;
  c.settings.training = false;
  toy *t = toy_open(o), of = *t;
  of.plan = toy_plan(a, toy_source(a, o->model), &c);
  xlm_backend b = toy_backend(NULL);
  xlm_feed f;
  if (xlm_exec_open(of.plan, 0, &b, 1, NULL, &of.exec, &err) != XLM_OK ||
      xlm_store_new(of.plan, xlm_exec_states(of.exec), &of.store, &err) != XLM_OK ||
      xlm_store_init(of.store, 7, true, xlm_exec_pool(of.exec), &err) != XLM_OK ||
      xlm_feed_open(of.exec, &of.samples, true, &f, &err) != XLM_OK)
    fail_msg("%s", err.text);
  windows(&of, &f);
  uint32_t out = output_named(of.plan, "logits");
  const xlm_rank_plan *r = of.plan->rank_plans[0];
  const xlm_type *type = &r->tensors[r->outputs[out].tensor].type;
  *n = (size_t)xlm_type_elements(type, r->dims);
  float *logits = malloc(*n * sizeof *logits);
  assert_true(logits && type->dtype == XLM_F32);
  if (xlm_feed_eval(&f, of.exec, &err) != XLM_OK ||
      xlm_exec_run(of.exec, XLM_PROGRAM_EVAL, (xlm_step_env){.seed = 7}, &err) != XLM_OK ||
      xlm_exec_get_output(of.exec, out, 0, logits, *n * sizeof *logits, &err) != XLM_OK)
    fail_msg("%s", err.text);
  xlm_feed_close(&f);
  xlm_store_free(of.store);
  xlm_exec_close(of.exec);
  toy_close(t);
  xlm_arena_free(a);
  return logits;
}

// ---- golden files ----

typedef struct golden {
  float logits[4096];
  double losses[STEPS];
  int n_logits, n_losses;
} golden;

static golden read_golden(const char *model) {
  golden g = {.n_logits = 0};
  char path[512], word[16];
  double value;
  snprintf(path, sizeof path, "%s/tests/train/parity/%s.txt", XLM_SOURCE_DIR, model);
  FILE *f = fopen(path, "r");
  if (!f) fail_msg("%s is missing", path);
  while (fscanf(f, "%15s %lf", word, &value) == 2)
    if (!strcmp(word, "logit") && g.n_logits < 4096)
      g.logits[g.n_logits++] = (float)value;
    else if (!strcmp(word, "loss") && g.n_losses < STEPS)
      g.losses[g.n_losses++] = value;
    else
      fail_msg("%s: %s", path, word);
  fclose(f);
  return g;
}

static void test_logits(void **state) {
  const char *model = *state;
  toy_options o = options_of(model);
  golden g = read_golden(model);
  size_t n;
  float *logits = logits_of(&o, &n);
  assert_int_equal(g.n_logits, (int)((n + EVERY - 1) / EVERY));
  for (int i = 0; i < g.n_logits; i++)
    if (!(fabs(logits[(size_t)i * EVERY] - g.logits[i]) <= 1e-4))
      fail_msg("%s: logit %d is %.9g, and %.9g there", model, i * EVERY, logits[(size_t)i * EVERY],
               g.logits[i]);
  free(logits);
}

static void test_losses(void **state) {
  const char *model = *state;
  toy_options o = options_of(model);
  golden g = read_golden(model);
  assert_int_equal(g.n_losses, STEPS);
  toy *t = toy_open(&o);
  for (int s = 0; s < STEPS; s++) {
    toy_step(t, rate);
    double difference = fabs(t->loss - g.losses[s]) / g.losses[s];
    if (!(difference <= (s ? 1e-5 : 1e-6)))
      fail_msg("%s, step %d: loss %.9g, and %.9g there", model, s, t->loss, g.losses[s]);
  }
  toy_close(t);
}

// ---- export ----

static void put_field(FILE *f, const xlm_field *field, const int32_t *cells) {
  fprintf(f, " %s", field->name);
  for (int64_t i = 0; i < field->n; i++) {
    float number;
    memcpy(&number, &cells[field->first + i], sizeof number);
    if (field->dtype == XLM_I32)
      fprintf(f, " %d", cells[field->first + i]);
    else
      fprintf(f, " %.9g", number);
  }
  fprintf(f, "\n");
}

// A line for each tensor of each sample: what it is for, its name, its elements.
static void put_samples(FILE *f, toy *t, const char *what,
                        xlm_status read(const xlm_samples *, int64_t, int32_t *, xlm_error *)) {
  int32_t *cells = malloc((size_t)t->samples.cells * sizeof *cells);
  xlm_error err;
  xlm_data_options reads;
  xlm_field field;
  assert_non_null(cells);
  if (xlm_plan_data(t->plan, t->arena, &reads, &err) != XLM_OK) fail_msg("%s", err.text);
  for (int64_t row = 0; row < t->plan->batch; row++) {
    if (read(&t->samples, row, cells, &err) != XLM_OK) fail_msg("%s", err.text);
    for (int i = 0; i < reads.n_fields; i++) {
      assert_true(xlm_samples_field(&t->samples, reads.fields[i].name, &field));
      fprintf(f, "%s", what);
      put_field(f, &field, cells);
    }
  }
  free(cells);
}

static void export_model(const char *model, const char *dir) {
  toy_options o = options_of(model);
  toy *t = toy_open(&o);
  char at[1024], path[4096];
  xlm_error err;
  xlm_checkpoint_info info = {.seed = 7,
                              .model_path = model,
                              .model_text = t->plan->source_text,
                              .text_hash = t->plan->text_hash,
                              .plan_hash = ""};
  snprintf(at, sizeof at, "%s/%s", dir, model);
  if (xlm_checkpoint_save(t->store, t->plan, at, &info, 0, path, &err) != XLM_OK) fail_msg("%s", err.text);
  snprintf(at, sizeof at, "%s/%s/samples.txt", dir, model);
  FILE *f = fopen(at, "w");
  if (!f) fail_msg("%s cannot be written", at);
  put_samples(f, t, "logits", xlm_samples_window);
  put_samples(f, t, "train", xlm_samples_shuffled);
  fclose(f);
  toy_close(t);
}

static const char *export_to;

static void test_export(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) export_model(cases[i].name, export_to);
}

int main(int argc, char **argv) {
  static struct CMUnitTest tests[2 * CASES];
  if (argc == 3 && !strcmp(argv[1], "export")) {
    const struct CMUnitTest one[] = {cmocka_unit_test(test_export)};
    export_to = argv[2];
    return cmocka_run_group_tests(one, NULL, NULL);
  }
  for (int i = 0; i < CASES; i++) {
    void *model = (void *)(uintptr_t)cases[i].name;
    tests[2 * i] =
        (struct CMUnitTest){.name = cases[i].name, .test_func = test_logits, .initial_state = model};
    tests[2 * i + 1] =
        (struct CMUnitTest){.name = cases[i].name, .test_func = test_losses, .initial_state = model};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
