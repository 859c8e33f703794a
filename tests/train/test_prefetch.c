// Reading ahead gives the same windows as reading on demand, for any order of steps.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/train/prefetch.h"

enum { SEQ = 12, ROWS = 6 };

static const bool needed[ROWS] = {true, false, true, true, false, true};

static void open_samples(xlm_data **data, xlm_samples *samples) {
  assert_int_equal(xlm_data_synthetic(1000, (xlm_data_options){.vocab = 50}, 5, data, NULL), XLM_OK);
  xlm_data_part all = {*data, 0, xlm_data_tokens(*data)};
  assert_int_equal(xlm_samples_open(all, SEQ, 3, "synthetic", samples, NULL), XLM_OK);
}

static void check_step(xlm_prefetch *p, const xlm_samples *samples, int64_t step) {
  int32_t want[SEQ + 1];
  assert_int_equal(xlm_prefetch_take(p, step, NULL), XLM_OK);
  for (int64_t row = 0; row < ROWS; row++) {
    if (!needed[row]) continue;
    assert_int_equal(xlm_samples_shuffled(samples, step * ROWS + row, want, NULL), XLM_OK);
    assert_memory_equal(xlm_prefetch_window(p, row), want, sizeof want);
  }
}

static void windows_are_those_of_the_step(void **state) {
  (void)state;
  static const int64_t steps[] = {0, 1, 2, 3, 40, 41, 7, 8, 8, 0, 1}; // ahead, back, and once more
  xlm_data *data;
  xlm_samples samples;
  xlm_prefetch *p;
  open_samples(&data, &samples);
  assert_int_equal(xlm_prefetch_open(&samples, ROWS, needed, &p, NULL), XLM_OK);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) check_step(p, &samples, steps[i]);
  xlm_prefetch_close(p);
  xlm_data_close(data);
}

static void ends_at_any_time(void **state) {
  (void)state;
  xlm_data *data;
  xlm_samples samples;
  open_samples(&data, &samples);
  for (int i = 0; i < 50; i++) {
    xlm_prefetch *p;
    assert_int_equal(xlm_prefetch_open(&samples, ROWS, needed, &p, NULL), XLM_OK);
    if (i % 3) assert_int_equal(xlm_prefetch_take(p, i, NULL), XLM_OK);
    xlm_prefetch_close(p);
  }
  xlm_data_close(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(windows_are_those_of_the_step),
                                     cmocka_unit_test(ends_at_any_time)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
