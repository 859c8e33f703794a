// A monotonic clock for durations, the same in all processes of a machine; the time of day; and the processor
// time of a thread.
#ifndef XLM_BASE_CLOCK_H
#define XLM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

static inline int64_t xlm_clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double xlm_clock_seconds(void) {
  return 1e-9 * (double)xlm_clock_ns();
}

static inline double xlm_clock_unix(void) { // seconds since 1970, UTC
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double xlm_clock_thread_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

XLM_C_END

#endif
