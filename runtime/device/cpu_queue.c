// A queue with a thread; see cpu_priv.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/cpu_priv.h"

enum { SPIN = 200 }; // ranks may outnumber the processors, so long waits must sleep

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static bool has_work(cpu_queue *q) {
  return atomic_load(&q->pushed) != atomic_load(&q->done) || atomic_load(&q->stop);
}

static void wait_work(cpu_queue *q) {
  for (int i = 0; i < SPIN; i++) {
    if (has_work(q)) return;
    relax();
  }
  pthread_mutex_lock(&q->lock);
  atomic_store(&q->thread_sleeps, true);
  while (!has_work(q)) pthread_cond_wait(&q->wake, &q->lock);
  atomic_store(&q->thread_sleeps, false);
  pthread_mutex_unlock(&q->lock);
}

static void *thread_main(void *arg) {
  cpu_queue *q = (cpu_queue *)arg;
  for (;;) {
    wait_work(q);
    uint64_t at = atomic_load(&q->done);
    if (at == atomic_load(&q->pushed)) return NULL; // stopped
    const cpu_item *item = &q->ring[at % q->room];
    if (item->other) cpu_queue_wait(item->other, item->after);
    q->run(q->arg, item);
    atomic_store(&q->done, at + 1);
    if (!atomic_load(&q->waiters)) continue;
    pthread_mutex_lock(&q->lock);
    pthread_cond_broadcast(&q->ended);
    pthread_mutex_unlock(&q->lock);
  }
}

uint64_t cpu_queue_push(cpu_queue *q, const cpu_item *item) {
  uint64_t at = atomic_load_explicit(&q->pushed, memory_order_relaxed);
  XLM_ASSERT(at - atomic_load(&q->done) < q->room, "more than %u pieces of work under way", q->room);
  q->ring[at % q->room] = *item;
  atomic_store(&q->pushed, at + 1);
  if (atomic_load(&q->thread_sleeps)) {
    pthread_mutex_lock(&q->lock);
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
  }
  return at + 1;
}

void cpu_queue_wait(cpu_queue *q, uint64_t ticket) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&q->done, memory_order_acquire) >= ticket) return;
    relax();
  }
  pthread_mutex_lock(&q->lock);
  atomic_fetch_add(&q->waiters, 1);
  while (atomic_load(&q->done) < ticket) pthread_cond_wait(&q->ended, &q->lock);
  atomic_fetch_sub(&q->waiters, 1);
  pthread_mutex_unlock(&q->lock);
}

void cpu_queue_wait_all(cpu_queue *q) {
  cpu_queue_wait(q, atomic_load_explicit(&q->pushed, memory_order_relaxed));
}

static void release(cpu_queue *q) {
  pthread_mutex_destroy(&q->lock);
  pthread_cond_destroy(&q->wake);
  pthread_cond_destroy(&q->ended);
  free(q->ring);
  q->ring = NULL;
}

void cpu_queue_stop(cpu_queue *q) {
  if (!cpu_queue_is_started(q)) return;
  cpu_queue_wait_all(q);
  atomic_store(&q->stop, true);
  pthread_mutex_lock(&q->lock);
  pthread_cond_signal(&q->wake);
  pthread_mutex_unlock(&q->lock);
  pthread_join(q->thread, NULL);
  release(q);
}

xlm_status cpu_queue_start(cpu_queue *q, void (*run)(void *arg, const cpu_item *item), void *arg,
                           uint32_t room, xlm_error *err) {
  q->ring = (cpu_item *)calloc(room, sizeof *q->ring);
  if (!q->ring) return xlm_fail(err, XLM_ENV, "no memory for a queue of %u instructions", room);
  q->run = run, q->arg = arg, q->room = room;
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->wake, NULL);
  pthread_cond_init(&q->ended, NULL);
  int rc = pthread_create(&q->thread, NULL, thread_main, q);
  if (!rc) return XLM_OK;
  release(q);
  return xlm_fail(err, XLM_ENV, "cannot start the thread of a queue: %s", strerror(rc));
}
