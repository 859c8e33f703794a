// The card's memory in a run: the arena is one allocation of exactly the planned bytes, and steps allocate nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/fake_cuda/fixture.h"
#include "tests/train/train_util.h"

static void the_arena_is_that_of_the_plan(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    toy_options o = toy_defaults(toy_models[i]);
    o.microbatches = 2, o.with_eval = true;
    toy *t = toy_open(&o);
    assert_int_equal(fake_cuda_largest(), t->plan->rank_plans[0]->arena_bytes);
    int64_t asked = fake_cuda_asked();
    for (int step = 0; step < 3; step++) toy_step(t, 1e-3); // run, captured, launched
    assert_int_equal(fake_cuda_asked(), asked);
    toy_close(t);
  }
}

int main(void) {
  setenv("XLM_TEST_DEVICE", "cuda", 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_arena_is_that_of_the_plan, fake_setup, fake_nothing_is_left)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
