// Ranks as processes of an MPI job; see mpi_priv.h.
//
// All ranks close a comm together. After a failure they meet once more, for a few seconds, so that the rank
// that reports can do so before the job ends (xlm_comm_mpi_end then aborts it, since a rank may be stuck in a
// computation or may not have learned of the failure).
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/mpi_priv.h"

static const double meet_seconds = 3; // maximum wait for the others at the end of a failed run
static bool failed_run;

static void start_mpi(void) {
  int done = 0, level;
  MPI_Initialized(&done);
  if (!done && MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level) == MPI_SUCCESS)
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

bool xlm_comm_mpi_launched(void) {
  return xlm_comm_launcher_rank() >= 0;
}

bool xlm_comm_mpi_built(void) {
  return true;
}

int64_t xlm_comm_mpi_size(void) {
  if (!xlm_comm_mpi_launched()) return 1;
  int n = 1;
  start_mpi();
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

int64_t xlm_comm_mpi_rank(void) {
  int64_t rank = xlm_comm_launcher_rank();
  return rank < 0 ? 0 : rank;
}

void xlm_comm_mpi_end(void) {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  if (started) MPI_Finalized(&ended);
  if (!started || ended) return;
  if (failed_run) MPI_Abort(MPI_COMM_WORLD, XLM_ENV);
  MPI_Finalize();
}

// ---- one comm

static xlm_status barrier(xlm_comm *base) {
  mpi_comm *c = (mpi_comm *)base;
  MPI_Request r;
  XLM_TRY(xlm_mpi_check(c));
  XLM_TRY(xlm_mpi_call(c, MPI_Ibarrier(c->exchanges, &r), "a barrier"));
  if (xlm_mpi_wait_one(c, &r, base->timeout_s)) return XLM_OK;
  return xlm_mpi_fail(c, "rank %lld waited %.1f s for the others in %s", (long long)base->rank,
                      base->timeout_s, xlm_comm_where(base));
}

static xlm_status check(xlm_comm *base) {
  return xlm_mpi_check((mpi_comm *)base);
}

static void fail(xlm_comm *base, const char *why) {
  (void)xlm_mpi_fail((mpi_comm *)base, "rank %lld failed in %s: %s", (long long)base->rank,
                     xlm_comm_where(base), why);
}

// Returns true if every rank came, so that no other rank uses this one's memory or messages.
static bool meet(mpi_comm *c) {
  MPI_Request r;
  return MPI_Ibarrier(c->alarms, &r) == MPI_SUCCESS && xlm_mpi_wait_one(c, &r, meet_seconds);
}

static void close_rank(xlm_comm *base) {
  mpi_comm *c = (mpi_comm *)base;
  bool sound = base->err.status == XLM_OK && xlm_mpi_drain(c, base->timeout_s) && barrier(base) == XLM_OK;
  c->closing = true;
  if (!sound) {
    failed_run = true;
    if (c->died == 0 || !base->reports) (void)meet(c); // processes that died do not come
    return; // MPI may still access these buffers; the process is about to end
  }
  MPI_Comm_free(&c->exchanges);
  MPI_Comm_free(&c->messages);
  MPI_Comm_free(&c->alarms);
  xlm_mpi_free_outgoing(c);
  xlm_mpi_peers_close(c);
  free(c->requests);
  free(c->statuses);
  free(c->pending);
  free(c);
}

static const xlm_comm_backend backend = {.name = "mpi",
                                         .all_to_all = xlm_mpi_all_to_all,
                                         .all_gather = xlm_mpi_all_gather,
                                         .send = xlm_mpi_send,
                                         .recv = xlm_mpi_recv,
                                         .barrier = barrier,
                                         .check = check,
                                         .fail = fail,
                                         .close = close_rank};

static xlm_status duplicate(MPI_Comm *out, xlm_error *err) {
  if (MPI_Comm_dup(MPI_COMM_WORLD, out) != MPI_SUCCESS)
    return xlm_fail(err, XLM_ENV, "MPI cannot make a communicator");
  MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN);
  return XLM_OK;
}

static int tag_limit(MPI_Comm comm) {
  int *limit = NULL, found = 0;
  MPI_Comm_get_attr(comm, MPI_TAG_UB, &limit, &found);
  return found ? *limit : 32767; // minimum guaranteed by the MPI standard
}

xlm_status xlm_comm_mpi(const xlm_mesh *mesh, double timeout_s, xlm_comm **out, xlm_error *err) {
  *out = NULL;
  int64_t n = xlm_mesh_ranks(mesh), size = xlm_comm_mpi_size();
  if (size != n)
    return xlm_fail(err, XLM_USER,
                    "the mesh has %lld ranks and the MPI job %lld; start it with `mpirun -n %lld`",
                    (long long)n, (long long)size, (long long)n);
  int rank = 0;
  start_mpi();
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  mpi_comm *c = calloc(1, sizeof *c);
  if (!c) return xlm_fail(err, XLM_ENV, "no memory for the communication of %lld ranks", (long long)n);
  xlm_comm_start(&c->base, &backend, mesh, rank, timeout_s);
  xlm_status s = duplicate(&c->exchanges, err);
  if (s == XLM_OK) s = duplicate(&c->messages, err);
  if (s == XLM_OK) s = duplicate(&c->alarms, err);
  if (s != XLM_OK) {
    free(c);
    return s;
  }
  c->tag_limit = tag_limit(c->messages);
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  c->base.second_thread = level >= MPI_THREAD_SERIALIZED;
  s = xlm_mpi_peers_open(c, err);
  *out = s == XLM_OK ? &c->base : NULL; // on failure it is leaked: MPI may still write to it, and the process
                                        // is about to end
  return s;
}
