// See op_cases_main in run_op.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/run_op.h"

enum { MOST = 2048, NAME = 96 };

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

bool op_case_is_large(const op_case *c) {
  static const char *const words[] = {"tiles", "whole", "ends", "head_", "ragged", "loose", "large", "many", "chunk"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strstr(c->name, words[i])) return true;
  return c->op == XLM_OP_FUSED;
}

int op_cases_main(const char *group, const char *pattern, bool (*takes)(const op_case *c)) {
  static struct CMUnitTest tests[MOST];
  static char names[MOST][NAME];
  size_t n = 0;
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) {
      const op_case *c = &op_case_files[f]->at[i];
      XLM_ASSERT(n < MOST, "more than %d op cases", (int)MOST);
      snprintf(names[n], NAME, "%s.%s", xlm_op_at(c->op)->name, c->name);
      if ((takes && !takes(c)) || (pattern && !strstr(names[n], pattern))) continue;
      tests[n] = (struct CMUnitTest){.name = names[n], .test_func = run_case, .initial_state = (void *)c};
      n++;
    }
  if (n == 0) return fprintf(stderr, "no case of that name\n"), 1;
  return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}
