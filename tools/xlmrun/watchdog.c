// See watchdog.h.
#include "tools/xlmrun/watchdog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/xlmrun/session.h"

struct watchdog {
  xlm_team *team;
  double patience;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool stop;
};

enum { NAP_MS = 250 };

// Sleeps, unless it is to stop.
static bool nap(watchdog *w) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += NAP_MS * 1000000L;
  if (t.tv_nsec >= 1000000000L) t.tv_nsec -= 1000000000L, t.tv_sec++;
  pthread_mutex_lock(&w->lock);
  if (!w->stop) pthread_cond_timedwait(&w->wake, &w->lock, &t);
  bool stop = w->stop;
  pthread_mutex_unlock(&w->lock);
  return !stop;
}

static void *watch(void *arg) {
  watchdog *w = arg;
  double failed = 0;
  while (nap(w)) {
    failed = xlm_team_has_failed(w->team) ? failed + NAP_MS / 1000.0 : 0;
    if (failed < w->patience) continue;
    char text[4096];
    xlm_team_places(w->team, text, sizeof text);
    fprintf(stderr, "%sxlmrun: the run has failed and not every rank has come back in %.0f s\n", text,
            w->patience);
    _exit(EXIT_ENVIRONMENT);
  }
  return NULL;
}

watchdog *watchdog_start(xlm_team *team, double patience_s) {
  if (xlm_team_size(team) < 2) return NULL;
  watchdog *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->team = team, w->patience = patience_s;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->wake, NULL);
  if (!pthread_create(&w->thread, NULL, watch, w)) return w;
  free(w);
  return NULL;
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
