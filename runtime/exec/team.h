// A team: the ranks of a run that live in this process, one executor and one thread each, stepping together.
//
// With `local` communication these are all ranks of the plan; under MPI it is this process's one rank. A team of one rank
// without communication is the ordinary single-rank run. The caller's thread is the team's first rank.
#ifndef XLM_EXEC_TEAM_H
#define XLM_EXEC_TEAM_H

#include "runtime/comm/comm.h"
#include "runtime/exec/exec.h"

typedef struct xlm_team xlm_team;

typedef enum xlm_launch { XLM_LAUNCH_LOCAL, XLM_LAUNCH_MPI } xlm_launch;

// threads: workers per rank. timeout_s: see comm.h.
xlm_status xlm_team_open(const xlm_plan *plan, const xlm_backend *backend, int threads, xlm_launch launch, double timeout_s,
                         xlm_team **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_team_close(xlm_team *t);

int xlm_team_size(const xlm_team *t);                // ranks here
xlm_exec *xlm_team_exec(const xlm_team *t, int i);   // 0 .. size - 1
int64_t xlm_team_rank(const xlm_team *t, int i);     // its global rank
xlm_comm *xlm_team_comm(const xlm_team *t, int i);   // NULL when the plan has one rank

// One step (or one eval pass) on every rank. feed is called with feed_args[i] for rank i, on that rank's thread. The first
// failure of any rank ends the step on all of them and is returned.
xlm_status xlm_team_step(xlm_team *t, xlm_step_env env, xlm_exec_feed *feed, void *const *feed_args, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_team_eval(xlm_team *t, xlm_step_env env, xlm_error *err) XLM_MUST_CHECK;

// Where the output of this name can be read here: the rank (index) and the output's index there; false when no rank of this
// process has it (it is on another stage, on another host).
bool xlm_team_output(const xlm_team *t, const char *name, int *i, uint32_t *output);

#endif
