// See comm_priv.h.
#include "runtime/comm/comm_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

int64_t xlm_comm_launcher_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (getenv(names[i])) return strtoll(getenv(names[i]), NULL, 10);
  return -1;
}

double xlm_comm_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
