// Replaces mpi.c in builds without MPI.
#include "runtime/comm/comm_priv.h"

xlm_status xlm_comm_mpi(const xlm_mesh *mesh, double timeout_s, xlm_comm **out, xlm_error *err) {
  (void)timeout_s;
  *out = NULL;
  return xlm_fail(err, XLM_USER,
                  "this xlm was built without MPI and cannot run %lld ranks under mpirun; install "
                  "libopenmpi-dev and openmpi-bin (or mpich) and build it again",
                  (long long)xlm_mesh_ranks(mesh));
}

bool xlm_comm_mpi_built(void) {
  return false;
}
bool xlm_comm_mpi_launched(void) {
  return xlm_comm_launcher_rank() >= 0;
}
int64_t xlm_comm_mpi_size(void) {
  return 1;
}
int64_t xlm_comm_mpi_rank(void) {
  return xlm_comm_launcher_rank() > 0 ? xlm_comm_launcher_rank() : 0;
}
void xlm_comm_mpi_end(void) {}
