// The training loop on a tiny model and synthetic tokens: it learns, allocates nothing after the first step,
// resumes bit for bit, stops on request, and reports a non-finite loss.
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "runtime/exec/exec.h"
#include "runtime/train/loop.h"
#include "tests/train/train_util.h"
#include "tests/here.h"

// Counting malloc: not with sanitizers, which have their own, nor with the emulated card, which allocates.
#if !defined(XLM_SANITIZED) && !defined(XLM_TEST_CUDA) && defined(__GLIBC__)
enum { COUNTS = 1 };
#else
enum { COUNTS = 0 };
#endif
static long allocations;
#if !defined(XLM_SANITIZED) && defined(__GLIBC__)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n) {
  allocations++;
  return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
  allocations++;
  return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
  allocations++;
  return __libc_realloc(p, n);
}
#endif

static const char model[] = "model tiny\n"
                            "dim vocab = 16\n"
                            "dim hidden = 16\n"
                            "input tokens[batch, seq] of vocab\n"
                            "input targets[batch, seq] of vocab\n"
                            "param embed[vocab, hidden] ~ normal(0.1)\n"
                            "param unembed[hidden, vocab] ~ normal(0.1)\n"
                            "h = lookup(embed, tokens)\n"
                            "logits = h @ unembed\n"
                            "loss cross_entropy(logits, targets)\n"
                            "output logits\n";
enum { SEQ = 16, BATCH = 4, MICROBATCHES = 2 };

typedef struct world {
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_team *team;
  xlm_store *store;
  xlm_data *data;
  xlm_samples train, valid;
  xlm_loop_options options;
  long first_count, last_count; // allocations after step 2 and after the last
  volatile sig_atomic_t stop;
  int64_t stop_at;
} world;

static char root[64];

static void report(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  world *w = arg;
  (void)path;
  if (event != XLM_LOOP_STEP && event != XLM_LOOP_LOGGED) return;
  if (p->m.step == 2) w->first_count = allocations;
  w->last_count = allocations;
  if (p->m.step == w->stop_at) w->stop = 1;
}

static void plan_model(world *w) {
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.batch = BATCH, o.settings.seq = SEQ;
  o.train.microbatches = MICROBATCHES;
  o.seed = 7;
  plan_for_here(&o, toy_backend(NULL).info.name, 2);
  const xlm_source *source = xlm_source_new(w->arena, "tiny.xlm", model, sizeof model - 1);
  xlm_diags d;
  xlm_diags_init(&d, w->arena, source);
  w->plan = xlm_compile(w->arena, source, &o, &d, NULL, NULL).plan;
  assert_int_equal(d.errors, 0);
}

static world *new_world(const char *dir, int64_t steps) {
  world *w = calloc(1, sizeof *w);
  xlm_error err = {0};
  xlm_data_part train, valid;
  w->arena = xlm_arena_new(0);
  assert_true(XLM_ARENA_TRY(w->arena));
  plan_model(w);
  xlm_backend backend = toy_backend(NULL);
  if (xlm_team_open(w->plan, &backend, 2, XLM_LAUNCH_LOCAL, 0, &w->team, &err)) fail_msg("%s", err.text);
  assert_int_equal(xlm_store_new(w->plan, xlm_team_states(w->team), &w->store, &err), XLM_OK);
  assert_int_equal(xlm_store_init(w->store, 7, true, NULL, &err), XLM_OK);
  assert_int_equal(xlm_data_synthetic(20000, (xlm_data_options){.vocab = 16}, 3, &w->data, &err), XLM_OK);
  xlm_data_split(w->data, 0.1, &train, &valid);
  assert_int_equal(xlm_samples_open(train, SEQ, 7, "training", &w->train, &err), XLM_OK);
  assert_int_equal(xlm_samples_open(valid, SEQ, 7, "validation", &w->valid, &err), XLM_OK);
  w->options = (xlm_loop_options){.team = w->team,
                                  .train = &w->train,
                                  .valid = &w->valid,
                                  .schedule = {XLM_COSINE, 3e-2, 1e-3, steps, 5, 0},
                                  .max_steps = steps,
                                  .log_interval = 1,
                                  .eval_interval = 7,
                                  .eval_batches = 3,
                                  .metrics = -1,
                                  .info = {.seed = 7, .model_text = model, .text_hash = w->plan->text_hash},
                                  .stop = &w->stop,
                                  .report = report,
                                  .report_arg = w};
  xlm_saver_options o = {.dir = dir, .keep = 3};
  if (dir && xlm_saver_open(w->store, w->plan, &o, &w->options.saver, &err) != XLM_OK)
    fail_msg("%s", err.text);
  return w;
}

static void free_world(world *w) {
  xlm_saver_close(w->options.saver);
  xlm_store_free(w->store);
  xlm_team_close(w->team);
  xlm_data_close(w->data);
  xlm_arena_free(w->arena);
  free(w);
}

static xlm_loop_result run(world *w) {
  xlm_loop_result r;
  xlm_error err = {0};
  if (xlm_loop_run(&w->options, &r, &err)) fail_msg("%s", err.text);
  return r;
}

static const char *in_root(const char *name) {
  static char paths[16][128];
  static int next;
  char *p = paths[next++ % 16];
  snprintf(p, sizeof paths[0], "%s/%s", root, name);
  return p;
}

// The chain is predictable nine times out of ten: 0.1 ln 16 + the entropy of that choice = 0.6 nats.
static void test_learns(void **state) {
  (void)state;
  static xlm_curve curve;
  world *w = new_world(NULL, 150);
  w->options.metrics = open("/dev/null", O_WRONLY);
  w->options.curve = &curve;
  xlm_loop_result r = run(w);
  assert_true(r.step == 150 && !r.stopped);
  assert_true(curve.train.n == 150 && fabs(curve.train.value[0] - log(16)) < 0.1);
  assert_true(r.val_loss > 0.5 && r.val_loss < 0.9);
  if (COUNTS) assert_int_equal(w->last_count - w->first_count, 0);
  close(w->options.metrics);
  free_world(w);
}

// Recording a step allocates nothing either; only writing the file needs memory.
static void test_traces(void **state) {
  (void)state;
  world *w = new_world(NULL, 6);
  xlm_error err = {0};
  xlm_tracer_options o = {.path = in_root("folder/trace.json"), .first = 3, .last = 9};
  if (xlm_tracer_open(w->team, &o, &w->options.tracer, &err)) fail_msg("%s", err.text);
  assert_int_equal(access(in_root("folder"), F_OK), 0);
  run(w);
  if (COUNTS) assert_int_equal(w->last_count - w->first_count, 0);
  assert_true(xlm_tracer_written(w->options.tracer));
  assert_int_equal(access(o.path, F_OK), 0);
  xlm_tracer_close(w->options.tracer);
  free_world(w);
}

static void expect_same_states(const world *a, const world *b) {
  for (int i = 0; i < a->store->n; i++) {
    const xlm_stored *x = &a->store->at[i], *y = &b->store->at[i];
    if (!x->saved) continue;
    assert_string_equal(x->name, y->name);
    size_t bytes = (size_t)x->n * sizeof(float);
    float *one = malloc(bytes + 1), *other = malloc(bytes + 1);
    assert_int_equal(xlm_store_get(a->store, x, NULL, one, NULL), XLM_OK);
    assert_int_equal(xlm_store_get(b->store, y, NULL, other, NULL), XLM_OK);
    assert_memory_equal(one, other, bytes);
    free(one), free(other);
  }
}

static void test_resume(void **state) {
  (void)state;
  world *whole = new_world(NULL, 20), *first = new_world(in_root("r"), 20),
        *second = new_world(in_root("r"), 20);
  run(whole);
  first->stop_at = 8; // requested while step 8 is reported: step 9 is the last
  xlm_loop_result r = run(first);
  assert_true(r.stopped && r.step == 9);
  xlm_checkpoint *c;
  assert_int_equal(xlm_checkpoint_open(in_root("r"), XLM_ANY_STEP, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 9);
  assert_int_equal(c->info.tokens, 9 * BATCH * MICROBATCHES * SEQ);
  assert_int_equal(xlm_checkpoint_load(c, second->store, second->plan, false, NULL), XLM_OK);
  expect_same_states(first, second);
  second->options.first_step = c->info.step;
  xlm_checkpoint_close(c);
  run(second);
  expect_same_states(whole, second);
  free_world(whole), free_world(first), free_world(second);
}

static void test_diverges(void **state) {
  (void)state;
  world *w = new_world(in_root("d"), 20);
  w->options.save_interval = 2;
  w->stop_at = 3;
  run(w);
  const xlm_stored *head = xlm_store_find(w->store, "unembed"); // every token uses it
  const float bad = NAN;
  const xlm_box at = {{0, 5}, {1, 6}};
  assert_int_equal(xlm_store_put(w->store, head, &at, &bad, NULL), XLM_OK);
  w->stop = 0, w->stop_at = 0;
  w->options.first_step = 4;
  w->options.max_steps = 1000;
  xlm_loop_result r;
  xlm_error err = {0};
  assert_int_equal(xlm_loop_run(&w->options, &r, &err), XLM_ENV);
  assert_non_null(strstr(err.text, "is not finite at step 5"));
  assert_non_null(strstr(err.text, "first bad tensor is '"));
  xlm_checkpoint *c;
  assert_int_equal(xlm_checkpoint_open(in_root("d"), XLM_ANY_STEP, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 4); // the last good one
  xlm_checkpoint_close(c);
  free_world(w);
}

enum { PEAK_STEPS = 12 };
static double peak_seen[PEAK_STEPS + 1];

static void note_peak(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  const world *w = arg;
  (void)path;
  if (event == XLM_LOOP_LOGGED)
    peak_seen[p->m.step] = w->plan->model_flops_per_token * p->m.tokens_per_s / p->m.mfu;
}

static void run_with_peak(double flops) {
  world *w = new_world(NULL, PEAK_STEPS);
  w->options.eval_interval = 0;
  w->options.peak_flops = flops;
  w->options.report = note_peak;
  run(w);
  free_world(w);
}

// MFU is relative to the machine's peak, or to the run's fastest steps so far if these are faster.
static void test_peak(void **state) {
  (void)state;
  run_with_peak(1e14);
  for (int step = 1; step <= PEAK_STEPS; step++) assert_true(fabs(peak_seen[step] / 1e14 - 1) < 1e-9);
  run_with_peak(1);
  assert_true(peak_seen[1] > 1);
  for (int step = 2; step <= PEAK_STEPS; step++)
    assert_true(peak_seen[step] >= peak_seen[step - 1] * (1 - 1e-9));
}

static int make_root(void **state) {
  (void)state;
  strcpy(root, "/tmp/xlm-test-train-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns), cmocka_unit_test(test_traces),
                                     cmocka_unit_test(test_resume), cmocka_unit_test(test_peak),
                                     cmocka_unit_test(test_diverges)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
