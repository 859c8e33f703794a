// See mpi_priv.h: polling, alarms, failures.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/comm/mpi_priv.h"
#include "runtime/base/clock.h"

enum { ALARM = 1, LOOK_EVERY = 32, YIELD_AFTER = 200, NAP_AFTER = 2000 };
static const double alarm_seconds = 2; // maximum time for notifying the others
static const double election_seconds =
    0.3; // time in which a lower rank that failed simultaneously may notify us; then that one reports

// ---- failures

static void tell_all(mpi_comm *c) { // small messages are sent eagerly; mpirun ends any rank that cannot be
                                    // notified
  snprintf(c->alarm, sizeof c->alarm, "%.1000s", c->base.err.text);
  MPI_Request *r = calloc((size_t)c->base.n_ranks, sizeof *r);
  int n = 0, done = 0;
  for (int64_t k = 0; r && k < c->base.n_ranks; k++)
    if (k != c->base.rank && !xlm_mpi_is_dead(c, k) &&
        MPI_Isend(c->alarm, MPI_ALARM, MPI_BYTE, (int)k, ALARM, c->alarms, &r[n]) == MPI_SUCCESS)
      n++;
  double end =
      xlm_clock_seconds() + (c->died > 0 ? 0.5 : alarm_seconds); // the launcher is about to end the job
  while (r && !done && xlm_clock_seconds() < end) {
    if (MPI_Testall(n, r, &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) break;
    sched_yield();
  }
  free(r);
}

// Receives an alarm, if there is one, into `text`; returns the rank that sent it, or -1.
static int take_alarm(mpi_comm *c, char text[MPI_ALARM]) {
  int there = 0;
  MPI_Status from;
  if (MPI_Iprobe(MPI_ANY_SOURCE, ALARM, c->alarms, &there, &from) != MPI_SUCCESS || !there) return -1;
  if (MPI_Recv(text, MPI_ALARM, MPI_BYTE, from.MPI_SOURCE, ALARM, c->alarms, MPI_STATUS_IGNORE) !=
      MPI_SUCCESS)
    return -1;
  text[MPI_ALARM - 1] = 0;
  return from.MPI_SOURCE;
}

static void elect(mpi_comm *c) {
  char text[MPI_ALARM];
  int64_t lowest = c->base.rank;
  for (double end = xlm_clock_seconds() + election_seconds; xlm_clock_seconds() < end; sched_yield()) {
    int from = take_alarm(c, text);
    if (from < 0 || from > lowest) continue;
    lowest = from;
    (void)xlm_fail(&c->base.err, XLM_ENV, "%s", text);
  }
  c->base.reports = lowest == c->base.rank;
}

xlm_status xlm_mpi_fail(mpi_comm *c, const char *fmt, ...) {
  if (c->base.err.status) return XLM_ENV;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(c->base.err.text, sizeof c->base.err.text, fmt, ap);
  va_end(ap);
  c->base.err.status = XLM_ENV;
  tell_all(c);
  elect(c);
  return XLM_ENV;
}

xlm_status xlm_mpi_call(mpi_comm *c, int rc, const char *what) {
  if (rc == MPI_SUCCESS) return XLM_OK;
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int n = 0;
  MPI_Error_string(rc, text, &n);
  return xlm_mpi_fail(c, "rank %lld: %s fails in %s: %s", (long long)c->base.rank, what,
                      xlm_comm_where(&c->base), text);
}

xlm_status xlm_mpi_check(mpi_comm *c) {
  if (c->base.err.status) return XLM_ENV;
  char text[MPI_ALARM];
  if (take_alarm(c, text) >= 0) return xlm_fail(&c->base.err, XLM_ENV, "%s", text);
  int64_t dead = xlm_mpi_first_dead(c);
  return dead < 0 ? XLM_OK
                  : xlm_mpi_fail(c, "rank %lld has died while rank %lld was in %s", (long long)dead,
                                 (long long)c->base.rank, xlm_comm_where(&c->base));
}

// ---- progress

static void rest(int polls) {
  struct timespec t = {.tv_nsec = 50 * 1000};
  if (polls > NAP_AFTER)
    nanosleep(&t, NULL);
  else if (polls > YIELD_AFTER)
    sched_yield();
}

static bool is_late(const mpi_comm *c, int i) { // Testall completes nothing before all have arrived
  int done = 1;
  if (c->requests[i] != MPI_REQUEST_NULL) MPI_Request_get_status(c->requests[i], &done, MPI_STATUS_IGNORE);
  return !done;
}

static int64_t waited_for(const mpi_comm *c) { // a rank with an outstanding message to this one
  for (int i = 0; i < c->n; i++)
    if (c->pending[i].receives && is_late(c, i)) return c->pending[i].peer;
  for (int i = 0; i < c->n; i++)
    if (is_late(c, i)) return c->pending[i].peer;
  return c->base.rank;
}

// Testall reports that something failed, and the statuses what; pieces that are shorter than expected are
// also found here.
static xlm_status check_statuses(mpi_comm *c, int rc) {
  for (int i = 0; i < c->n; i++) {
    int got = c->pending[i].bytes, code = rc == MPI_ERR_IN_STATUS ? c->statuses[i].MPI_ERROR : rc,
        class = code;
    if (code == MPI_ERR_PENDING) continue;
    if (code != MPI_SUCCESS) MPI_Error_class(code, &class);
    if (rc == MPI_SUCCESS && c->pending[i].receives) MPI_Get_count(&c->statuses[i], MPI_BYTE, &got);
    if (class == MPI_ERR_TRUNCATE || got != c->pending[i].bytes)
      return xlm_mpi_fail(c, "rank %lld sends %s bytes than the %d that rank %lld expects in %s",
                          (long long)c->pending[i].peer, class == MPI_ERR_TRUNCATE ? "more" : "fewer",
                          c->pending[i].bytes, (long long)c->base.rank, xlm_comm_where(&c->base));
    if (code != MPI_SUCCESS) return xlm_mpi_call(c, code, "an exchange");
  }
  return XLM_OK;
}

// Pending receives must not write into memory that is returned to the caller, so they are cancelled. Those
// that MPI has already matched complete on their own, or the process ends (xlm_comm_mpi_end).
static void abandon(mpi_comm *c) {
  for (int i = 0; i < c->n; i++)
    if (c->requests[i] != MPI_REQUEST_NULL && c->pending[i].receives) MPI_Cancel(&c->requests[i]);
  double end = xlm_clock_seconds() + (c->died > 0 ? 0.2 : alarm_seconds); // processes that died send nothing
                                                                          // more
  for (int done = 0, i = 0; !done && xlm_clock_seconds() < end; rest(++i)) {
    done = 1;
    for (int k = 0; k < c->n; k++) {
      int one = 1;
      if (c->requests[k] != MPI_REQUEST_NULL && c->pending[k].receives)
        MPI_Test(&c->requests[k], &one, MPI_STATUS_IGNORE);
      done &= one;
    }
  }
  c->n = 0;
}

static xlm_status look_around(mpi_comm *c, double start) {
  XLM_TRY(xlm_mpi_check(c));
  double waited = xlm_clock_seconds() - start;
  if (c->base.timeout_s <= 0 || waited < c->base.timeout_s) return XLM_OK;
  return xlm_mpi_fail(c, "rank %lld waited %.1f s in %s for rank %lld", (long long)c->base.rank, waited,
                      xlm_comm_where(&c->base), (long long)waited_for(c));
}

xlm_status xlm_mpi_finish(mpi_comm *c) {
  double start = xlm_clock_seconds();
  xlm_status s = XLM_OK;
  int done = 0;
  for (int polls = 1; s == XLM_OK && !done; polls++) {
    int rc = MPI_Testall(c->n, c->requests, &done, c->statuses);
    if (rc != MPI_SUCCESS || done)
      s = check_statuses(c, rc);
    else if (polls % LOOK_EVERY == 0)
      s = look_around(c, start);
    if (!done) rest(polls);
  }
  if (s != XLM_OK) abandon(c);
  c->n = 0;
  return s;
}

bool xlm_mpi_wait_one(mpi_comm *c, MPI_Request *r, double seconds) {
  double end = xlm_clock_seconds() + seconds;
  int done = 0;
  for (int polls = 1;; polls++) {
    if (MPI_Test(r, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (done) return true;
    if (polls % LOOK_EVERY == 0 && !c->closing && xlm_mpi_check(c) != XLM_OK) return false;
    if (seconds > 0 && xlm_clock_seconds() > end) return false;
    rest(polls);
  }
}

// ---- posting

static xlm_status make_room(mpi_comm *c) {
  if (c->n < c->room) return XLM_OK;
  size_t room = c->room ? 2 * (size_t)c->room : 64;
  MPI_Request *requests = realloc(c->requests, room * sizeof *requests);
  if (requests) c->requests = requests;
  MPI_Status *statuses = realloc(c->statuses, room * sizeof *statuses);
  if (statuses) c->statuses = statuses;
  pending *p = realloc(c->pending, room * sizeof *p);
  if (p) c->pending = p;
  if (!requests || !statuses || !p)
    return xlm_mpi_fail(c, "rank %lld has no memory left", (long long)c->base.rank);
  c->room = (int)room;
  return XLM_OK;
}

static xlm_status post(mpi_comm *c, MPI_Comm comm, int64_t peer, int tag, void *data, size_t bytes,
                       bool receives) {
  for (size_t at = 0; at < bytes; at += MPI_PIECE) {
    int n = bytes - at < MPI_PIECE ? (int)(bytes - at) : MPI_PIECE, rc;
    XLM_TRY(make_room(c));
    MPI_Request *r = &c->requests[c->n];
    if (receives)
      rc = MPI_Irecv((char *)data + at, n, MPI_BYTE, (int)peer, tag, comm, r);
    else
      rc = MPI_Isend((char *)data + at, n, MPI_BYTE, (int)peer, tag, comm, r);
    XLM_TRY(xlm_mpi_call(c, rc, receives ? "a receive" : "a send"));
    c->pending[c->n++] = (pending){peer, n, receives};
  }
  return XLM_OK;
}

xlm_status xlm_mpi_post_send(mpi_comm *c, MPI_Comm comm, int64_t peer, int tag, const void *data,
                             size_t bytes) {
  return post(c, comm, peer, tag, (void *)(uintptr_t)data, bytes, false);
}

xlm_status xlm_mpi_post_recv(mpi_comm *c, MPI_Comm comm, int64_t peer, int tag, void *data, size_t bytes) {
  return post(c, comm, peer, tag, data, bytes, true);
}
