// The processes of a machine watch each other. MPI does not report a rank that dies (killed, out of memory,
// crashed) to those that wait for it; the launcher ends them later, without a message about what the run was
// doing. So every rank holds a pidfd (Linux: readable once the process has ended) of each rank on the same
// machine and checks them while it waits; a rank that detects an end notifies the ranks of other machines.
// Without pidfds, and for a rank that is alone on its machine, only the launcher reacts.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/comm/mpi_priv.h"
#include "runtime/base/clock.h"

static const double look_seconds = 0.02; // between two checks
// Delay between detection and reporting: at the end of a run, a rank may have exited normally with its last
// message still unread here.
static const double sure_seconds = 0.1;

typedef struct place { // process ids are comparable between places with equal `machine`
  uint64_t machine[2];
  int64_t pid;
} place;

static uint64_t hash_of(const char *text, size_t n) { // FNV-1a
  uint64_t h = 0xCBF29CE484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
  return h;
}

// The boot id of this machine and the namespace of its process ids; zeros when either is unknown.
static place here(void) {
  char boot[64];
  struct stat st;
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof boot);
  if (fd >= 0) close(fd);
  if (n <= 0 || stat("/proc/self/ns/pid", &st)) return (place){{0, 0}, getpid()};
  return (place){{hash_of(boot, (size_t)n), (uint64_t)st.st_ino}, getpid()};
}

static int open_process(int64_t pid) {
#ifdef SYS_pidfd_open
  return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
#else
  (void)pid;
  return -1;
#endif
}

static void watch(mpi_comm *c, const place *all) {
  const place *mine = &all[c->base.rank];
  for (int64_t k = 0; k < c->base.n_ranks; k++) {
    bool near = k != c->base.rank && mine->machine[1] && all[k].machine[0] == mine->machine[0] &&
                all[k].machine[1] == mine->machine[1];
    c->lives[k] = (struct pollfd){.fd = near ? open_process(all[k].pid) : -1, .events = POLLIN};
  }
}

xlm_status xlm_mpi_peers_open(mpi_comm *c, xlm_error *err) {
  size_t n = (size_t)c->base.n_ranks;
  place mine = here(), *all = calloc(n, sizeof *all);
  c->lives = calloc(n, sizeof *c->lives);
  MPI_Request r;
  xlm_status s = XLM_OK;
  if (!all || !c->lives)
    s = xlm_fail(err, XLM_ENV, "no memory for the communication of %zu ranks", n);
  else if (MPI_Iallgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, c->exchanges, &r) !=
               MPI_SUCCESS ||
           !xlm_mpi_wait_one(c, &r, c->base.timeout_s))
    s = xlm_fail(err, XLM_ENV, "rank %lld waited %.1f s for the others at the start", (long long)c->base.rank,
                 c->base.timeout_s);
  else
    watch(c, all);
  if (s == XLM_OK) c->n_lives = (int)n;
  free(all);
  return s;
}

bool xlm_mpi_is_dead(const mpi_comm *c, int64_t rank) {
  return c->n_lives && c->lives[rank].revents;
}

int64_t xlm_mpi_first_dead(mpi_comm *c) {
  double now = xlm_clock_seconds();
  if (!c->n_lives || now - c->looked < look_seconds) return -1;
  c->looked = now;
  int64_t dead = 0;
  if (poll(c->lives, (nfds_t)c->n_lives, 0) <= 0) return -1;
  while (!c->lives[dead].revents) dead++;
  if (c->died == 0) c->died = now;
  return now - c->died < sure_seconds ? -1 : dead;
}

void xlm_mpi_peers_close(mpi_comm *c) {
  for (int i = 0; i < c->n_lives; i++)
    if (c->lives[i].fd >= 0) close(c->lives[i].fd);
  free(c->lives);
  c->lives = NULL;
  c->n_lives = 0;
}
