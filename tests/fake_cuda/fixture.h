// Before and after a test on the fake card.
#ifndef XLM_TESTS_FAKE_FIXTURE_H
#define XLM_TESTS_FAKE_FIXTURE_H

#include "tests/fake_cuda/fake_cuda.h"

static inline int fake_setup(void **state) {
  (void)state;
  fake_cuda_reset(1);
  return 0;
}

// Everything is given back, and the fake found nothing.
static inline int fake_nothing_is_left(void **state) {
  (void)state;
  return fake_cuda_taken() == 0 && fake_cuda_open() == 0 && !fake_cuda_error() ? 0 : -1;
}

#endif
