// The card's memory in a run: the arena is one allocation of exactly the planned bytes, all else is measured,
// and steps allocate nothing. What ranks can plan with is shared by those on one card.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fixture.h"
#include "tests/train/train_util.h"

static void the_arena_is_that_of_the_plan(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    toy_options o = toy_defaults(toy_models[i]);
    o.microbatches = 2, o.with_eval = true;
    toy *t = toy_open(&o);
    assert_int_equal(fake_cuda_largest(), t->plan->rank_plans[0]->arena_bytes);
    assert_int_equal(xlm_exec_arena_bytes(t->exec), t->plan->rank_plans[0]->arena_bytes);
    int64_t asked = fake_cuda_asked();
    xlm_device_memory before = xlm_exec_memory(t->exec), after;
    assert_int_equal(before.arena + before.libraries, fake_cuda_taken());
    assert_true(before.before > 0 && before.graphs == 0);
    for (int step = 0; step < 3; step++) toy_step(t, 1e-3); // run, captured, launched
    assert_int_equal(fake_cuda_asked(), asked);
    after = xlm_exec_memory(t->exec);
    assert_true(after.graphs > 0 && after.arena == before.arena && after.libraries == before.libraries);
    toy_close(t);
  }
}

static void ranks_share_cards(void **state) {
  (void)state;
  uint64_t one = xlm_device_cuda.room(1), per_card[] = {1, 1, 1, 2};
  assert_true(one > (uint64_t)6 << 30 && one < (uint64_t)8 << 30);
  fake_cuda_pretend(13000, 3, 9);
  for (int64_t ranks = 1; ranks <= 4; ranks++)
    assert_int_equal(xlm_device_cuda.room(ranks), one / per_card[ranks - 1]);
  fake_cuda_pretend(0, 0, 9);
  assert_int_equal(xlm_device_cuda.room(1), 0);
  fake_cuda_pretend(13000, 1, 9);
}

int main(void) {
  setenv("XLM_TEST_DEVICE", "cuda", 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_arena_is_that_of_the_plan, fake_setup, fake_nothing_is_left),
      cmocka_unit_test_setup_teardown(ranks_share_cards, fake_setup, fake_nothing_is_left)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
