// A team: the ranks of a run that live in this process, one executor and one thread each, which step
// together.
//
// With `local` communication these are all ranks of the plan; under MPI it is this process's one rank. A team
// of one rank needs no communication. The caller's thread runs the team's first rank.
#ifndef XLM_EXEC_TEAM_H
#define XLM_EXEC_TEAM_H

#include "runtime/comm/comm.h"
#include "runtime/exec/exec.h"

XLM_C_BEGIN

typedef struct xlm_team xlm_team;

typedef enum xlm_launch { XLM_LAUNCH_LOCAL, XLM_LAUNCH_MPI } xlm_launch;

// threads: workers per rank. timeout_s: see comm.h. On failure *out is NULL, or a team that supports only
// xlm_team_fail and xlm_team_close: other processes are already waiting for this one.
xlm_status xlm_team_open(const xlm_plan *plan, const xlm_backend *backend, int threads, xlm_launch launch,
                         double timeout_s, xlm_team **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_team_close(xlm_team *t);

int xlm_team_size(const xlm_team *t);              // ranks here
xlm_exec *xlm_team_exec(const xlm_team *t, int i); // 0 .. size - 1
int64_t xlm_team_rank(const xlm_team *t, int i);   // its global rank
xlm_comm *xlm_team_comm(const xlm_team *t, int i); // NULL when the plan has one rank
const xlm_plan *xlm_team_plan(const xlm_team *t);

// The states of the ranks of this process, by global rank (see exec.h: put and get).
xlm_states xlm_team_states(xlm_team *t);

// Number of processes of the run, the index of this one, and the comm between them (NULL when there is one).
int xlm_team_processes(const xlm_team *t);
int xlm_team_process(const xlm_team *t);
xlm_comm *xlm_team_peers(const xlm_team *t);
// An all-gather between processes: process k's `bytes` bytes at `mine` arrive at all + k * bytes on every
// process. Allocates nothing; not counted in bytes sent, which are those of the plan.
xlm_status xlm_team_share(xlm_team *t, const void *mine, size_t bytes, void *all,
                          xlm_error *err) XLM_MUST_CHECK;
// Process `from` sends the `bytes` bytes at its `data` to `data` on process 0. Other processes do nothing.
// Not counted in bytes sent.
xlm_status xlm_team_hand(xlm_team *t, int from, void *data, size_t bytes, xlm_error *err) XLM_MUST_CHECK;
// Names what this process does between steps, for the message of a process that waits for it. `what` must
// stay valid.
void xlm_team_at(xlm_team *t, const char *what);
// Ends the run on all ranks because this process cannot continue.
void xlm_team_fail(xlm_team *t, const char *why);
// Has the run failed for a rank of this process, even if other ranks have not returned yet? Safe to call from
// another thread.
bool xlm_team_has_failed(const xlm_team *t);
// Fills `out` with one line per rank of this process: "rank 0: all_reduce of layers.3.mlp
// (models/llama.xlm:48)".
void xlm_team_places(const xlm_team *t, char *out, size_t room);

// One step (or one run of another program, as xlm_exec_run) on every rank. feed is called with feed_args[i]
// for rank i, on that rank's thread. The first failure of any rank ends the step on all ranks and is
// returned.
xlm_status xlm_team_step(xlm_team *t, xlm_step_env env, xlm_exec_feed *feed, void *const *feed_args,
                         xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_team_run(xlm_team *t, xlm_program_id program, xlm_step_env env, xlm_error *err) XLM_MUST_CHECK;

// See xlm_exec_runs_behind: the same for all ranks.
bool xlm_team_runs_behind(const xlm_team *t);

// The first bad tensor of any rank of this process (see exec.h), in order of rank, states before results. All
// processes must call it together, since the ranks communicate.
xlm_bad_tensor xlm_team_first_bad(xlm_team *t, xlm_step_env env);

// Where the output of this name and program can be read in this process: the rank's index and the output's
// index in it; false when no rank of this process has it.
bool xlm_team_output(const xlm_team *t, xlm_program_id program, const char *name, int *i, uint32_t *output);

XLM_C_END

#endif
