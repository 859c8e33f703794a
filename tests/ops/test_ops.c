// Runs every op case. `test_ops [PATTERN]`: only cases whose "op.name" contains PATTERN. XLM_CPU_ISA chooses
// the kernels' instruction set (the test suite runs all of them).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/run_op.h"

static void run_case(void **state) {
  const op_case *c = *state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  const char *wrong = op_case_run(c, a);
  if (wrong) print_error("%s.%s: %s\n", xlm_op_at(c->op)->name, c->name, wrong);
  bool failed = wrong;
  xlm_arena_free(a);
  assert_false(failed);
}

static char *full_name(const op_case *c) {
  char *s = NULL;
  return asprintf(&s, "%s.%s", xlm_op_at(c->op)->name, c->name) < 0 ? NULL : s;
}

int main(int argc, char **argv) {
  static struct CMUnitTest tests[2048];
  size_t n = 0;
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) {
      const op_case *c = &op_case_files[f]->at[i];
      char *name = full_name(c);
      if (!name || (argc > 1 && !strstr(name, argv[1])) || n == sizeof tests / sizeof *tests) {
        free(name);
        continue;
      }
      tests[n++] = (struct CMUnitTest){.name = name, .test_func = run_case, .initial_state = (void *)c};
    }
  if (n == 0) return fprintf(stderr, "no case of that name\n"), 1;
  return _cmocka_run_group_tests("ops", tests, n, NULL, NULL);
}
