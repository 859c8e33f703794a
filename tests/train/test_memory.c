// Memory of plans, and allocations at run time. Every shipped model with every preset is planned (even those
// too large for any machine at hand) and checked on a model of the arena without lifetimes (arena_check.c);
// those that fit are opened; small ones are run, and steps after the first must not allocate.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/train/loop.h"
#include "tests/fault/malloc_hook.h"
#include "tests/train/arena_check.h"
#include "tests/train/train_util.h"

// ---- plans ----

// The arena is only reserved, not touched, so opening a large one costs nothing.
static void expect_reserved(const xlm_plan *plan, const char *what) {
  const xlm_rank_plan *rp = plan->rank_plans[0];
  xlm_error err;
  xlm_exec *e;
  if (!MALLOC_HOOK || rp->arena_bytes > (uint64_t)4 << 30) return;
  uint64_t before = atomic_load(&hook_mapped);
  if (xlm_exec_open(plan, 0, xlm_backend_find("cpu"), plan->target.threads, NULL, &e, &err) != XLM_OK)
    fail_msg("%s: %s", what, err.text);
  uint64_t mapped = atomic_load(&hook_mapped) - before;
  if (mapped != rp->arena_bytes || xlm_exec_arena_bytes(e) != rp->arena_bytes)
    fail_msg("%s: %llu bytes planned, %llu taken", what, (unsigned long long)rp->arena_bytes,
             (unsigned long long)mapped);
  xlm_exec_close(e);
}

static void check_plan(const char *model, const char *preset, xlm_dtype dtype, int64_t microbatches,
                       xlm_recompute recompute) {
  xlm_arena *a = xlm_arena_new((size_t)2 << 30);
  assert_non_null(a);
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.preset = preset;
  o.settings.dtype = dtype;
  o.train.microbatches = microbatches;
  o.recompute = recompute;
  o.target.threads = 2;
  const xlm_plan *plan = toy_plan(a, toy_source(a, model), &o);
  const char *what =
      xlm_arena_printf(a, "%s %s %s, %lld microbatches", model, preset ? preset : "(no preset)",
                       xlm_dtype_name(dtype), (long long)microbatches);
  const char *wrong = arena_check(plan->rank_plans[0], a);
  if (wrong) fail_msg("%s: %s", what, wrong);
  expect_reserved(plan, what);
  xlm_arena_free(a);
}

static void test_presets(void **state) {
  const char *model = *state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_diags d;
  const xlm_source *source = toy_source(a, model);
  xlm_diags_init(&d, a, source);
  int presets = 0;
  check_plan(model, NULL, XLM_F32, 1, XLM_RECOMPUTE_MARKED);
  for (const xlm_stmt *s = xlm_parse(a, source, &d)->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_PRESET) continue;
    check_plan(model, s->name->text, XLM_F32, 2, XLM_RECOMPUTE_NONE);
    check_plan(model, s->name->text, XLM_BF16, 1, XLM_RECOMPUTE_FULL);
    presets++;
  }
  assert_true(presets >= 2);
  xlm_arena_free(a);
}

static const xlm_plan *toy_plan_of(xlm_arena *a, const toy_options *o) {
  xlm_compile_options c = toy_compile_options(a, o);
  return toy_plan(a, toy_source(a, o->model), &c);
}

static void test_toys(void **state) {
  (void)state;
  static const xlm_recompute modes[] = {XLM_RECOMPUTE_NONE, XLM_RECOMPUTE_FULL};
  for (int i = 0; i < TOY_MODELS * 8; i++) {
    toy_options o = toy_defaults(toy_models[i / 8]);
    o.dtype = i & 1 ? XLM_BF16 : XLM_F32;
    o.microbatches = i & 2 ? 3 : 1;
    o.recompute = modes[i >> 2 & 1];
    o.threads = 5;
    o.with_eval = true;
    xlm_arena *a = xlm_arena_new(0);
    const char *wrong = arena_check(toy_plan_of(a, &o)->rank_plans[0], a);
    if (wrong) fail_msg("%s %s: %s", o.model, xlm_dtype_name(o.dtype), wrong);
    xlm_arena_free(a);
  }
}

// The check itself: it must reject a plan in which a tensor was moved or made smaller, or whose figures are
// wrong.
static void test_check_sees(void **state) {
  (void)state;
  toy_options o = toy_defaults("llama");
  xlm_arena *a = xlm_arena_new(0);
  xlm_rank_plan *p = toy_plan_of(a, &o)->rank_plans[0];
  xlm_tensor *t = XLM_NEW_N(a, xlm_tensor, p->n_tensors);
  const xlm_tensor *right = p->tensors;
  int moved = 0, seen = 0;
  p->tensors = t;
  for (uint32_t i = 1; i < p->n_tensors; i++) {
    memcpy(t, right, p->n_tensors * sizeof *t);
    if (t[i].area != XLM_AREA_TEMP || t[i].view_of || t[i].bytes < 64) continue;
    t[i].offset = t[i].offset ? t[i].offset - 64 : 64;
    moved++;
    seen += arena_check(p, a) != NULL;
  }
  assert_true(moved > 50 && seen > moved / 2); // some may move into a gap
  memcpy(t, right, p->n_tensors * sizeof *t);
  assert_null(arena_check(p, a));
  p->free_bytes++;
  assert_non_null(arena_check(p, a));
  xlm_arena_free(a);
}

// ---- steps ----

static void test_steps_allocate_nothing(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS * 2 && MALLOC_HOOK; i++) {
    toy_options o = toy_defaults(toy_models[i / 2]);
    o.dtype = i & 1 ? XLM_BF16 : XLM_F32;
    o.microbatches = 2;
    o.threads = 2;
    toy *t = toy_open(&o);
    toy_step(t, 1e-3);
    long before = atomic_load(&hook_calls);
    for (int s = 0; s < 4; s++) toy_step(t, 1e-3);
    long calls = atomic_load(&hook_calls) - before;
    if (calls)
      fail_msg("%s %s: %ld requests for memory in steps 2 to 5", o.model, xlm_dtype_name(o.dtype), calls);
    toy_close(t);
  }
}

typedef struct watch { // of a run of the training loop
  long after_first, last;
} watch;

static void look(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  watch *w = arg;
  (void)path;
  if (event == XLM_LOOP_LOGGED && p->m.step == 2) w->after_first = atomic_load(&hook_calls);
  w->last = atomic_load(&hook_calls);
}

// The whole loop: logging, metrics, the curve and evaluations included.
static void test_loop_allocates_nothing(void **state) {
  (void)state;
  static xlm_curve curve;
  for (int i = 0; i < TOY_MODELS; i++) {
    toy_options o = toy_defaults(toy_models[i]);
    o.threads = 2;
    o.with_eval = true;
    toy *t = toy_open(&o);
    watch w = {0};
    xlm_error err = {0};
    xlm_loop_result r;
    xlm_team *team;
    xlm_store *store;
    if (xlm_team_open(t->plan, xlm_backend_find("cpu"), o.threads, XLM_LAUNCH_LOCAL, 0, &team, &err) !=
        XLM_OK)
      fail_msg("%s", err.text);
    assert_int_equal(xlm_store_new(t->plan, xlm_team_states(team), &store, &err), XLM_OK);
    assert_int_equal(xlm_store_init(store, 7, true, NULL, &err), XLM_OK);
    xlm_loop_options l = {.team = team,
                          .train = &t->samples,
                          .valid = &t->samples,
                          .schedule = {XLM_COSINE, 1e-3, 1e-4, 6, 2, 0},
                          .max_steps = 6,
                          .log_interval = 1,
                          .eval_interval = 1,
                          .eval_batches = 2,
                          .curve = &curve,
                          .info = {.seed = 7},
                          .report = look,
                          .report_arg = &w};
    l.metrics = open("/dev/null", O_WRONLY);
    if (xlm_loop_run(&l, &r, &err) != XLM_OK) fail_msg("%s", err.text);
    close(l.metrics);
    xlm_store_free(store);
    xlm_team_close(team);
    if (MALLOC_HOOK) assert_int_equal(w.last - w.after_first, 0);
    assert_int_equal(r.step, 6);
    toy_close(t);
  }
}

int main(void) {
  struct CMUnitTest tests[TOY_MODELS + 4] = {cmocka_unit_test(test_toys), cmocka_unit_test(test_check_sees),
                                             cmocka_unit_test(test_steps_allocate_nothing),
                                             cmocka_unit_test(test_loop_allocates_nothing)};
  for (int i = 0; i < TOY_MODELS; i++)
    tests[i + 4] = (struct CMUnitTest){
        .name = toy_models[i], .test_func = test_presets, .initial_state = (void *)(uintptr_t)toy_models[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
