// The watchdog of a NCCL link: every wait of the host asks the card instead and looks around; see
// nccl_priv.h.
#include "runtime/device/cuda/nccl_priv.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"

enum { SPINS = 200, NAP_NS = 20 * 1000 };

// ---- failures ----

// NCCL waits for all graphs that hold operations of a communicator, so they go first; and not within a
// capture.
void cuda_nccl_abort(cuda *c) {
  cuda_nccl *n = c->nccl;
  n->dead = true;
  if (c->capturing) return;
  cuda_drop_graphs(c);
  for (uint32_t i = 0; i < n->n; i++)
    if (n->at[i].comm) (void)n->calls->abandon(n->at[i].comm);
  for (int i = 0; i < 1 << XLM_MAX_AXES; i++)
    if (n->groups[i] && n->groups[i] != n->world) (void)n->calls->abandon(n->groups[i]);
  if (n->world) (void)n->calls->abandon(n->world);
  for (uint32_t i = 0; i < n->n; i++) n->at[i].comm = NULL;
  memset(n->groups, 0, sizeof n->groups);
  n->world = NULL;
}

// The run has failed, here or elsewhere: the control plane has the sentence, the same on every rank.
static xlm_status end(cuda *c, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  if (!n->dead) {
    n->why = n->comm->err;
    cuda_nccl_abort(c);
  }
  if (err) *err = n->why;
  return XLM_ENV;
}

static const char *where_of(const cuda *c, uint32_t under_way) {
  return under_way && under_way <= c->n_marks ? c->where[under_way - 1] : NULL;
}

// This rank finds that the run cannot go on: in the instruction that communicates, if one does.
static xlm_status fail_run(cuda *c, const char *why, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  for (int q = XLM_STREAMS - 1; q >= 0; q--)
    if (where_of(c, n->under_way[q])) {
      xlm_comm_at(n->comm, where_of(c, n->under_way[q]));
      break;
    }
  n->comm->backend->fail(n->comm, why);
  return end(c, err);
}

static xlm_status fail_result(cuda *c, int result, nccl_comm comm, const char *what, xlm_error *err) {
  const xlm_nccl *calls = c->nccl->calls;
  const char *more = comm ? calls->last_error(comm) : NULL;
  xlm_error why = {0};
  (void)xlm_fail(&why, XLM_ENV, "NCCL: %s: %s (%d)%s%.500s", what, calls->text(result), result,
                 more && *more ? ": " : "", more ? more : "");
  return fail_run(c, why.text, err);
}

xlm_status cuda_nccl_check(cuda *c, int result, nccl_comm comm, const char *what, xlm_error *err) {
  if (c->nccl->dead) return end(c, err);
  if (result == NCCL_OK || result == NCCL_IN_PROGRESS) return XLM_OK;
  return fail_result(c, result, comm, what, err);
}

// ---- looking around ----

static xlm_status look_at(cuda *c, nccl_comm comm, xlm_error *err) {
  int result = NCCL_OK, rc = comm ? c->nccl->calls->async_error(comm, &result) : NCCL_OK;
  return cuda_nccl_check(c, rc ? rc : result, comm, "communicating between GPUs", err);
}

static xlm_status look_at_all(cuda *c, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  XLM_TRY(look_at(c, n->world, err));
  for (uint32_t i = 0; i < n->routes->n_axes; i++) XLM_TRY(look_at(c, n->groups[n->routes->axes[i]], err));
  for (uint32_t i = 0; i < n->n; i++) XLM_TRY(look_at(c, n->at[i].comm, err));
  return XLM_OK;
}

static xlm_status late(cuda *c, double waited, xlm_error *err) {
  xlm_error why = {0};
  (void)xlm_fail(&why, XLM_ENV, "it waited %.1f s for another rank's GPU (--comm-timeout)", waited);
  return fail_run(c, why.text, err);
}

static xlm_status check_time(cuda *c, nccl_watch *w, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  double now = xlm_clock_seconds(), most = n->comm->timeout_s;
  for (int q = 0; q < XLM_STREAMS && most > 0; q++) {
    uint32_t seen = n->under_way[q];
    if (!seen || seen != w->seen[q] || w->since[q] == 0) w->seen[q] = seen, w->since[q] = now;
    if (now - w->since[q] > most) return late(c, now - w->since[q], err);
  }
  return XLM_OK;
}

// Where the control plane has one user at a time, another thread than the driver only sees what that finds.
static xlm_status look(cuda *c, nccl_watch *w, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  if (n->dead) return end(c, err);
  if (!n->comm->any_thread && !pthread_equal(pthread_self(), n->driver)) return XLM_OK;
  if (n->comm->backend->check(n->comm) != XLM_OK) return end(c, err);
  XLM_TRY(look_at_all(c, err));
  return check_time(c, w, err);
}

static void rest(int polls) {
  struct timespec t = {.tv_nsec = NAP_NS};
  if (polls < SPINS)
    sched_yield();
  else
    nanosleep(&t, NULL);
}

xlm_status cuda_nccl_settle(cuda *c, nccl_comm comm, const char *what, xlm_error *err) {
  cuda_nccl *n = c->nccl;
  double start = xlm_clock_seconds(), most = n->comm->timeout_s;
  for (int polls = 0;; polls++) {
    int result = NCCL_OK, rc = n->dead ? NCCL_OK : n->calls->async_error(comm, &result);
    XLM_TRY(cuda_nccl_check(c, rc ? rc : result, comm, what, err));
    if (result != NCCL_IN_PROGRESS) return XLM_OK;
    if (n->comm->backend->check(n->comm) != XLM_OK) return end(c, err);
    if (most > 0 && xlm_clock_seconds() - start > most) return late(c, xlm_clock_seconds() - start, err);
    rest(polls);
  }
}

// ---- the host waits ----

xlm_status cuda_finish(cuda *c, xlm_queue queue, const char *what, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  xlm_cuda_queue q = c->open.queue[queue];
  nccl_watch w = {0};
  if (!c->nccl) return xlm_cuda_check(r, r->finish(q), what, err);
  for (int polls = 0;; polls++) {
    int rc = r->idle(q);
    if (rc != XLM_CUDA_NOT_READY) return c->nccl->dead ? end(c, err) : xlm_cuda_check(r, rc, what, err);
    XLM_TRY(look(c, &w, err));
    rest(polls);
  }
}

xlm_status cuda_reach(cuda *c, xlm_cuda_event e, const char *what, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  nccl_watch w = {0};
  if (!c->nccl) return xlm_cuda_check(r, r->reach(e), what, err);
  for (int polls = 0;; polls++) {
    int rc = r->passed(e);
    if (rc != XLM_CUDA_NOT_READY) return c->nccl->dead ? end(c, err) : xlm_cuda_check(r, rc, what, err);
    XLM_TRY(look(c, &w, err));
    rest(polls);
  }
}
