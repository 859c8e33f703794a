// The processes of a run and their threads: under a launcher one rank per process, else all ranks in this
// one.
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/common/request.h"
#include "tools/xlmrun/session_priv.h"

// MPI waits forever for a process that was started but never arrives (another program, a host that hangs).
static void give_up(int signal) {
  static const char text[] = "xlmrun: not all processes of this run have arrived; see --comm-timeout\n";
  (void)signal;
  ssize_t told = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(told < 0 ? EXIT_USER : EXIT_ENVIRONMENT);
}

static int64_t connect_processes(const session *s) {
  double limit = ceil(xlm_setting_float(s->settings, XLM_SET_comm_timeout));
  struct sigaction own = {.sa_handler = give_up}, before;
  if (xlm_comm_started() < 2 || limit < 1 || limit > INT_MAX - 4) return xlm_comm_mpi_size();
  sigaction(SIGALRM, &own, &before);
  alarm((unsigned)limit + (s->silent ? 2 : 0)); // one process reports, and its end ends the others
  int64_t n = xlm_comm_mpi_size();
  alarm(0);
  sigaction(SIGALRM, &before, NULL);
  return n;
}

xlm_status session_connect(session *s, const xlm_mesh *m) {
  long long ranks = xlm_mesh_ranks(m), processes = connect_processes(s);
  s->mpi = processes > 1;
  long long started = xlm_comm_started();
  if (started > processes && !xlm_comm_mpi_built()) {
    s->told = s->silent;
    return xlm_fail(
        &s->err, XLM_USER,
        "%lld processes were started, and this xlmrun was built without MPI: install libopenmpi-dev and "
        "openmpi-bin (or another MPI) and build it again, from cmake on, or, if xlm is a package, install "
        "xlm-mpi; or start it without mpirun: "
        "ranks are then threads of one process",
        started);
  }
  if (started > processes) { // each would be a separate run, all writing to one folder
    s->told = s->silent;
    return xlm_fail(
        &s->err, XLM_USER,
        "%lld processes were started, but xlmrun's MPI connects only %lld of them: under Slurm use "
        "`srun --mpi=pmix` (see `srun --mpi=list`), else the mpirun of the MPI it was built with",
        started, processes);
  }
  if (!s->mpi || ranks == processes) return XLM_OK;
  if (s->saved)
    return xlm_fail(&s->err, XLM_USER,
                    "%lld processes were started and the plan '%s' is for %s = %s: start it with "
                    "`mpirun -n %lld`, or make a plan for %lld",
                    processes, s->saved, xlm_request_mesh_text(s->arena, m),
                    xlm_text_plural(s->arena, ranks, "rank"), ranks, processes);
  return xlm_fail(
      &s->err, XLM_USER,
      "%lld processes were started and the mesh is %s = %s: start it with `mpirun -n %lld`, or give "
      "axes whose product is %lld, as in --dp %lld",
      processes, xlm_request_mesh_text(s->arena, m), xlm_text_plural(s->arena, ranks, "rank"), ranks,
      processes, processes);
}

int session_process_threads(const session *s) {
  int n = xlm_request_threads(s->settings), beside = session_ranks_here(s);
  if (xlm_setting_int(s->settings, XLM_SET_threads) > 0 || n < sysconf(_SC_NPROCESSORS_ONLN))
    return n; // given, or bound
  if (beside < 1) beside = (int)xlm_mesh_ranks(&s->options.mesh);
  return n / beside > 1 ? n / beside : 1;
}

enum { MOST_THREADS = 64, PER_PROCESSOR = 4 }; // more would only wait for each other

xlm_status session_check_threads(session *s) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN), most = PER_PROCESSOR * processors;
  if (most < MOST_THREADS) most = MOST_THREADS;
  if (processors < 1 || xlm_setting_int(s->settings, XLM_SET_threads) <= most) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "%s: this machine has %s; use at most %ld threads",
                  s->settings->value[XLM_SET_threads].where,
                  xlm_text_plural(s->arena, processors, "processor"), most);
}

xlm_status session_settle_threads(session *s) {
  int most = s->plan->target.threads, ranks = s->mpi ? 1 : (int)s->plan->n_ranks;
  int all = s->mpi ? session_process_threads(s) : xlm_request_threads(s->settings), each = all / ranks;
  if (xlm_setting_int(s->settings, XLM_SET_threads) > 0 && each > most)
    return xlm_fail(&s->err, XLM_USER,
                    "--threads %d: the plan '%s' has room for %s per rank, %d in this process", all, s->saved,
                    xlm_text_plural(s->arena, most, "thread"), most * ranks);
  s->options.target.threads = each < 1 ? 1 : each < most ? each : most;
  return XLM_OK;
}

const char *session_ranks(const session *s) {
  if (s->plan->n_ranks == 1) return "";
  const char *link = s->team ? xlm_exec_link(xlm_team_exec(s->team, 0)) : NULL;
  return xlm_arena_printf(s->arena, "  %u ranks = %s%s%s%s", s->plan->n_ranks,
                          xlm_request_mesh_text(s->arena, &s->plan->mesh), s->mpi ? " (mpi)" : "",
                          link ? ", " : "", link ? link : "");
}

int session_threads(const session *s) {
  return s->options.target.threads * (s->mpi ? 1 : (int)s->plan->n_ranks);
}
