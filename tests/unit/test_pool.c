// The thread pool: every worker runs exactly once per run, for all sizes and sequences of runs, also when
// workers had time to fall asleep; and the ranges it computes.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "runtime/base/pool.h"

enum { MOST = 8, RUNS = 300 };

typedef struct job {
  int calls[MOST], workers[MOST]; // by worker; plain memory: the pool itself must order the accesses
  pthread_t thread[MOST];
  int64_t nap; // ns, of worker 1
} job;

static void sleep_ns(int64_t ns) {
  nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void count(void *arg, int worker, int workers) {
  job *j = arg;
  if (j->nap && worker == 1) sleep_ns(j->nap);
  j->calls[worker]++;
  j->workers[worker] = workers;
  j->thread[worker] = pthread_self();
}

static xlm_pool *new_pool(int threads) {
  xlm_pool *p;
  xlm_error err;
  if (xlm_pool_new(threads, &p, &err) != XLM_OK) fail_msg("%s", err.text);
  return p;
}

static void expect_calls(const job *j, int threads, int calls) {
  for (int i = 0; i < MOST; i++) {
    if (j->calls[i] != (i < threads ? calls : 0))
      fail_msg("worker %d of %d ran %d times in %d runs", i, threads, j->calls[i], calls);
    if (i < threads) assert_int_equal(j->workers[i], threads);
  }
}

static void every_worker_once_per_run(void **state) {
  (void)state;
  for (int threads = 1; threads <= MOST; threads++) {
    xlm_pool *p = new_pool(threads);
    job j = {.nap = 0};
    assert_int_equal(xlm_pool_size(p), threads);
    for (int i = 1; i <= RUNS; i++) {
      xlm_pool_run(p, count, &j);
      expect_calls(&j, threads, i); // all are done when run returns
    }
    assert_true(pthread_equal(j.thread[0], pthread_self())); // the caller is worker 0
    for (int i = 1; i < threads; i++) assert_false(pthread_equal(j.thread[i], j.thread[0]));
    xlm_pool_free(p);
  }
}

// Pauses long enough for workers (or the caller) to sleep, just before the next run or in the middle of one.
static void nobody_sleeps_through_a_run(void **state) {
  (void)state;
  xlm_pool *p = new_pool(3);
  job j = {.nap = 0};
  for (int i = 1; i <= 60; i++) {
    if (i % 3 == 0) sleep_ns(i * 40000);
    j.nap = i % 4 == 0 ? i * 40000 : 0;
    xlm_pool_run(p, count, &j);
    expect_calls(&j, 3, i);
  }
  xlm_pool_free(p);
}

static void pools_come_and_go(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    xlm_pool *p = new_pool(1 + i % MOST);
    job j = {.nap = 0};
    if (i % 2) xlm_pool_run(p, count, &j); // some are never used
    xlm_pool_free(p);
  }
  xlm_pool_free(NULL);
}

static void without_a_pool(void **state) {
  (void)state;
  job j = {.nap = 0};
  xlm_pool_run(NULL, count, &j);
  expect_calls(&j, 1, 1);
  assert_int_equal(xlm_pool_size(NULL), 1);
  xlm_pool *p = new_pool(0); // at least the caller
  assert_int_equal(xlm_pool_size(p), 1);
  xlm_pool_free(p);
}

static void *drive(void *arg) {
  xlm_pool *p = new_pool(2);
  job *j = arg;
  for (int i = 0; i < RUNS; i++) xlm_pool_run(p, count, j);
  xlm_pool_free(p);
  return NULL;
}

static void pools_do_not_disturb_each_other(void **state) {
  (void)state;
  pthread_t t[3];
  static job j[3];
  for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&t[i], NULL, drive, &j[i]), 0);
  for (int i = 0; i < 3; i++) {
    pthread_join(t[i], NULL);
    expect_calls(&j[i], 2, RUNS);
  }
}

static void ranges_cover_everything_once(void **state) {
  (void)state;
  static const int64_t sizes[] = {0, 1, 2, 3, 7, 8, 64, 1000, INT64_C(5000000000)};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int k = 1; k <= 9; k++) {
      int64_t at = 0, least = sizes[s], most = 0;
      for (int i = 0; i < k; i++) {
        int64_t begin, end;
        xlm_pool_range(sizes[s], i, k, &begin, &end);
        assert_true(begin == at && end >= begin);
        at = end;
        if (end - begin < least) least = end - begin;
        if (end - begin > most) most = end - begin;
      }
      assert_true(at == sizes[s] && most - least <= 1);
    }
}

// Prefetching ahead changes nothing about runs, whatever the memory: more than workers fetch, less than one
// line for each, none, none that may be read, and another before they are through.
static void looking_ahead_disturbs_nothing(void **state) {
  (void)state;
  enum { LARGE = 4 << 20 };
  char *large = malloc(LARGE), *closed = mmap(NULL, LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(large && closed != MAP_FAILED);
  const xlm_pool_span spans[] = {
      {large, LARGE}, {large + 1, 3}, {large, 0}, {closed, LARGE}, {large + 7, 100001}};
  for (int threads = 1; threads <= 3; threads++) {
    xlm_pool *p = new_pool(threads);
    job j = {.nap = 0};
    for (int i = 1; i <= RUNS; i++) {
      xlm_pool_ahead(p, i % 6 ? &spans[i % 5] : NULL);
      if (i % 7 == 0) sleep_ns(100000);
      j.nap = i % 50 == 0 ? 1000000 : 0; // the caller waits
      xlm_pool_run(p, count, &j);
      expect_calls(&j, threads, i);
    }
    xlm_pool_free(p);
  }
  xlm_pool_ahead(NULL, &spans[0]);
  munmap(closed, LARGE);
  free(large);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_worker_once_per_run),
                                     cmocka_unit_test(nobody_sleeps_through_a_run),
                                     cmocka_unit_test(pools_come_and_go),
                                     cmocka_unit_test(without_a_pool),
                                     cmocka_unit_test(looking_ahead_disturbs_nothing),
                                     cmocka_unit_test(pools_do_not_disturb_each_other),
                                     cmocka_unit_test(ranges_cover_everything_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
