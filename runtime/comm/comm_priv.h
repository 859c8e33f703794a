// What the backends share: which group an axis mask means, and the count of bytes sent.
#ifndef XLM_COMM_COMM_PRIV_H
#define XLM_COMM_COMM_PRIV_H

#include "runtime/comm/comm.h"

// One group as one rank sees it. Axes of size 1 do not count, so that masks that mean the same group are
// equal.
typedef struct comm_group {
  uint32_t axes; // normalised; 0 = this rank alone
  int64_t n, me;
  int axis; // outermost, to which its bytes are counted
} comm_group;

void xlm_comm_start(xlm_comm *c, const xlm_comm_backend *backend, const xlm_mesh *mesh, int64_t rank,
                    double timeout_s);
comm_group xlm_comm_group(const xlm_comm *c, uint32_t axes);
static inline int64_t xlm_comm_member(const xlm_comm *c, const comm_group *g,
                                      int64_t i) { // global rank of member i
  return xlm_mesh_member_rank(&c->mesh, g->axes, c->coord, i);
}
// The axis a message to `peer` is counted to: `pp` when the mesh has one, else the outermost along which the
// two differ.
int xlm_comm_peer_axis(const xlm_comm *c, int64_t peer);

// The rank that mpirun, mpiexec or srun gave this process, from its environment; -1: started by none of them.
int64_t xlm_comm_launcher_rank(void);

static inline const char *xlm_comm_where(const xlm_comm *c) { // may be read while its rank sets it
  const char *where = __atomic_load_n(&c->where, __ATOMIC_RELAXED);
  return where ? where : "no operation";
}

#endif
