// The MPI backend: shared by mpi.c (open, close), mpi_wait.c (progress, failures) and mpi_exchange.c
// (exchanges, messages).
//
// Everything uses MPI_Isend and MPI_Irecv of bytes and a loop that polls them. Between polls the loop checks
// the clock and looks for an alarm from another rank, so no rank blocks forever; blocking collectives could
// do neither. Only one thread of a process calls MPI (MPI_THREAD_FUNNELED).
//
// Pairs of ranks enter the exchanges of a group in the same order, and MPI preserves the order of messages
// between two ranks with the same tag. So the axis mask serves as the tag of an exchange, and no communicator
// per group is needed.
#ifndef XLM_COMM_MPI_PRIV_H
#define XLM_COMM_MPI_PRIV_H

#include <mpi.h>
#include <poll.h>

#include "runtime/comm/comm_priv.h"

enum { MPI_PIECE = 1 << 30, MPI_ALARM = 1024 }; // bytes of one MPI message (its counts are ints); of an alarm

typedef struct pending { // one piece in flight
  int64_t peer;
  int bytes;
  bool receives;
} pending;

typedef struct outgoing { // a message that was copied from its sender and is not yet received
  struct outgoing *next;
  int n;       // requests in flight; 0 = the buffer is unused
  size_t room; // bytes of data
  MPI_Request *requests;
  char *data;
} outgoing;

typedef struct mpi_comm {
  xlm_comm base;
  MPI_Comm exchanges, messages, alarms;
  int n, room; // requests of the current call
  MPI_Request *requests;
  MPI_Status *statuses;
  pending *pending;
  outgoing *out;
  int tag_limit;
  char alarm[MPI_ALARM]; // sent by this rank to the others
  bool closing;          // later failures are ignored
  struct pollfd *lives;  // by rank: pidfd of a process on this machine; fd -1 = on another machine, or not
                         // watched
  int n_lives;
  double looked, died; // time of the last check of lives, and when one was first found to have ended
} mpi_comm;

// ---- mpi_wait.c

// Ends the run: notifies every rank, once. Returns XLM_ENV with err set.
xlm_status xlm_mpi_fail(mpi_comm *c, const char *fmt, ...) XLM_PRINTF(2, 3);
xlm_status xlm_mpi_check(mpi_comm *c); // XLM_OK, or this rank's failure; receives alarms
xlm_status xlm_mpi_call(mpi_comm *c, int rc, const char *what); // checks an MPI return code
// Posts the pieces of a message as part of the current call.
xlm_status xlm_mpi_post_send(mpi_comm *c, MPI_Comm comm, int64_t peer, int tag, const void *data,
                             size_t bytes);
xlm_status xlm_mpi_post_recv(mpi_comm *c, MPI_Comm comm, int64_t peer, int tag, void *data, size_t bytes);
xlm_status xlm_mpi_finish(mpi_comm *c); // waits for all of them
// Waits for one request, at most `seconds` (0: the comm's timeout); false on timeout or failure of the run.
bool xlm_mpi_wait_one(mpi_comm *c, MPI_Request *r, double seconds);

// ---- mpi_peers.c

xlm_status xlm_mpi_peers_open(mpi_comm *c, xlm_error *err) XLM_MUST_CHECK;
void xlm_mpi_peers_close(mpi_comm *c);
int64_t xlm_mpi_first_dead(mpi_comm *c); // a rank whose process has ended, or -1
bool xlm_mpi_is_dead(const mpi_comm *c, int64_t rank);

// ---- mpi_exchange.c

xlm_status xlm_mpi_all_to_all(xlm_comm *base, uint32_t axes, const void *const *out, const size_t *out_bytes,
                              void *const *in, const size_t *in_bytes);
xlm_status xlm_mpi_all_gather(xlm_comm *base, uint32_t axes, const void *mine, void *const *in,
                              const size_t *bytes);
xlm_status xlm_mpi_send(xlm_comm *base, int64_t peer, int32_t tag, const void *data, size_t bytes);
xlm_status xlm_mpi_recv(xlm_comm *base, int64_t peer, int32_t tag, void *data, size_t bytes);
bool xlm_mpi_drain(mpi_comm *c, double seconds); // waits until all messages have left; false: timed out
void xlm_mpi_free_outgoing(mpi_comm *c);

#endif
