// The control plane of communication between the ranks of a run: host memory, blocking. There is one xlm_comm
// per rank. Communication between arenas goes over a link of the device (runtime/device/link.h), which is
// built on this.
//
// There are only two exchanges and two messages, all of contiguous bytes. Everything else (reductions in a
// fixed order, gathers along inner dimensions) is built from them in kernels, so that every backend computes
// the same bits. `axes` selects the group: the ranks that differ from this one only along those mesh axes;
// members are ordered as in mesh.h.
//
// `local`: ranks are threads of one process, and memory is copied directly. `mpi`: ranks are processes. All
// members of a group must enter its calls in the same order (checked on the plan before launch). When a rank
// fails, every call on every rank returns XLM_ENV within seconds and names that rank and the reason; no call
// blocks forever.
#ifndef XLM_COMM_COMM_H
#define XLM_COMM_COMM_H

#include "runtime/plan/mesh.h"

XLM_C_BEGIN

typedef struct xlm_comm xlm_comm;

typedef struct xlm_comm_backend {
  const char *name;
  // Sends out_bytes[k] bytes at out[k] to member k and receives in_bytes[k] bytes from member k at in[k]. The
  // part for this member itself is copied. The plan fixes all sizes; there is no handshake.
  xlm_status (*all_to_all)(xlm_comm *c, uint32_t axes, const void *const *out, const size_t *out_bytes,
                           void *const *in, const size_t *in_bytes);
  // Member k's bytes[k] bytes at `mine` arrive at in[k] on every member.
  xlm_status (*all_gather)(xlm_comm *c, uint32_t axes, const void *mine, void *const *in,
                           const size_t *bytes);
  // Point to point; `peer` is a global rank. send may return before the message is received (buffered or in
  // flight); its memory may be reused when it returns.
  xlm_status (*send)(xlm_comm *c, int64_t peer, int32_t tag, const void *data, size_t bytes);
  xlm_status (*recv)(xlm_comm *c, int64_t peer, int32_t tag, void *data, size_t bytes);
  xlm_status (*barrier)(xlm_comm *c);         // all ranks
  xlm_status (*check)(xlm_comm *c);           // XLM_OK, or the failure that ended the run; does not wait
  void (*fail)(xlm_comm *c, const char *why); // tells all ranks that this one cannot continue
  void (*close)(xlm_comm *c);
} xlm_comm_backend;

struct xlm_comm { // the common initial part of every backend
  const xlm_comm_backend *backend;
  xlm_mesh mesh;
  int64_t rank, n_ranks;
  int32_t coord[XLM_MAX_AXES];
  uint64_t bytes_sent[XLM_MAX_AXES]; // to other ranks, by the outermost axis of the group (send/recv: pp)
  xlm_error err;                     // the first failure, with the same text on every rank
  bool reports;       // this rank detected the failure first and should report it to the user
  bool any_thread;    // any thread may call check and fail
  bool second_thread; // another thread of the rank may use it, too, while the first does not
  const char *where;  // set with xlm_comm_at: the current operation, for the messages of waiting ranks:
                      // "all_reduce of layers.3.mlp, models/llama.xlm:48"
  double timeout_s;   // maximum wait for a peer before the run is ended; 0 = unlimited
};

// `where` must outlive the comm: other ranks read it to report where this one is.
static inline void xlm_comm_at(xlm_comm *c, const char *where) {
  __atomic_store_n(&c->where, where, __ATOMIC_RELAXED);
}

// All ranks of a mesh as threads of this process: fills comms[0 .. n_ranks). Close each.
xlm_status xlm_comm_local(const xlm_mesh *mesh, double timeout_s, xlm_comm **comms,
                          xlm_error *err) XLM_MUST_CHECK;

// This process as one rank of an MPI job (mpirun, srun); the number of processes must be that of the mesh.
// Without MPI in the build this fails and names the package to install.
xlm_status xlm_comm_mpi(const xlm_mesh *mesh, double timeout_s, xlm_comm **out,
                        xlm_error *err) XLM_MUST_CHECK;
bool xlm_comm_mpi_built(void);    // was an MPI found when xlm was built?
bool xlm_comm_mpi_launched(void); // was this process started by mpirun or srun?
int64_t xlm_comm_mpi_size(void);  // number of processes of the job (initialises MPI); 1 without MPI
// The number of processes that the launcher started (1 without one) and the index of this one, according to
// its environment, whichever MPI xlm was built with. A number greater than xlm_comm_mpi_size means that the
// processes are not connected.
int64_t xlm_comm_started(void);
int64_t xlm_comm_started_as(void);
int64_t xlm_comm_mpi_rank(void); // index of this process, valid also before and after the job; 0 without MPI
// Ends this process's part in order, after every comm is closed. A process that exits without it ends the
// whole job. After a failure it calls MPI_Abort, so that a rank that is stuck cannot keep the others.
void xlm_comm_mpi_end(void);

XLM_C_END

#endif
