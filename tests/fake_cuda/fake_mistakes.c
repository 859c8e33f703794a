// Mistakes in the use of a CUDA runtime: the fake finds each, and nothing where there is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake_cuda/fake_cuda.h"

static void *card, *pinned, *plain;
static xlm_cuda_queue queues[2];
static xlm_cuda_event event;

static void wait_for_nothing(void) {
  (void)fake_cuda.wait(queues[0], event);
}
static void copy_from_plain_memory(void) {
  (void)fake_cuda.copy(card, plain, 8, XLM_CUDA_TO_CARD, queues[0]);
}
static void copy_beyond_the_end(void) {
  (void)fake_cuda.copy((char *)card + 60, pinned, 8, XLM_CUDA_TO_CARD, queues[0]);
}
static void two_fills(void) {
  (void)fake_cuda.fill(card, 1, 8, queues[0]), (void)fake_cuda.fill((char *)card + 7, 2, 8, queues[1]);
}
static void read_too_early(void) {
  (void)fake_cuda.fill(card, 1, 8, queues[0]);
  (void)fake_cuda.copy(pinned, card, 8, XLM_CUDA_TO_HOST, queues[1]);
}
static void write_too_early(void) {
  (void)fake_cuda.copy(pinned, card, 8, XLM_CUDA_TO_HOST, queues[0]);
  (void)fake_cuda.fill(card, 1, 8, queues[1]);
}
static void wait_while_capturing(void) {
  xlm_cuda_graph g;
  (void)fake_cuda.begin_capture(queues[0]);
  (void)fake_cuda.finish(queues[0]);
  assert_int_not_equal(fake_cuda.end_capture(queues[0], &g), 0);
}
static void take_while_capturing(void) {
  xlm_cuda_graph g;
  void *more;
  (void)fake_cuda.begin_capture(queues[0]);
  assert_int_not_equal(fake_cuda.alloc(&more, 8), 0);
  assert_int_not_equal(fake_cuda.end_capture(queues[0], &g), 0);
}
static void leave_a_queue_unjoined(void) {
  xlm_cuda_graph g;
  (void)fake_cuda.begin_capture(queues[0]);
  (void)fake_cuda.record(event, queues[0]), (void)fake_cuda.wait(queues[1], event);
  (void)fake_cuda.fill(card, 1, 8, queues[1]);
  assert_int_not_equal(fake_cuda.end_capture(queues[0], &g), 0);
}
static void wait_for_before_the_capture(void) {
  xlm_cuda_graph g;
  (void)fake_cuda.record(event, queues[1]);
  (void)fake_cuda.begin_capture(queues[0]);
  (void)fake_cuda.wait(queues[0], event);
  assert_int_not_equal(fake_cuda.end_capture(queues[0], &g), 0);
}
static void race_in_a_graph(void) {
  xlm_cuda_graph g;
  (void)fake_cuda.begin_capture(queues[0]);
  (void)fake_cuda.record(event, queues[0]), (void)fake_cuda.wait(queues[1], event);
  (void)fake_cuda.fill(card, 1, 8, queues[1]), (void)fake_cuda.fill(card, 2, 8, queues[0]);
  (void)fake_cuda.record(event, queues[1]), (void)fake_cuda.wait(queues[0], event);
  assert_int_equal(fake_cuda.end_capture(queues[0], &g), 0);
  (void)fake_cuda.launch(g, queues[0]);
  (void)fake_cuda.close_graph(g);
}
static void close_twice(void) {
  xlm_cuda_event e;
  (void)fake_cuda.open_event(&e, false), (void)fake_cuda.close_event(e);
  (void)fake_cuda.record(e, queues[0]);
}
static void in_order(void) { // the only one in which nothing is wrong
  (void)fake_cuda.fill(card, 1, 8, queues[0]);
  (void)fake_cuda.record(event, queues[0]), (void)fake_cuda.wait(queues[1], event);
  (void)fake_cuda.copy(pinned, card, 8, XLM_CUDA_TO_HOST, queues[1]);
  (void)fake_cuda.finish(queues[1]);
  (void)fake_cuda.fill(card, 2, 8, queues[0]);
}

static void the_fake_finds_mistakes(void **state) {
  (void)state;
  static void (*const mistakes[])(void) = {wait_for_nothing,       copy_from_plain_memory,
                                           copy_beyond_the_end,    two_fills,
                                           read_too_early,         write_too_early,
                                           wait_while_capturing,   take_while_capturing,
                                           leave_a_queue_unjoined, wait_for_before_the_capture,
                                           race_in_a_graph,        close_twice};
  enum { MISTAKES = sizeof mistakes / sizeof *mistakes };
  plain = malloc(8);
  for (int i = 0; i <= MISTAKES; i++) {
    fake_cuda_reset(1);
    (void)fake_cuda.alloc(&card, 64), (void)fake_cuda.alloc_pinned(&pinned, 64);
    (void)fake_cuda.open_queue(&queues[0], false), (void)fake_cuda.open_queue(&queues[1], true);
    (void)fake_cuda.open_event(&event, false);
    if (i < MISTAKES)
      mistakes[i]();
    else
      in_order();
    if (i < MISTAKES && !fake_cuda_error()) fail_msg("mistake %d is not found", i);
    if (i == MISTAKES && fake_cuda_error()) fail_msg("%s", fake_cuda_error());
    (void)fake_cuda.close_event(event);
    (void)fake_cuda.close_queue(queues[0]), (void)fake_cuda.close_queue(queues[1]);
    (void)fake_cuda.release(card), (void)fake_cuda.free_pinned(pinned);
  }
  free(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_fake_finds_mistakes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
