// The training loop on a card that runs behind the host: a step is begun before the loss of the last one is
// read, but not past an evaluation; what is reported, stops and errors are those of cuda-checked, which
// waits.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/train/loop.h"
#include "tests/fake_cuda/fixture.h"
#include "tests/train/toy_team.h"

enum { STEPS = 9, EVAL = 4, AT = 3 };

typedef struct story { // what was reported, by step
  toy_team *team;
  double loss[STEPS + 1], val_loss[STEPS + 1];
  int64_t waiting[STEPS + 1]; // operations that had been enqueued and had not run
  int64_t last;
  bool stops, spoils; // after step AT: the run is to stop; a parameter becomes NaN
  volatile sig_atomic_t stop;
  xlm_loop_result result;
  xlm_status status;
  xlm_error err;
} story;

static void spoil(const story *s) {
  const xlm_stored *embed = xlm_store_find(s->team->store, "embed");
  const float bad = NAN;
  for (int64_t token = 0; token < 256; token++) { // whichever comes next
    const xlm_box at = {{token, 0}, {token + 1, 1}};
    assert_int_equal(xlm_store_put(s->team->store, embed, &at, &bad, NULL), XLM_OK);
  }
}

static void report(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  story *s = arg;
  int64_t step = p->m.step;
  (void)path;
  if (event == XLM_LOOP_VALID) s->val_loss[step] = p->m.val_loss;
  if (event != XLM_LOOP_LOGGED) return;
  assert_int_equal(step, s->last + 1);
  s->last = step, s->loss[step] = p->m.loss, s->waiting[step] = fake_cuda_waiting();
  if (step == AT && s->stops) s->stop = 1;
  if (step == AT && s->spoils) spoil(s);
}

static story run(const char *device, int ranks, story s) {
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults("llama");
  o.with_eval = true, o.microbatches = 2;
  xlm_compile_options c = toy_compile_options(a, &o);
  if (ranks > 1) c.mesh = (xlm_mesh){.n = 1, .axis = {"dp"}, .size = {ranks}};
  s.team = toy_team_open_on(device, toy_plan_on(device, a, toy_source(a, o.model), &c), device);
  const xlm_loop_options l = {.team = s.team->team,
                              .train = &s.team->samples,
                              .valid = &s.team->samples,
                              .schedule = {XLM_COSINE, 1e-2, 1e-3, STEPS, 2, 0},
                              .max_steps = STEPS,
                              .log_interval = 1,
                              .eval_interval = EVAL,
                              .eval_batches = 1,
                              .metrics = -1,
                              .info = {.seed = 7},
                              .stop = &s.stop,
                              .report = report,
                              .report_arg = &s};
  s.status = xlm_loop_run(&l, &s.result, &s.err);
  toy_team_close(s.team);
  xlm_arena_free(a);
  return s;
}

static void steps_are_begun_ahead(void **state) {
  (void)state;
  for (int ranks = 1; ranks <= 2; ranks++) {
    story ahead = run("cuda", ranks, (story){0}), waits = run("cuda-checked", ranks, (story){0});
    assert_true(ahead.status == XLM_OK && waits.status == XLM_OK);
    assert_int_equal(ahead.last, STEPS);
    for (int step = 1; step <= STEPS; step++) {
      bool alone = step % EVAL == 0 || step == STEPS;
      if (!alone) assert_true(ahead.waiting[step] > 0);
      if (alone && ranks == 1) assert_int_equal(ahead.waiting[step], 0); // only one of two has a loss to read
      if (ranks == 1) assert_int_equal(waits.waiting[step], 0);
      assert_true(ahead.loss[step] == waits.loss[step] && ahead.val_loss[step] == waits.val_loss[step]);
    }
    assert_true(ahead.val_loss[EVAL] > 0 && ahead.loss[STEPS] < ahead.loss[1]);
  }
}

static void a_stop_ends_the_steps_that_were_begun(void **state) {
  (void)state;
  story s = run("cuda", 1, (story){.stops = true});
  assert_true(s.status == XLM_OK && s.result.stopped);
  assert_int_equal(s.result.step, AT + 1);
  assert_int_equal(s.last, AT + 1);
  assert_true(s.val_loss[AT + 1] > 0);
}

// A bad parameter counts from the next step that is begun; the one after that is under way when it is found.
static void a_bad_loss_is_that_of_its_step(void **state) {
  (void)state;
  story s = run("cuda", 1, (story){.spoils = true});
  assert_int_equal(s.status, XLM_ENV);
  if (!strstr(s.err.text, "is not finite at step 5;")) fail_msg("%s", s.err.text);
  assert_int_equal(s.last, AT + 1);
  s = run("cuda-checked", 1, (story){.spoils = true});
  if (!strstr(s.err.text, "is not finite at step 4;")) fail_msg("%s", s.err.text);
  assert_int_equal(s.last, AT);
}

#define CLEAN(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_nothing_is_left)

int main(void) {
  const struct CMUnitTest tests[] = {CLEAN(steps_are_begun_ahead),
                                     CLEAN(a_stop_ends_the_steps_that_were_begun),
                                     CLEAN(a_bad_loss_is_that_of_its_step)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
