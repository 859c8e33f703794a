// See comm_priv.h.
#include "runtime/comm/comm_priv.h"

#include <stdlib.h>
#include <string.h>

void xlm_comm_start(xlm_comm *c, const xlm_comm_backend *backend, const xlm_mesh *mesh, int64_t rank,
                    double timeout_s) {
  memset(c, 0, sizeof *c);
  c->backend = backend;
  c->mesh = *mesh;
  c->rank = rank;
  c->n_ranks = xlm_mesh_ranks(mesh);
  c->timeout_s = timeout_s;
  xlm_mesh_coord(mesh, rank, c->coord);
}

comm_group xlm_comm_group(const xlm_comm *c, uint32_t axes) {
  comm_group g = {0};
  for (int i = c->mesh.n - 1; i >= 0; i--)
    if (axes >> i & 1 && c->mesh.size[i] > 1) g.axes |= 1u << i, g.axis = i;
  g.n = xlm_mesh_group(&c->mesh, g.axes);
  g.me = xlm_mesh_member(&c->mesh, g.axes, c->coord);
  return g;
}

int xlm_comm_peer_axis(const xlm_comm *c, int64_t peer) {
  int pp = xlm_mesh_axis(&c->mesh, "pp");
  if (pp >= 0) return pp;
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&c->mesh, peer, coord);
  for (int i = 0; i < c->mesh.n; i++)
    if (coord[i] != c->coord[i]) return i;
  return 0;
}

static int64_t from_environment(const char *const *names, int n) { // the first one that is set, or -1
  for (int i = 0; i < n; i++)
    if (getenv(names[i])) return strtoll(getenv(names[i]), NULL, 10);
  return -1;
}

int64_t xlm_comm_launcher_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK"};
  return from_environment(names, sizeof names / sizeof *names);
}

// srun sets its variables even if it has not connected the tasks.
int64_t xlm_comm_started(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                      "SLURM_STEP_NUM_TASKS"};
  int64_t n = from_environment(names, sizeof names / sizeof *names);
  return n > 1 ? n : 1;
}

int64_t xlm_comm_started_as(void) {
  int64_t rank = xlm_comm_launcher_rank();
  if (rank < 0 && xlm_comm_started() > 1) rank = from_environment((const char *const[]){"SLURM_PROCID"}, 1);
  return rank > 0 ? rank : 0;
}
