// The courier, see courier.h: a ring of posted instructions, two counters, and a short look before sleeping.
#include "runtime/exec/courier.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SPIN = 200 }; // ranks may outnumber the processors: who waits long must sleep

struct xlm_courier {
  xlm_courier_fn *run;
  void *arg;
  uint32_t room;
  _Atomic uint64_t posted, done;
  atomic_bool stop, thread_sleeps, poster_sleeps;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake, ended;
  uint32_t ring[];
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static bool has_work(xlm_courier *c) {
  return atomic_load(&c->posted) != atomic_load(&c->done) || atomic_load(&c->stop);
}

static void wait_work(xlm_courier *c) {
  for (int i = 0; i < SPIN; i++) {
    if (has_work(c)) return;
    relax();
  }
  pthread_mutex_lock(&c->lock);
  atomic_store(&c->thread_sleeps, true);
  while (!has_work(c)) pthread_cond_wait(&c->wake, &c->lock);
  atomic_store(&c->thread_sleeps, false);
  pthread_mutex_unlock(&c->lock);
}

static void *thread_main(void *arg) {
  xlm_courier *c = arg;
  for (;;) {
    wait_work(c);
    uint64_t at = atomic_load(&c->done);
    if (at == atomic_load(&c->posted)) return NULL; // stopped
    c->run(c->arg, c->ring[at % c->room]);
    atomic_store(&c->done, at + 1);
    if (!atomic_load(&c->poster_sleeps)) continue;
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->ended);
    pthread_mutex_unlock(&c->lock);
  }
}

static void wake_thread(xlm_courier *c) {
  if (!atomic_load(&c->thread_sleeps)) return;
  pthread_mutex_lock(&c->lock);
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
}

uint64_t xlm_courier_post(xlm_courier *c, uint32_t instr) {
  uint64_t at = atomic_load_explicit(&c->posted, memory_order_relaxed);
  XLM_ASSERT(at - atomic_load(&c->done) < c->room, "more than %u instructions under way", c->room);
  c->ring[at % c->room] = instr;
  atomic_store(&c->posted, at + 1);
  wake_thread(c);
  return at + 1;
}

void xlm_courier_wait(xlm_courier *c, uint64_t ticket) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&c->done, memory_order_acquire) >= ticket) return;
    relax();
  }
  pthread_mutex_lock(&c->lock);
  atomic_store(&c->poster_sleeps, true);
  while (atomic_load(&c->done) < ticket) pthread_cond_wait(&c->ended, &c->lock);
  atomic_store(&c->poster_sleeps, false);
  pthread_mutex_unlock(&c->lock);
}

void xlm_courier_wait_all(xlm_courier *c) {
  xlm_courier_wait(c, atomic_load_explicit(&c->posted, memory_order_relaxed));
}

void xlm_courier_free(xlm_courier *c) {
  if (!c) return;
  xlm_courier_wait_all(c);
  atomic_store(&c->stop, true);
  pthread_mutex_lock(&c->lock);
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
  pthread_join(c->thread, NULL);
  pthread_mutex_destroy(&c->lock);
  pthread_cond_destroy(&c->wake);
  pthread_cond_destroy(&c->ended);
  free(c);
}

xlm_status xlm_courier_new(xlm_courier_fn *run, void *arg, uint32_t room, xlm_courier **out, xlm_error *err) {
  *out = NULL;
  xlm_courier *c = calloc(1, sizeof *c + (size_t)room * sizeof *c->ring);
  if (!c) return xlm_fail(err, XLM_ENV, "no memory for a communication thread");
  c->run = run, c->arg = arg, c->room = room;
  pthread_mutex_init(&c->lock, NULL);
  pthread_cond_init(&c->wake, NULL);
  pthread_cond_init(&c->ended, NULL);
  int rc = pthread_create(&c->thread, NULL, thread_main, c);
  if (rc) {
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    pthread_cond_destroy(&c->ended);
    free(c);
    return xlm_fail(err, XLM_ENV, "cannot start a communication thread: %s", strerror(rc));
  }
  *out = c;
  return XLM_OK;
}
