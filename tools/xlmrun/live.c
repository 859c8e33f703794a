// See live.h. A lock guards the line, since a thread counts the seconds of a phase.
#include "tools/xlmrun/live.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/train/progress.h"

enum { TICK_MS = 500, LINE = 512 };
static const double first_word_s = 10, later_words = 6; // without a terminal: after 10 s, 60 s, 6 min, ..

static struct live {
  bool open, on, ticks, stop;
  int shown;             // columns of the line on the screen
  double drawn;          // when
  const char *phase;     // NULL: none
  double began, told_at; // of the phase; told_at: seconds at which a plain line is due
  char text[LINE];       // of the line when no phase is shown
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
} live = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool can_rewrite(void) {
  const char *term = getenv("TERM");
  return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static int columns_of(int fd) {
  struct winsize w;
  return !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

int live_width(void) {
  return isatty(STDOUT_FILENO) ? columns_of(STDOUT_FILENO) : 200;
}

bool live_is_shown(void) {
  return live.on;
}

// ---- the line; with the lock held ----

static void clear(void) {
  if (live.shown) fprintf(stderr, "\r%*s\r", live.shown, "");
  live.shown = 0;
}

static void draw(void) {
  char line[LINE + 64], time[32];
  double seconds = xlm_clock_seconds() - live.began;
  xlm_progress_time(seconds, time, sizeof time);
  if (!live.phase)
    snprintf(line, sizeof line, "%s", live.text);
  else if (seconds < 1)
    snprintf(line, sizeof line, "%s ..", live.phase);
  else
    snprintf(line, sizeof line, "%s .. %s", live.phase, time);
  int most = columns_of(STDERR_FILENO), n = (int)strlen(line);
  if (n > most) line[n = most] = 0;
  if (!n) return;
  fprintf(stderr, "\r%s%*s", line, live.shown > n ? live.shown - n : 0, "");
  live.shown = n;
  live.drawn = xlm_clock_seconds();
}

// Without a terminal, a line when a phase has taken long; more seldom the longer it takes.
static void say(void) {
  char time[32];
  double seconds = xlm_clock_seconds() - live.began;
  if (seconds < live.told_at) return;
  live.told_at *= later_words;
  xlm_progress_time(seconds, time, sizeof time);
  printf("%s .. %s\n", live.phase, time);
  fflush(stdout);
}

// ---- the thread ----

static void nap(void) {
  int64_t end = xlm_clock_ns() + TICK_MS * 1000000;
  struct timespec t = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
  pthread_cond_timedwait(&live.wake, &live.lock, &t);
}

static void *tick(void *arg) {
  (void)arg;
  pthread_mutex_lock(&live.lock);
  for (nap(); !live.stop; nap()) {
    if (!live.phase) continue;
    if (live.on)
      draw();
    else
      say();
  }
  pthread_mutex_unlock(&live.lock);
  return NULL;
}

void live_open(bool silent) {
  if (live.open) return;
  live.open = !silent, live.on = !silent && can_rewrite(), live.stop = false;
  if (silent) return;
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC); // the clock of xlm_clock_ns
  pthread_cond_init(&live.wake, &clock);
  pthread_condattr_destroy(&clock);
  live.ticks = !pthread_create(&live.thread, NULL, tick, NULL);
}

void live_close(void) {
  if (!live.open) return;
  pthread_mutex_lock(&live.lock);
  clear();
  live.phase = NULL, live.stop = true;
  pthread_cond_signal(&live.wake);
  pthread_mutex_unlock(&live.lock);
  if (live.ticks) pthread_join(live.thread, NULL);
  pthread_cond_destroy(&live.wake);
  live.open = live.on = live.ticks = false, live.text[0] = 0;
}

// ---- what is shown ----

void live_phase(const char *what) {
  if (!live.open) return;
  pthread_mutex_lock(&live.lock);
  live.phase = what;
  live.began = xlm_clock_seconds(), live.told_at = first_word_s;
  if (live.on) draw();
  pthread_mutex_unlock(&live.lock);
}

void live_line(const char *text) {
  if (!live.open) return;
  pthread_mutex_lock(&live.lock);
  bool due = live.phase || xlm_clock_seconds() - live.drawn >= 0.1;
  live.phase = NULL;
  snprintf(live.text, sizeof live.text, "%s", text);
  if (live.on && due) draw();
  pthread_mutex_unlock(&live.lock);
}

void live_print(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  pthread_mutex_lock(&live.lock);
  clear();
  vprintf(fmt, args);
  printf("\n");
  fflush(stdout);
  live.phase = NULL, live.text[0] = 0;
  pthread_mutex_unlock(&live.lock);
  va_end(args);
}

void live_clear(void) {
  pthread_mutex_lock(&live.lock);
  clear();
  pthread_mutex_unlock(&live.lock);
}
