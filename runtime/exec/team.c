// A team is a pool whose workers are the ranks. Each runs its executor's step; they meet only in their
// collectives.
#include "runtime/exec/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct member {
  xlm_exec *exec;
  xlm_comm *comm;
  int64_t rank;
  xlm_status status;
  xlm_error err;
  xlm_bad_tensor bad;
  bool failed; // read by other threads
} member;

struct xlm_team {
  const xlm_plan *plan;
  int n, processes;
  void **shared; // by process: destination and length of its part of a share
  size_t *shared_bytes;
  member *members;
  xlm_pool *ranks; // NULL for one rank
  // Of the current step:
  xlm_step_env env;
  xlm_exec_feed *feed;
  void *const *feed_args;
  xlm_program_id program;
};

int xlm_team_size(const xlm_team *t) {
  return t->n;
}
xlm_exec *xlm_team_exec(const xlm_team *t, int i) {
  return t->members[i].exec;
}
int64_t xlm_team_rank(const xlm_team *t, int i) {
  return t->members[i].rank;
}
xlm_comm *xlm_team_comm(const xlm_team *t, int i) {
  return t->members[i].comm;
}
const xlm_plan *xlm_team_plan(const xlm_team *t) {
  return t->plan;
}
int xlm_team_processes(const xlm_team *t) {
  return t->processes;
}
int xlm_team_process(const xlm_team *t) {
  return t->processes > 1 ? (int)t->members[0].rank : 0;
}
xlm_comm *xlm_team_peers(const xlm_team *t) {
  return t->processes > 1 ? t->members[0].comm : NULL;
}

static xlm_exec *exec_of(const xlm_team *t, uint32_t rank) { // NULL: it is in another process
  int64_t i = (int64_t)rank - t->members[0].rank;            // the ranks here are consecutive
  return i >= 0 && i < t->n ? t->members[i].exec : NULL;
}

static bool is_here(void *team, uint32_t rank) {
  return exec_of((const xlm_team *)team, rank) != NULL;
}

static xlm_status put_state(void *team, uint32_t rank, uint32_t state, size_t at, const void *from,
                            size_t bytes, xlm_error *err) {
  return xlm_exec_put_state(exec_of((const xlm_team *)team, rank), state, at, from, bytes, err);
}

static xlm_status get_state(void *team, uint32_t rank, uint32_t state, size_t at, void *to, size_t bytes,
                            xlm_error *err) {
  return xlm_exec_get_state(exec_of((const xlm_team *)team, rank), state, at, to, bytes, err);
}

xlm_states xlm_team_states(xlm_team *t) {
  return (xlm_states){t, is_here, put_state, get_state};
}

static void close_member(void *arg, int i, int n) {
  xlm_team *t = arg;
  (void)n;
  if (t->members[i].comm)
    xlm_comm_at(t->members[i].comm, "closing"); // names of operations go with the executor
  xlm_exec_close(t->members[i].exec);
}

void xlm_team_close(xlm_team *t) {
  if (!t) return;
  if (t->ranks) xlm_pool_run(t->ranks, close_member, t); // at once: they may be connected
  for (int i = 0; i < t->n && t->members && !t->ranks; i++) close_member(t, i, t->n);
  xlm_pool_free(t->ranks);
  for (int i = 0; i < t->n && t->members; i++)
    if (t->members[i].comm) t->members[i].comm->backend->close(t->members[i].comm);
  free(t->shared);
  free(t->shared_bytes);
  free(t->members);
  free(t);
}

static xlm_status open_comms(xlm_team *t, const xlm_plan *plan, xlm_launch launch, double timeout_s,
                             xlm_error *err) {
  if (plan->n_ranks == 1) return XLM_OK;
  if (launch == XLM_LAUNCH_MPI) {
    XLM_TRY(xlm_comm_mpi(&plan->mesh, timeout_s, &t->members[0].comm, err));
    t->members[0].rank = t->members[0].comm->rank;
    return XLM_OK;
  }
  xlm_comm **comms = calloc((size_t)t->n, sizeof *comms);
  if (!comms) return xlm_fail(err, XLM_ENV, "no memory for %d ranks", t->n);
  xlm_status s = xlm_comm_local(&plan->mesh, timeout_s, comms, err);
  for (int i = 0; i < t->n && s == XLM_OK; i++) t->members[i].comm = comms[i], t->members[i].rank = i;
  free(comms);
  return s;
}

static xlm_status open_members(xlm_team *t, const xlm_plan *plan, const xlm_backend *backend, int threads,
                               xlm_error *err) {
  for (int i = 0; i < t->n; i++) {
    member *m = &t->members[i];
    XLM_TRY(xlm_exec_open(plan, (uint32_t)m->rank, backend, threads, m->comm, &m->exec, err));
  }
  return XLM_OK;
}

// Through the comm every rank learns of the one failure that ended the run, as a sentence with the rank in
// it.
static xlm_status first_failure(const xlm_team *t, xlm_error *err) {
  for (int i = 0; i < t->n; i++) {
    const member *m = &t->members[i];
    if (m->status == XLM_OK) continue;
    *err = m->comm && m->comm->err.status != XLM_OK ? m->comm->err : m->err;
    return m->status;
  }
  return XLM_OK;
}

static void end_member(member *m) { // this rank cannot continue: nor can the others
  if (m->comm) m->comm->backend->fail(m->comm, m->err.text);
  __atomic_store_n(&m->failed, true, __ATOMIC_RELEASE);
}

static void connect_member(void *arg, int i, int n) {
  member *m = &((xlm_team *)arg)->members[i];
  (void)n;
  if (m->comm) xlm_comm_at(m->comm, "connecting");
  m->status = xlm_exec_connect(m->exec, &m->err);
  if (m->status != XLM_OK) end_member(m);
}

static xlm_status open_team(xlm_team *t, const xlm_backend *backend, int threads, xlm_launch launch,
                            double timeout_s, xlm_error *err) {
  t->members = calloc((size_t)t->n, sizeof *t->members);
  t->shared = calloc((size_t)t->processes, sizeof *t->shared);
  t->shared_bytes = calloc((size_t)t->processes, sizeof *t->shared_bytes);
  if (!t->members || !t->shared || !t->shared_bytes)
    return xlm_fail(err, XLM_ENV, "no memory for a team of %u ranks", t->plan->n_ranks);
  XLM_TRY(open_comms(t, t->plan, launch, timeout_s, err));
  XLM_TRY(open_members(t, t->plan, backend, threads, err));
  if (t->n > 1) XLM_TRY(xlm_pool_new(t->n, &t->ranks, err));
  xlm_pool_run(t->ranks, connect_member, t);
  return first_failure(t, err);
}

xlm_status xlm_team_open(const xlm_plan *plan, const xlm_backend *backend, int threads, xlm_launch launch,
                         double timeout_s, xlm_team **out, xlm_error *err) {
  *out = NULL;
  xlm_team *t = calloc(1, sizeof *t);
  if (!t) return xlm_fail(err, XLM_ENV, "no memory for a team of %u ranks", plan->n_ranks);
  bool mpi = launch == XLM_LAUNCH_MPI && plan->n_ranks > 1;
  t->plan = plan;
  t->n = mpi ? 1 : (int)plan->n_ranks;
  t->processes = mpi ? (int)plan->n_ranks : 1;
  xlm_status s = open_team(t, backend, threads, launch, timeout_s, err);
  bool connected = mpi && t->members && t->members[0].comm;
  if (s == XLM_OK || connected) {
    *out = t;
    return s;
  }
  xlm_team_close(t);
  return s;
}

// ---- between processes ----

void xlm_team_at(xlm_team *t, const char *what) {
  for (int i = 0; i < t->n; i++)
    if (t->members[i].comm) xlm_comm_at(t->members[i].comm, what);
}

void xlm_team_fail(xlm_team *t, const char *why) {
  xlm_comm *c = t->members[0].comm;
  if (c && c->err.status == XLM_OK) c->backend->fail(c, why);
}

xlm_status xlm_team_share(xlm_team *t, const void *mine, size_t bytes, void *all, xlm_error *err) {
  xlm_comm *c = xlm_team_peers(t);
  if (!c) {
    memcpy(all, mine, bytes);
    return XLM_OK;
  }
  uint64_t sent[XLM_MAX_AXES];
  memcpy(sent, c->bytes_sent, sizeof sent);
  for (int k = 0; k < t->processes; k++) {
    t->shared[k] = (char *)all + (size_t)k * bytes;
    t->shared_bytes[k] = bytes;
  }
  xlm_status s = c->backend->all_gather(c, UINT32_MAX, mine, t->shared, t->shared_bytes);
  memcpy(c->bytes_sent, sent, sizeof sent);
  if (s != XLM_OK) *err = c->err;
  return s;
}

xlm_status xlm_team_hand(xlm_team *t, int from, void *data, size_t bytes, xlm_error *err) {
  xlm_comm *c = xlm_team_peers(t);
  int me = xlm_team_process(t);
  if (!c || from == 0 || (me && me != from)) return XLM_OK;
  uint64_t sent[XLM_MAX_AXES];
  memcpy(sent, c->bytes_sent, sizeof sent);
  xlm_status s = me ? c->backend->send(c, 0, 0, data, bytes) : c->backend->recv(c, from, 0, data, bytes);
  memcpy(c->bytes_sent, sent, sizeof sent);
  if (s != XLM_OK) *err = c->err;
  return s;
}

void xlm_team_places(const xlm_team *t, char *out, size_t room) {
  size_t n = 0;
  *out = 0;
  for (int i = 0; i < t->n && n + 1 < room; i++) {
    const char *where =
        t->members[i].comm ? __atomic_load_n(&t->members[i].comm->where, __ATOMIC_RELAXED) : NULL;
    int more = snprintf(out + n, room - n, "rank %lld: %s\n", (long long)t->members[i].rank,
                        where ? where : "no operation");
    n += more > 0 ? (size_t)more : 0;
  }
}

bool xlm_team_has_failed(const xlm_team *t) {
  for (int i = 0; i < t->n; i++)
    if (__atomic_load_n(&t->members[i].failed, __ATOMIC_ACQUIRE)) return true;
  return false;
}

// ---- steps ----

static const char *what_runs(xlm_program_id p) {
  static const char *const what[XLM_PROGRAMS] = {[XLM_PROGRAM_TRAIN] = "the step",
                                                 [XLM_PROGRAM_EVAL] = "the evaluation",
                                                 [XLM_PROGRAM_PREFILL] = "the prefill",
                                                 [XLM_PROGRAM_DECODE] = "the decoding",
                                                 [XLM_PROGRAM_ENCODE] = "the encoding"};
  return what[p];
}

static void run_member(void *arg, int i, int n) {
  xlm_team *t = arg;
  member *m = &t->members[i];
  (void)n;
  if (m->comm) xlm_comm_at(m->comm, what_runs(t->program));
  void *feed_arg = t->feed_args ? t->feed_args[i] : NULL;
  m->status = t->program == XLM_PROGRAM_TRAIN ? xlm_exec_step(m->exec, t->env, t->feed, feed_arg, &m->err)
                                              : xlm_exec_run(m->exec, t->program, t->env, &m->err);
  if (m->status != XLM_OK) end_member(m);
}

static xlm_status run_all(xlm_team *t, xlm_error *err) {
  xlm_pool_run(t->ranks, run_member, t);
  return first_failure(t, err);
}

xlm_status xlm_team_step(xlm_team *t, xlm_step_env env, xlm_exec_feed *feed, void *const *feed_args,
                         xlm_error *err) {
  t->env = env;
  t->feed = feed;
  t->feed_args = feed_args;
  t->program = XLM_PROGRAM_TRAIN;
  return run_all(t, err);
}

xlm_status xlm_team_run(xlm_team *t, xlm_program_id program, xlm_step_env env, xlm_error *err) {
  t->env = env;
  t->feed_args = NULL;
  t->program = program;
  return run_all(t, err);
}

bool xlm_team_runs_behind(const xlm_team *t) {
  return xlm_exec_runs_behind(t->members[0].exec);
}

static void look_member(void *arg, int i, int n) {
  xlm_team *t = arg;
  (void)n;
  t->members[i].bad = xlm_exec_first_bad(t->members[i].exec, t->env);
}

xlm_bad_tensor xlm_team_first_bad(xlm_team *t, xlm_step_env env) {
  const xlm_bad_tensor *found = NULL;
  t->env = env;
  xlm_pool_run(t->ranks, look_member, t);
  for (int i = 0; i < t->n; i++) {
    const xlm_bad_tensor *bad = &t->members[i].bad;
    bool state = bad->name && !strcmp(bad->op, "state");
    if (bad->name && (!found || (state && strcmp(found->op, "state")))) found = bad;
  }
  return found ? *found : (xlm_bad_tensor){NULL, NULL, NULL, 0};
}

bool xlm_team_output(const xlm_team *t, xlm_program_id program, const char *name, int *i, uint32_t *output) {
  for (*i = 0; *i < t->n; (*i)++) {
    const xlm_rank_plan *r = xlm_exec_rank_plan(t->members[*i].exec);
    for (*output = 0; *output < r->n_outputs; (*output)++)
      if (r->outputs[*output].program == program && !strcmp(r->outputs[*output].name, name)) return true;
  }
  return false;
}
