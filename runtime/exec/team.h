// A team: the ranks of a run that live in this process, one executor and one thread each, stepping together.
//
// With `local` communication these are all ranks of the plan; under MPI it is this process's one rank. A team
// of one rank without communication is the ordinary single-rank run. The caller's thread is the team's first
// rank.
#ifndef XLM_EXEC_TEAM_H
#define XLM_EXEC_TEAM_H

#include "runtime/comm/comm.h"
#include "runtime/exec/exec.h"

XLM_C_BEGIN

typedef struct xlm_team xlm_team;

typedef enum xlm_launch { XLM_LAUNCH_LOCAL, XLM_LAUNCH_MPI } xlm_launch;

// threads: workers per rank. timeout_s: see comm.h. On failure *out is NULL, or a team that can only be told
// to fail and closed: the others wait for this process already.
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

// Processes of the run, which of them this is, and the comm to reach the others with (NULL when there is
// one).
int xlm_team_processes(const xlm_team *t);
int xlm_team_process(const xlm_team *t);
xlm_comm *xlm_team_peers(const xlm_team *t);
// Every process brings `bytes` bytes; process k's arrive at all + k * bytes. Allocates nothing; not counted
// as bytes sent, which are those of the plan.
xlm_status xlm_team_share(xlm_team *t, const void *mine, size_t bytes, void *all,
                          xlm_error *err) XLM_MUST_CHECK;
// Process `from` sends process 0 its `bytes` bytes at `data`; they arrive there at `data`. Nothing to do for
// all others. Not counted as bytes sent.
xlm_status xlm_team_hand(xlm_team *t, int from, void *data, size_t bytes, xlm_error *err) XLM_MUST_CHECK;
// What this process does besides steps, for whoever waits for it; text must live on.
void xlm_team_at(xlm_team *t, const char *what);
// Ends the run on all ranks: this process cannot go on.
void xlm_team_fail(xlm_team *t, const char *why);
// Has the run failed for a rank of this process, while others may still be on their way back? For another
// thread to ask.
bool xlm_team_has_failed(const xlm_team *t);
// For a person: "rank 0: all_reduce of layers.3.mlp (models/llama.xlm:48)", one line per rank of this
// process.
void xlm_team_places(const xlm_team *t, char *out, size_t room);

// One step (or one eval pass) on every rank. feed is called with feed_args[i] for rank i, on that rank's
// thread. The first failure of any rank ends the step on all of them and is returned.
xlm_status xlm_team_step(xlm_team *t, xlm_step_env env, xlm_exec_feed *feed, void *const *feed_args,
                         xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_team_eval(xlm_team *t, xlm_step_env env, xlm_error *err) XLM_MUST_CHECK;

// The first bad tensor of any rank of this process (see exec.h), those of earlier ranks first, states before
// results. All processes call it together: the ranks communicate.
xlm_bad_tensor xlm_team_first_bad(xlm_team *t, xlm_step_env env);

// Where the output of this name can be read here: the rank (index) and the output's index there; false when
// no rank of this process has it (it is on another stage, on another host).
bool xlm_team_output(const xlm_team *t, const char *name, int *i, uint32_t *output);

XLM_C_END

#endif
