// See watchdog.h.
#include "tools/xlmrun/watchdog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tools/xlmrun/session.h"

struct watchdog {
  xlm_team *team;
  double patience;
  const volatile sig_atomic_t *told;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool stop;
};

enum { NAP_MS = 250 };
static const double slow_s = 0.5; // a step that takes longer after a signal is reported

// Sleeps; false when it is to stop.
static bool nap(watchdog *w) {
  int64_t end = xlm_clock_ns() + NAP_MS * 1000000;
  struct timespec t = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
  pthread_mutex_lock(&w->lock);
  if (!w->stop) pthread_cond_timedwait(&w->wake, &w->lock, &t);
  bool stop = w->stop;
  pthread_mutex_unlock(&w->lock);
  return !stop;
}

// For processes: prints one line when the run was asked to stop and does not.
static void watch_stop(const watchdog *w, double *waited) {
  const volatile sig_atomic_t *told = __atomic_load_n(&w->told, __ATOMIC_ACQUIRE);
  if (!told || !*told || *waited >= slow_s) return;
  *waited += NAP_MS / 1000.0;
  if (*waited < slow_s) return;
  char text[512];
  xlm_team_places(w->team, text, sizeof text);
  fprintf(stderr, "this step goes on: %s", text);
}

static void *watch(void *arg) {
  watchdog *w = arg;
  double failed = 0, waited = 0;
  while (nap(w)) {
    if (xlm_team_processes(w->team) > 1) {
      watch_stop(w, &waited);
      continue;
    }
    failed = xlm_team_has_failed(w->team) ? failed + NAP_MS / 1000.0 : 0;
    if (failed < w->patience) continue;
    char text[4096];
    xlm_team_places(w->team, text, sizeof text);
    fprintf(stderr, "%sxlmrun: the run has failed and not every rank has returned within %.0f s\n", text,
            w->patience);
    _exit(EXIT_ENVIRONMENT);
  }
  return NULL;
}

watchdog *watchdog_start(xlm_team *team, double patience_s) {
  bool speaks = xlm_team_process(team) == 0;
  if (!speaks || xlm_team_plan(team)->n_ranks < 2) return NULL;
  watchdog *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->team = team, w->patience = patience_s;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC); // the clock of xlm_clock_ns
  pthread_cond_init(&w->wake, &clock);
  pthread_condattr_destroy(&clock);
  if (!pthread_create(&w->thread, NULL, watch, w)) return w;
  free(w);
  return NULL;
}

void watchdog_heeds(watchdog *w, const volatile sig_atomic_t *told) {
  if (w) __atomic_store_n(&w->told, told, __ATOMIC_RELEASE);
}

void watchdog_stop(watchdog *w) {
  if (!w) return;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->lock);
  free(w);
}
