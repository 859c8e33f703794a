// What signals do to a run; see signals.h.
#include "tools/xlmrun/signals.h"

#include <unistd.h>

#include "tools/xlmrun/watchdog.h"

static volatile sig_atomic_t stop;
static bool launched,
    silent; // under mpirun, which repeats signals and ends processes that do not end; another process reports

static const char **volatile standing; // where the first rank is, if there are several processes

// The text may change concurrently but is always NUL-terminated. After a hangup nothing is printed.
static void say(const char *text) {
  size_t n = 0;
  while (n < 256 && text[n]) n++;
  while (n > 0) {
    ssize_t done = write(STDERR_FILENO, text, n);
    if (done <= 0) return;
    text += done, n -= (size_t)done;
  }
}

// If one of several processes has died, the launcher leaves no time for later messages, so the position is
// printed at once.
static void on_signal(int number) {
  static volatile sig_atomic_t asked; // by a signal other than a hangup
  (void)number;
  if (asked && !launched) _exit(130);
  bool again = asked;
  asked = stop = 1;
  if (again || silent) return;
  const char *where = standing ? __atomic_load_n(standing, __ATOMIC_RELAXED) : NULL;
  say(launched ? "\nstopping after this step" : "\nstopping after this step; once more to stop at once");
  if (launched && where) say("; rank 0 is at "), say(where);
  say("\n");
}

// The terminal has gone, and with it the output; the run ends as after other signals. A shell that exits may
// send it several times.
static void on_hangup(int number) {
  (void)number;
  stop = 1;
}

volatile sig_atomic_t *signals_catch(const session *s) {
  struct sigaction a = {.sa_handler = on_signal}, hangup = {.sa_handler = on_hangup}, before;
  launched = s->mpi, silent = s->silent;
  if (launched && xlm_team_comm(s->team, 0)) standing = &xlm_team_comm(s->team, 0)->where;
  watchdog_heeds(s->watchdog, &stop);
  if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) // nohup: continue
    sigaction(SIGHUP, &hangup, NULL);
  signal(SIGPIPE, SIG_IGN); // the reader of the progress may exit
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  sigaction(SIGUSR1, &a, NULL); // sent by mpirun, and by a scheduler before the time limit
  return &stop;
}

void signals_leave(void) {
  standing = NULL;
}
