// A rank that never returns from a computation: the others give up after their timeout, and the watchdog ends
// the process, with a message about where every rank is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/train/train_util.h"
#include "tools/xlmrun/watchdog.c" // of a tool, not of a library

static xlm_team *open_team(xlm_arena *a) {
  toy_options o = toy_defaults("llama");
  xlm_compile_options c = toy_compile_options(a, &o);
  xlm_error err = {0};
  xlm_team *team;
  c.mesh = (xlm_mesh){.n = 1, .axis = {"tp"}, .size = {2}};
  if (xlm_team_open(toy_plan(a, toy_source(a, "llama"), &c), xlm_backend_find("cpu"), 1, XLM_LAUNCH_LOCAL,
                    0.5, &team, &err))
    fail_msg("%s", err.text);
  return team;
}

static xlm_status stuck(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err) {
  (void)e, (void)microbatch, (void)err;
  while (arg) (void)pause();
  return XLM_OK;
}

static void run_child(int out) {
  dup2(out, STDERR_FILENO);
  xlm_team *team = open_team(xlm_arena_new(0));
  xlm_error err;
  void *args[2] = {NULL, team}; // rank 1 is the stuck one
  watchdog_start(team, 1);
  _exit(xlm_team_step(team, (xlm_step_env){0}, stuck, args, &err) == XLM_OK ? 0 : 1); // never reached
}

static void test_stuck_rank(void **state) {
  (void)state;
  int pipes[2], status;
  char text[4096] = "";
  size_t n = 0;
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  if (!child) run_child(pipes[1]);
  close(pipes[1]);
  for (ssize_t more; (more = read(pipes[0], text + n, sizeof text - 1 - n)) > 0; n += (size_t)more)
    text[n + (size_t)more] = 0;
  close(pipes[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ENVIRONMENT);
  if (!strstr(text, "rank 0: ") || !strstr(text, "model") || !strstr(text, "rank 1: the step\n") ||
      !strstr(text, "not every rank"))
    fail_msg("%s", text);
}

static void test_no_failure(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_team *team = open_team(a);
  xlm_error err;
  watchdog *w = watchdog_start(team, 0.3);
  assert_non_null(w);
  for (int i = 0; i < 3; i++)
    assert_int_equal(xlm_team_step(team, (xlm_step_env){0}, NULL, NULL, &err), XLM_OK);
  usleep(700000);
  watchdog_stop(w);
  xlm_team_close(team);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_stuck_rank), cmocka_unit_test(test_no_failure)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
