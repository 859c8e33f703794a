// Series on the fake card: the updates of neighbouring parameters are one piece of work and change no bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/train/toy_team.h"

static struct {
  int alone, together, updates; // runs of one call, runs of several, and of how many
} count;

static xlm_status run_counted(const xlm_call *c) {
  count.alone++;
  return xlm_backend_find("cuda")->find(NULL, XLM_OP_ADAMW)->run(c);
}

static xlm_status run_all_counted(const xlm_call *const *calls, int n) {
  count.together++, count.updates += n;
  return xlm_backend_find("cuda")->find(NULL, XLM_OP_ADAMW)->run_all(calls, n);
}

static const xlm_kernel *find_counted(const char *arch, xlm_op_id op) {
  static xlm_kernel adamw;
  const xlm_kernel *real = xlm_backend_find("cuda")->find(arch, op);
  if (op != XLM_OP_ADAMW) return real;
  adamw = *real;
  adamw.run = run_counted, adamw.run_all = run_all_counted;
  return &adamw;
}

static const xlm_plan *plan_of(xlm_arena *a, const char *model) {
  toy_options o = toy_defaults(model);
  o.batch = 4, o.microbatches = 2;
  o.sets = strcmp(model, "gpt2") ? "layers=2" : "layers=5"; // of gpt2, more parameters than one launch takes
  xlm_compile_options c = toy_compile_options(a, &o);
  return toy_plan_on("cuda", a, toy_source(a, model), &c);
}

static int updates_of(const xlm_rank_plan *r) {
  int n = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++) n += r->instrs[i].op == XLM_OP_ADAMW;
  return n;
}

// A step of the plan's only rank, counted; seconds: NULL or by instruction.
static void step_counted(const xlm_plan *p, bool apart, double *seconds) {
  xlm_backend b = *xlm_backend_find("cuda");
  xlm_error err = {0};
  xlm_exec *e;
  b.find = find_counted, b.device = &xlm_device_cuda_eager;
  fake_cuda_reset(1);
  memset(&count, 0, sizeof count);
  if (xlm_exec_open(p, 0, &b, 1, NULL, &e, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_exec_poison(e, apart);
  xlm_exec_profile(e, seconds);
  if (xlm_exec_step(e, (xlm_step_env){.step = 0}, NULL, NULL, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_exec_close(e);
  assert_null(fake_cuda_error());
}

static void updates_run_together(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = plan_of(a, "gpt2");
  int n = updates_of(p->rank_plans[0]);
  step_counted(p, false, NULL);
  assert_true(n > 72);
  assert_int_equal(count.updates, n);
  assert_int_equal(count.together, 1);
  assert_int_equal(count.alone, 0);
  step_counted(p, true, NULL);
  assert_int_equal(count.alone, n);
  assert_int_equal(count.together, 0);
  xlm_arena_free(a);
}

static void times_are_shared_out(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = plan_of(a, "gpt2");
  const xlm_rank_plan *r = p->rank_plans[0];
  double *seconds = XLM_NEW_N(a, double, r->n_instrs);
  step_counted(p, false, seconds);
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == XLM_OP_ADAMW) assert_true(seconds[i] > 0);
  xlm_arena_free(a);
}

static void *states_of(const xlm_plan *p, const char *device, xlm_arena *a, size_t *bytes) {
  toy_team *t = toy_team_open_on(device, p, device);
  for (int s = 0; s < 3; s++) toy_team_step(t, s, 1e-2);
  const xlm_rank_plan *r = xlm_exec_rank_plan(xlm_team_exec(t->team, 0));
  *bytes = 0;
  for (uint32_t i = 0; i < r->n_states; i++) *bytes += r->tensors[r->states[i].tensor].bytes;
  char *all = XLM_NEW_N(a, char, *bytes), *to = all;
  for (uint32_t i = 0; i < r->n_states; i++) {
    size_t n = r->tensors[r->states[i].tensor].bytes;
    assert_int_equal(xlm_exec_get_state(xlm_team_exec(t->team, 0), i, 0, to, n, NULL), XLM_OK);
    to += n;
  }
  toy_team_close(t);
  return all;
}

static void bits_are_those_of_single_runs(void **state) {
  (void)state;
  static const char *const models[] = {"gpt2", "mixtral"};
  for (int i = 0; i < 2; i++) {
    xlm_arena *a = xlm_arena_new(0);
    const xlm_plan *p = plan_of(a, models[i]);
    size_t n, m;
    void *together = states_of(p, "cuda", a, &n), *alone = states_of(p, "cuda-checked", a, &m);
    assert_int_equal(n, m);
    assert_memory_equal(together, alone, n);
    xlm_arena_free(a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(updates_run_together),
      cmocka_unit_test(times_are_shared_out),
      cmocka_unit_test(bits_are_those_of_single_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
