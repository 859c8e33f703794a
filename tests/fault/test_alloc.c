// Out of memory everywhere: the n-th request to the system fails, for n = 1, 2, ... until none fails. Nothing
// may crash, every failure must be reported, and (under sanitizers) nothing may leak.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/parse/load.h"
#include "runtime/interchange/config_json.h"
#include "runtime/train/curve.h"
#include "runtime/train/metrics.h"
#include "tests/fault/malloc_hook.h"
#include "tests/fault/toy_folder.h"
#include "tests/here.h"

// ---- arenas: the compiler ----

enum { FILLERS = 12, FILLER = 5557 }; // earlier allocations shift the positions where blocks end

// false: out of memory.
static bool compile(const char *model, const toy_options *o, size_t filler) {
  xlm_arena *volatile a = xlm_arena_new(0);
  if (!a) return false;
  volatile bool done = false;
  if (XLM_ARENA_TRY(a)) {
    xlm_arena_alloc(a, filler);
    const xlm_source *source = xlm_source_new(a, "model.xlm", model, strlen(model));
    xlm_compile_options c = toy_compile_options(a, o);
    xlm_diags d;
    plan_for_here(&c, "cpu", o->threads);
    xlm_diags_init(&d, a, source);
    const xlm_plan *plan = xlm_compile(a, source, &c, &d, NULL, NULL).plan;
    xlm_text t = xlm_text_new(a);
    xlm_diag_render(&d, true, &t);
    if (plan) xlm_plan_print_json(plan, &t);
    assert_true((plan != NULL) == (d.errors == 0) && t.n > 0);
    done = true;
  }
  xlm_arena_free(a);
  return done;
}

static const char *read_model(xlm_arena *a, const char *name, bool broken) {
  const xlm_source *s = toy_source(a, name);
  char *text = xlm_arena_strdup(a, s->text);
  if (!broken) return text;
  char *at = strstr(text, "cross_entropy("); // an error at the end, and some elsewhere
  assert_non_null(at);
  memcpy(at, "kross_entropy(", 14);
  return xlm_arena_printf(a, "%s\nx = hidden @ @ 3\nparam w[hiden] ~ nomal(1)\n", text);
}

static void walk_blocks(const char *model, const toy_options *o, size_t filler) {
  for (long n = 1;; n++) {
    assert_true(n < 100);
    xlm_arena_fail_at(n);
    bool done = compile(model, o, filler);
    xlm_arena_fail_at(0);
    if (!done) continue;
    assert_true(n > 3);
    return;
  }
}

static void test_compile(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  for (int i = 0; i < TOY_MODELS * 2; i++) {
    toy_options o = toy_defaults(toy_models[i / 2]);
    o.with_eval = true;
    o.recompute = XLM_RECOMPUTE_FULL;
    const char *text = read_model(a, o.model, i & 1);
    for (size_t f = 0; f < FILLERS; f++) walk_blocks(text, &o, f * FILLER);
  }
  xlm_arena_free(a);
}

// ---- malloc: the config section ----

// Compiles a model whose config section contradicts it; a key that there is no memory to read is no key that
// is right. false: out of memory.
static bool is_refused(const xlm_source *source, const toy_options *o) {
  xlm_arena *volatile a = xlm_arena_new(0);
  volatile bool done = false;
  if (a && XLM_ARENA_TRY(a)) {
    xlm_compile_options c = toy_compile_options(a, o);
    xlm_diags d;
    plan_for_here(&c, "cpu", o->threads);
    xlm_diags_init(&d, a, source);
    const xlm_plan *plan = xlm_compile(a, source, &c, &d, NULL, NULL).plan;
    assert_true(!plan && d.errors == 2);
    done = true;
  }
  if (a) xlm_arena_free(a);
  return done;
}

static void test_config_section(void **state) {
  (void)state;
  if (!MALLOC_HOOK) skip();
  toy_options o = toy_defaults("llama");
  xlm_arena *a = xlm_arena_new(0);
  const xlm_source *llama = toy_source(a, "llama");
  char *text = xlm_arena_printf(a, "%s", llama->text), *at = strstr(text, "hidden_act    =");
  assert_non_null(at);
  text = xlm_arena_printf(
      a, "%.*srope_scaling = { rope_type = \"linear\" factor = 2.0 }\ntie_word_embeddings = true\n%s",
      (int)(at - text), text, at);
  const xlm_source *source = xlm_source_load(a, llama->path, text, strlen(text));
  long n = 1, left = 0;
  for (; left <= 0; n++) {
    atomic_store(&hook_countdown, n);
    is_refused(source, &o);
    left = atomic_exchange(&hook_countdown, 0);
  }
  assert_true(n > 10);
  xlm_arena_free(a);
}

// ---- malloc: everything that is opened, read and written at run time ----

typedef struct world {
  toy_folder in;
  char text[96], tokens[96], records[96], checkpoints[96], metrics[96], config[256];
  const char *plan; // as JSON
} world;

static xlm_data *data;

static xlm_status open_data(const world *w, xlm_error *err) {
  const char *paths[] = {w->text, XLM_SOURCE_DIR "/grammar", w->tokens};
  xlm_status s = xlm_data_open(paths, 2, (xlm_data_options){.vocab = 256}, &data, err);
  xlm_data_close(s == XLM_OK ? data : NULL);
  if (s != XLM_OK) return s;
  s = xlm_data_open(paths + 2, 1, (xlm_data_options){0}, &data, err);
  xlm_data_close(s == XLM_OK ? data : NULL);
  return s;
}

static xlm_status open_synthetic(const world *w, xlm_error *err) {
  (void)w;
  xlm_status s = xlm_data_synthetic(1000, (xlm_data_options){.vocab = 256}, 1, &data, err);
  xlm_data_close(s == XLM_OK ? data : NULL);
  return s;
}

static xlm_status open_records(const world *w, xlm_error *err) {
  const char *path = w->records;
  const xlm_field x = {.name = "x", .dtype = XLM_F32, .rank = 1, .shape = {3}, .n = 3};
  xlm_status s = xlm_data_open(&path, 1, (xlm_data_options){.fields = &x, .n_fields = 1}, &data, err);
  xlm_data_close(s == XLM_OK ? data : NULL);
  return s;
}

static xlm_status open_exec(const world *w, xlm_error *err) {
  xlm_exec *e;
  XLM_TRY(xlm_exec_open(w->in.t->plan, 0, xlm_backend_find("cpu"), 3, NULL, &e, err));
  xlm_exec_close(e);
  return XLM_OK;
}

static xlm_status open_store(const world *w, xlm_error *err) {
  xlm_store *s;
  XLM_TRY(xlm_store_new(w->in.t->plan, xlm_exec_states(w->in.t->exec), &s, err));
  xlm_status status = xlm_store_init(s, 1, false, NULL, err);
  xlm_store_free(s);
  return status;
}

static xlm_status open_feed(const world *w, xlm_error *err) {
  xlm_feed f;
  xlm_status s = xlm_feed_open(w->in.t->exec, &w->in.t->samples, false, &f, err);
  xlm_feed_close(&f);
  return s;
}

static xlm_status save(const world *w, xlm_error *err) {
  char path[4096];
  return xlm_checkpoint_save(w->in.t->store, w->in.t->plan, w->checkpoints, &w->in.info, 2, path, err);
}

static xlm_status load(const world *w, xlm_error *err) {
  xlm_checkpoint *c;
  XLM_TRY(xlm_checkpoint_open(w->checkpoints, XLM_ANY_STEP, &c, err));
  if (*c->notes) fail_msg("a whole checkpoint is taken for a damaged one: %s", c->notes);
  xlm_status s = xlm_checkpoint_load(c, w->in.t->store, w->in.t->plan, false, err);
  xlm_checkpoint_close(c);
  return s;
}

static xlm_status read_plan(const world *w, xlm_error *err) {
  xlm_arena *volatile a = xlm_arena_new(0);
  const xlm_plan *read;
  volatile xlm_status s = XLM_ENV;
  if (a && XLM_ARENA_TRY(a))
    s = xlm_plan_read_json(a, w->plan, strlen(w->plan), &read, err);
  else
    s = xlm_fail(err, XLM_ENV, "no memory");
  if (a) xlm_arena_free(a);
  return s;
}

static xlm_status read_metrics(const world *w, xlm_error *err) {
  static xlm_curve c;
  int fd;
  double elapsed;
  XLM_TRY(xlm_metrics_open(w->metrics, 3, &fd, &elapsed, err));
  close(fd);
  return xlm_curve_read(&c, w->metrics, err);
}

static xlm_status read_config(const world *w, xlm_error *err) {
  xlm_arena *volatile a = xlm_arena_new(0);
  volatile xlm_status s = XLM_ENV;
  if (a && XLM_ARENA_TRY(a))
    s = xlm_config_compare(a, w->config, w->in.t->plan, err);
  else
    s = xlm_fail(err, XLM_ENV, "no memory");
  if (a) xlm_arena_free(a);
  return s;
}

static const struct {
  const char *name;
  xlm_status (*run)(const world *, xlm_error *);
  int at_least; // minimum number of requests; otherwise the hook does not work
} scenes[] = {{"open data", open_data, 3},
              {"synthetic data", open_synthetic, 1},
              {"records", open_records, 5},
              {"open an executor", open_exec, 4},
              {"open a store", open_store, 2},
              {"open a feed", open_feed, 1},
              {"save", save, 5},
              {"load", load, 5},
              {"read a plan", read_plan, 100},
              {"read metrics", read_metrics, 20},
              {"read a configuration", read_config, 20}};

// All of the first, then a selection: saving makes thousands, and waits for the disk every time.
static long next_request(long n) {
  return n < 30 ? n + 1 : n + 53;
}

static void walk_scene(const world *w, size_t i) {
  xlm_error first = {.text = ""};
  if (scenes[i].run(w, &first) != XLM_OK) fail_msg("%s: %s", scenes[i].name, first.text);
  long live = atomic_load(&hook_live); // the C library has its permanent allocations by now
  for (long n = 1;; n = next_request(n)) {
    xlm_error err = {.text = ""};
    atomic_store(&hook_countdown, n);
    xlm_status s = scenes[i].run(w, &err);
    bool all_granted = atomic_exchange(&hook_countdown, 0) > 0;
    long more = atomic_load(&hook_live) - live;
    if (more > 0)
      fail_msg("%s leaks %ld blocks when request %ld fails (%s)", scenes[i].name, more, n, err.text);
    if (s == XLM_USER)
      fail_msg("%s: lack of memory in request %ld is taken for a mistake: %s", scenes[i].name, n, err.text);
    if (s != XLM_OK && !err.text[0])
      fail_msg("%s fails without a word when request %ld fails", scenes[i].name, n);
    if (all_granted && s != XLM_OK)
      fail_msg("%s, with all the memory it wants: %s", scenes[i].name, err.text);
    assert_true(n < 100000);
    if (!all_granted) continue;
    if (n <= scenes[i].at_least) fail_msg("%s: only %ld requests", scenes[i].name, n - 1);
    return;
  }
}

static void test_runtime(void **state) {
  const world *w = *state;
  xlm_error err;
  if (!MALLOC_HOOK) skip();
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) walk_scene(w, i);
  if (load(w, &err) != XLM_OK) fail_msg("after all those failures: %s", err.text);
}

// A save that fails leaves the checkpoint before it as it was: a whole one is always found.
static void test_failed_saves(void **state) {
  world *w = *state;
  xlm_error err = {.text = ""};
  if (!MALLOC_HOOK) skip();
  w->in.info.step = 10;
  assert_int_equal(save(w, &err), XLM_OK);
  for (long n = 1, granted = 0; !granted; n = next_request(n)) {
    w->in.info.step = 11;
    atomic_store(&hook_countdown, n);
    bool saved = save(w, &err) == XLM_OK;
    granted = atomic_exchange(&hook_countdown, 0) > 0;
    xlm_checkpoint *c;
    if (xlm_checkpoint_open(w->checkpoints, XLM_ANY_STEP, &c, &err) != XLM_OK)
      fail_msg("request %ld: %s", n, err.text);
    assert_in_range(c->info.step, 10, 11); // also 11 when it was written and an old one could not be removed
    if (granted) assert_true(saved);
    if (saved) assert_int_equal(c->info.step, 11);
    xlm_checkpoint_close(c);
  }
}

static void write_file(const char *path, const char *text, size_t n) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

// What is read as JSON: a plan, metrics, another tool's configuration.
static void write_json(world *w) {
  xlm_text plan = xlm_text_new(w->in.t->arena), config = xlm_text_new(w->in.t->arena);
  char file[128];
  snprintf(w->metrics, sizeof w->metrics, "%s/metrics.jsonl", w->in.root);
  snprintf(w->config, sizeof w->config, "%s/model.safetensors", w->in.root);
  snprintf(file, sizeof file, "%s/config.json", w->in.root);
  xlm_plan_print_json(w->in.t->plan, &plan);
  xlm_config_print(w->in.t->plan, "float32", NULL, &config);
  w->plan = plan.data;
  write_file(file, config.data, config.n);
  static const char lines[] =
      "{\"step\": 1, \"loss\": 2.5}\n{\"step\": 2, \"loss\": 2.25, \"val_loss\": 3.5}\n";
  write_file(w->metrics, lines, sizeof lines - 1);
}

static void write_records(const world *w) {
  static const char header[] = "{\"x\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[0,6]}}";
  char path[128], bytes[8 + sizeof header + 6] = {(char)(sizeof header - 1)};
  memcpy(bytes + 8, header, sizeof header - 1);
  snprintf(path, sizeof path, "%s/a.safetensors", w->in.root);
  write_file(path, bytes, 8 + sizeof header - 1 + 6);
  const char *index = "{\"shards\": [{\"file\": \"a.safetensors\", \"records\": 2}]}";
  write_file(w->records, index, strlen(index));
}

static int setup(void **state) {
  world *w = *state = calloc(1, sizeof *w);
  if (!w || !toy_folder_open(&w->in, "alloc", 3)) return -1;
  snprintf(w->text, sizeof w->text, "%s/a.txt", w->in.root);
  snprintf(w->tokens, sizeof w->tokens, "%s/a.bin", w->in.root);
  snprintf(w->records, sizeof w->records, "%s/records.json", w->in.root);
  snprintf(w->checkpoints, sizeof w->checkpoints, "%s/checkpoints", w->in.root);
  write_file(w->text, "some text to read, longer than a sample", 39);
  write_file(w->tokens, "a\0b\0c\0d\0e", 10);
  write_records(w);
  toy_step(w->in.t, 1e-3);
  write_json(w);
  return 0;
}

static int teardown(void **state) {
  world *w = *state;
  int removed = toy_folder_close(&w->in);
  free(w);
  return removed;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_compile), cmocka_unit_test(test_config_section),
                                     cmocka_unit_test(test_runtime), cmocka_unit_test(test_failed_saves)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
