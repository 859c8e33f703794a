// Thread pool. Each run bumps a generation counter; workers wait for it (a short spin, then a futex-backed
// condition variable) and count themselves out.
#include "runtime/base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
  SPIN = 4000,
  LINE = 64,
  LINES = 8,       // prefetched at a time
  NEAR = 192 << 10 // bytes that a worker prefetches of its part: some of the second cache
};

typedef struct worker {
  xlm_pool *pool;
  int index;
  pthread_t thread;
  const xlm_pool_span *next; // of which the worker prefetches [at, end)
  const char *at, *end;
  char apart[LINE]; // from what the next worker writes
} worker;

struct xlm_pool {
  int threads, started;
  xlm_pool_fn *fn;
  void *arg;
  atomic_uint generation, done;
  atomic_int sleepers;
  atomic_bool stop, caller_waits;
  _Atomic(const xlm_pool_span *) next;
  pthread_mutex_t lock;
  pthread_cond_t wake, finished;
  worker workers[];
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void begin_span(worker *w, const xlm_pool_span *next) {
  int64_t begin, end;
  w->next = next, w->at = w->end = NULL;
  if (!next) return;
  xlm_pool_range((int64_t)next->bytes, w->index, w->pool->threads, &begin, &end);
  w->at = next->at + begin;
  w->end = w->at + (end - begin < NEAR ? end - begin : NEAR);
}

static void idle(worker *w) {
  const xlm_pool_span *next = atomic_load_explicit(&w->pool->next, memory_order_acquire);
  if (next != w->next) begin_span(w, next);
  for (int i = 0; i < LINES && w->at != w->end; i++) {
    __builtin_prefetch(w->at, 0, 2);
    w->at += w->end - w->at < LINE ? w->end - w->at : LINE;
  }
  relax(); // prefetches that come faster than memory are dropped
}

static void wait_generation(worker *w, unsigned seen) {
  xlm_pool *p = w->pool;
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&p->generation, memory_order_acquire) != seen) return;
    idle(w);
  }
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->sleepers, 1);
  while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg) {
  worker *w = arg;
  xlm_pool *p = w->pool;
  for (unsigned seen = 0;; seen++) {
    wait_generation(w, seen);
    if (atomic_load(&p->stop)) return NULL;
    p->fn(p->arg, w->index, p->threads);
    if (atomic_fetch_add(&p->done, 1) + 2 == (unsigned)p->threads && atomic_load(&p->caller_waits)) {
      pthread_mutex_lock(&p->lock);
      pthread_cond_signal(&p->finished);
      pthread_mutex_unlock(&p->lock);
    }
  }
}

static void release_workers(xlm_pool *p) {
  atomic_fetch_add(&p->generation, 1);
  pthread_mutex_lock(&p->lock);
  if (atomic_load(&p->sleepers)) pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

static void wait_done(xlm_pool *p) {
  unsigned others = (unsigned)p->threads - 1;
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&p->done, memory_order_acquire) == others) return;
    idle(&p->workers[0]);
  }
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->caller_waits, true);
  while (atomic_load(&p->done) != others) pthread_cond_wait(&p->finished, &p->lock);
  atomic_store(&p->caller_waits, false);
  pthread_mutex_unlock(&p->lock);
}

int xlm_pool_size(const xlm_pool *p) {
  return p ? p->threads : 1;
}

void xlm_pool_ahead(xlm_pool *p, const xlm_pool_span *next) {
  if (p) atomic_store_explicit(&p->next, next, memory_order_release);
}

void xlm_pool_run(xlm_pool *p, xlm_pool_fn *fn, void *arg) {
  if (!p || p->threads == 1) {
    fn(arg, 0, 1);
    return;
  }
  p->fn = fn;
  p->arg = arg;
  atomic_store(&p->done, 0);
  release_workers(p);
  fn(arg, 0, p->threads);
  wait_done(p);
}

void xlm_pool_free(xlm_pool *p) {
  if (!p) return;
  atomic_store(&p->stop, true);
  release_workers(p);
  for (int i = 1; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->wake);
  pthread_cond_destroy(&p->finished);
  free(p);
}

xlm_status xlm_pool_new(int threads, xlm_pool **out, xlm_error *err) {
  *out = NULL;
  if (threads < 1) threads = 1;
  xlm_pool *p = calloc(1, sizeof *p + (size_t)threads * sizeof(worker));
  if (!p) return xlm_fail(err, XLM_ENV, "no memory for a pool of %d threads", threads);
  p->threads = threads;
  p->workers[0].pool = p; // the caller
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  pthread_cond_init(&p->finished, NULL);
  for (p->started = 1; p->started < threads; p->started++) {
    worker *w = &p->workers[p->started];
    *w = (worker){.pool = p, .index = p->started};
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc) {
      xlm_fail(err, XLM_ENV, "cannot start thread %d of %d: %s", p->started, threads, strerror(rc));
      xlm_pool_free(p);
      return XLM_ENV;
    }
  }
  *out = p;
  return XLM_OK;
}
