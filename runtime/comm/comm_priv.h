// Shared by the backends: the group of an axis mask, and the count of bytes sent.
#ifndef XLM_COMM_COMM_PRIV_H
#define XLM_COMM_COMM_PRIV_H

#include "runtime/comm/comm.h"

// A group as one rank sees it. Axes of size 1 are removed from the mask, so that equal groups have equal
// masks.
typedef struct comm_group {
  uint32_t axes; // normalised; 0 = this rank alone
  int64_t n, me;
  int axis; // the outermost, to which bytes are attributed
} comm_group;

void xlm_comm_start(xlm_comm *c, const xlm_comm_backend *backend, const xlm_mesh *mesh, int64_t rank,
                    double timeout_s);
comm_group xlm_comm_group(const xlm_comm *c, uint32_t axes);
static inline int64_t xlm_comm_member(const xlm_comm *c, const comm_group *g,
                                      int64_t i) { // global rank of member i
  return xlm_mesh_member_rank(&c->mesh, g->axes, c->coord, i);
}
// The axis to which a message to `peer` is attributed: `pp` if the mesh has it, else the outermost along
// which the two ranks differ.
int xlm_comm_peer_axis(const xlm_comm *c, int64_t peer);

// The rank that mpirun, mpiexec or srun gave this process, from its environment; -1: none.
int64_t xlm_comm_launcher_rank(void);

static inline const char *xlm_comm_where(const xlm_comm *c) { // thread-safe
  const char *where = __atomic_load_n(&c->where, __ATOMIC_RELAXED);
  return where ? where : "no operation";
}

#endif
