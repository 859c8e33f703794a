// Waiting between threads: polls a few times, then sleeps in the kernel (futex), for at most a tenth of a
// second at a time. A missed wake-up thus costs a tenth of a second, and a waiting rank does not occupy a
// processor, so sixteen ranks on two cores work.
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/comm/local_priv.h"
#include "runtime/base/clock.h"

enum { NAP_NS = 100 * 1000 * 1000 };

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void nap(word *w, unsigned seen) {
  struct timespec most = {.tv_nsec = NAP_NS};
  atomic_fetch_add(&w->sleepers, 1);
  syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, seen, &most, NULL,
          0); // returns at once when the value differs
  atomic_fetch_sub(&w->sleepers, 1);
}

void xlm_local_wake(word *w) {
  syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void xlm_local_set(word *w, unsigned value) {
  atomic_store(&w->value, value);
  if (atomic_load(&w->sleepers)) xlm_local_wake(w);
}

static void wake_all(world *w) {
  for (int mask = 0; mask < 1 << XLM_MAX_AXES; mask++)
    for (int64_t i = 0; w->groups[mask] && i < w->n / w->groups[mask][0].n; i++)
      xlm_local_wake(&w->groups[mask][i].generation);
  for (int64_t i = 0; i < w->n; i++) xlm_local_wake(&w->inboxes[i].arrivals);
}

xlm_status xlm_local_check(local *c) {
  if (!atomic_load(&c->world->failed)) return XLM_OK;
  if (c->base.err.status) return XLM_ENV;
  return xlm_fail(&c->base.err, XLM_ENV, "%.2000s", c->world->error); // written before `failed` was set
}

xlm_status xlm_local_fail(local *c, const char *fmt, ...) {
  world *w = c->world;
  pthread_mutex_lock(&w->lock);
  bool first = !atomic_load(&w->failed);
  if (first) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->error, sizeof w->error, fmt, ap);
    va_end(ap);
    c->base.reports = true;
    atomic_store(&w->failed, true);
  }
  pthread_mutex_unlock(&w->lock);
  if (first) wake_all(w);
  return xlm_local_check(c);
}

// A rank that has not arrived; -1: none.
static int64_t missing(const group *g, int64_t me, int64_t peer) {
  if (!g) return peer;
  unsigned mine = atomic_load(&g->entries[me].entered);
  for (int64_t i = 0; i < g->n; i++)
    if ((int)(atomic_load(&g->entries[i].entered) - mine) < 0) return g->entries[i].rank;
  return -1;
}

static xlm_status look_around(local *c, word *w, unsigned seen, const group *g, int64_t me, int64_t peer,
                              double start) {
  XLM_TRY(xlm_local_check(c));
  int64_t who = missing(g, me, peer);
  if (who < 0) return XLM_OK;
  local *other = &c->world->ranks[who];
  bool closed = atomic_load(&other->closed); // everything a rank did before it closed is visible now
  if (closed && missing(g, me, peer) == who && atomic_load(&w->value) == seen)
    return xlm_local_fail(c, "rank %lld ended while rank %lld waited for it in %s", (long long)who,
                          (long long)c->base.rank, xlm_comm_where(&c->base));
  double waited = xlm_clock_seconds() - start;
  if (c->base.timeout_s <= 0 || waited < c->base.timeout_s) return XLM_OK;
  return xlm_local_fail(c, "rank %lld waited %.1f s in %s for rank %lld, which is at %s",
                        (long long)c->base.rank, waited, xlm_comm_where(&c->base), (long long)who,
                        xlm_comm_where(&other->base));
}

xlm_status xlm_local_wait(local *c, word *w, unsigned seen, const group *g, int64_t me, int64_t peer) {
  for (int i = 0; i < c->world->spin; i++) {
    if (atomic_load_explicit(&w->value, memory_order_acquire) != seen) return XLM_OK;
    relax();
  }
  double start = xlm_clock_seconds();
  while (atomic_load(&w->value) == seen) {
    XLM_TRY(look_around(c, w, seen, g, me, peer, start));
    nap(w, seen);
  }
  return XLM_OK;
}
