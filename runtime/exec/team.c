// A team: a pool whose workers are the ranks; each runs its executor's step and they meet only in their collectives.
#include "runtime/exec/team.h"

#include <stdlib.h>
#include <string.h>

typedef struct member {
  xlm_exec *exec;
  xlm_comm *comm;
  int64_t rank;
  xlm_status status;
  xlm_error err;
} member;

struct xlm_team {
  int n;
  member *members;
  xlm_pool *ranks; // NULL for one
  // Of the step in hand:
  xlm_step_env env;
  xlm_exec_feed *feed;
  void *const *feed_args;
  bool eval;
};

int xlm_team_size(const xlm_team *t) { return t->n; }
xlm_exec *xlm_team_exec(const xlm_team *t, int i) { return t->members[i].exec; }
int64_t xlm_team_rank(const xlm_team *t, int i) { return t->members[i].rank; }
xlm_comm *xlm_team_comm(const xlm_team *t, int i) { return t->members[i].comm; }

void xlm_team_close(xlm_team *t) {
  if (!t) return;
  xlm_pool_free(t->ranks);
  for (int i = 0; i < t->n; i++) {
    xlm_exec_close(t->members[i].exec);
    if (t->members[i].comm) t->members[i].comm->backend->close(t->members[i].comm);
  }
  free(t->members);
  free(t);
}

static xlm_status open_comms(xlm_team *t, const xlm_plan *plan, xlm_launch launch, double timeout_s, xlm_error *err) {
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

static xlm_status open_members(xlm_team *t, const xlm_plan *plan, const xlm_backend *backend, int threads, xlm_error *err) {
  for (int i = 0; i < t->n; i++) {
    member *m = &t->members[i];
    XLM_TRY(xlm_exec_open(plan, (uint32_t)m->rank, backend, threads, m->comm, &m->exec, err));
  }
  return XLM_OK;
}

xlm_status xlm_team_open(const xlm_plan *plan, const xlm_backend *backend, int threads, xlm_launch launch, double timeout_s,
                         xlm_team **out, xlm_error *err) {
  *out = NULL;
  xlm_team *t = calloc(1, sizeof *t);
  if (t) t->n = launch == XLM_LAUNCH_MPI ? 1 : (int)plan->n_ranks;
  if (t) t->members = calloc((size_t)t->n, sizeof *t->members);
  if (!t || !t->members) {
    free(t);
    return xlm_fail(err, XLM_ENV, "no memory for a team of %u ranks", plan->n_ranks);
  }
  xlm_status s = open_comms(t, plan, launch, timeout_s, err);
  if (s == XLM_OK) s = open_members(t, plan, backend, threads, err);
  if (s == XLM_OK && t->n > 1) s = xlm_pool_new(t->n, &t->ranks, err);
  if (s != XLM_OK) xlm_team_close(t);
  else *out = t;
  return s;
}

static void run_member(void *arg, int i, int n) {
  xlm_team *t = arg;
  member *m = &t->members[i];
  (void)n;
  void *feed_arg = t->feed_args ? t->feed_args[i] : NULL;
  m->status = t->eval ? xlm_exec_eval(m->exec, t->env, &m->err) : xlm_exec_step(m->exec, t->env, t->feed, feed_arg, &m->err);
  if (m->status != XLM_OK && m->comm) m->comm->backend->fail(m->comm, m->err.text);
}

// A rank that failed by itself explains more than those that saw a peer fail: comm errors come last.
static xlm_status first_failure(const xlm_team *t, xlm_error *err) {
  const member *worst = NULL;
  for (int i = 0; i < t->n; i++) {
    const member *m = &t->members[i];
    bool secondary = m->comm && m->comm->err.status != XLM_OK;
    if (m->status != XLM_OK && (!worst || !secondary)) worst = m;
    if (m->status != XLM_OK && !secondary) break;
  }
  if (!worst) return XLM_OK;
  *err = worst->err;
  return worst->status;
}

static xlm_status run_all(xlm_team *t, xlm_error *err) {
  xlm_pool_run(t->ranks, run_member, t);
  return first_failure(t, err);
}

xlm_status xlm_team_step(xlm_team *t, xlm_step_env env, xlm_exec_feed *feed, void *const *feed_args, xlm_error *err) {
  t->env = env;
  t->feed = feed;
  t->feed_args = feed_args;
  t->eval = false;
  return run_all(t, err);
}

xlm_status xlm_team_eval(xlm_team *t, xlm_step_env env, xlm_error *err) {
  t->env = env;
  t->feed_args = NULL;
  t->eval = true;
  return run_all(t, err);
}

bool xlm_team_output(const xlm_team *t, const char *name, int *i, uint32_t *output) {
  for (*i = 0; *i < t->n; (*i)++) {
    const xlm_rank_plan *r = xlm_exec_rank_plan(t->members[*i].exec);
    for (*output = 0; *output < r->n_outputs; (*output)++)
      if (!strcmp(r->outputs[*output].name, name)) return true;
  }
  return false;
}
