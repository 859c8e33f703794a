// The control plane of communication between the ranks of a run: host memory, blocking. One xlm_comm per rank.
// What a plan communicates between arenas goes through a link of the device (runtime/device/link.h), which is
// made of this.
//
// Only two exchanges and two messages exist, all of contiguous bytes: everything else (reductions in a fixed
// order, gathers along inner dimensions) is made of them in the kernels, so that every backend gives the same
// bits. `axes` selects the group: the ranks that differ from this one only along those mesh axes; members are
// ordered as in mesh.h.
//
// `local`: ranks are threads of one process, memory is copied directly. `mpi`: ranks are processes. Calls of
// one group are entered in one order by all members (the plan is checked for that before launch). When any
// rank fails, every call on every rank returns XLM_ENV within seconds and names the rank that failed and why:
// nothing ever hangs.
#ifndef XLM_COMM_COMM_H
#define XLM_COMM_COMM_H

#include "runtime/plan/mesh.h"

XLM_C_BEGIN

typedef struct xlm_comm xlm_comm;

typedef struct xlm_comm_backend {
  const char *name;
  // Sends bytes out[k] .. + out_bytes[k] to member k and receives in_bytes[k] bytes from member k at in[k],
  // the own part included (copied). Sizes are agreed by the plan; no handshake.
  xlm_status (*all_to_all)(xlm_comm *c, uint32_t axes, const void *const *out, const size_t *out_bytes,
                           void *const *in, const size_t *in_bytes);
  // Everybody's `bytes[member]` bytes at `mine` arrive at in[k] on everybody.
  xlm_status (*all_gather)(xlm_comm *c, uint32_t axes, const void *mine, void *const *in,
                           const size_t *bytes);
  // Point to point; `peer` is a global rank. send may return before the message is received (buffered or in
  // flight); the memory is free again when it returns.
  xlm_status (*send)(xlm_comm *c, int64_t peer, int32_t tag, const void *data, size_t bytes);
  xlm_status (*recv)(xlm_comm *c, int64_t peer, int32_t tag, void *data, size_t bytes);
  xlm_status (*barrier)(xlm_comm *c);         // all ranks
  void (*fail)(xlm_comm *c, const char *why); // tells everybody that this rank cannot go on
  void (*close)(xlm_comm *c);
} xlm_comm_backend;

struct xlm_comm { // the part every backend begins with
  const xlm_comm_backend *backend;
  xlm_mesh mesh;
  int64_t rank, n_ranks;
  int32_t coord[XLM_MAX_AXES];
  uint64_t bytes_sent[XLM_MAX_AXES]; // to other ranks, by the outermost axis of the group (send/recv: pp)
  xlm_error err;                     // of the first failure, on this rank: the same sentence on every rank
  bool reports;       // the failure was noticed here first: this rank is the one to tell the user
  bool second_thread; // may be used by another thread of the rank, too, while the first does not
  const char *where;  // set with xlm_comm_at: what this rank is doing, for the watchdog: "all_reduce of
                      // layers.3.mlp, models/llama.xlm:48"
  double timeout_s;   // longest wait for a peer before the run is given up; 0 = for ever
};

// `where` must live as long as the comm: others read it, to say where every rank stands.
static inline void xlm_comm_at(xlm_comm *c, const char *where) {
  __atomic_store_n(&c->where, where, __ATOMIC_RELAXED);
}

// All ranks of a mesh as threads of this process: fills comms[0 .. n_ranks). Close each.
xlm_status xlm_comm_local(const xlm_mesh *mesh, double timeout_s, xlm_comm **comms,
                          xlm_error *err) XLM_MUST_CHECK;

// This process as one rank of an MPI job (mpirun, srun); the number of processes must be the mesh's. mpi.c is
// built when an MPI is found; without one this fails and says which package to install.
xlm_status xlm_comm_mpi(const xlm_mesh *mesh, double timeout_s, xlm_comm **out,
                        xlm_error *err) XLM_MUST_CHECK;
bool xlm_comm_mpi_built(void);    // was an MPI found when xlm was built?
bool xlm_comm_mpi_launched(void); // was this process started by mpirun or srun?
int64_t xlm_comm_mpi_size(void);  // processes of the job (initialises MPI); 1 without
// What the launcher says, whichever MPI this program was built with: how many processes it started (1 without
// one) and which of them this is. More than xlm_comm_mpi_size says: nobody has connected them.
int64_t xlm_comm_started(void);
int64_t xlm_comm_started_as(void);
int64_t xlm_comm_mpi_rank(void); // which of them this is, before and after; 0 without
// The orderly end of this process's part, after every comm is closed. A process that ends without it ends the
// whole job; after a failure it does so itself (MPI_Abort), so that a rank that is stuck cannot keep the
// others.
void xlm_comm_mpi_end(void);

XLM_C_END

#endif
