// A link over NCCL, shared by nccl_connect.c (which link, communicators, closing), nccl_link.c (operations)
// and nccl_watch.c (waiting, failures).
//
// Data is moved by grouped sends and receives, so pieces may be uneven, and nothing is added by the library:
// sums stay kernels of ours, in member order, and have the bits of every other device. A world communicator
// is split once per kind of group, and once more for each set of routes that have no rank in common.
//
// A send must not wait for its receiver, but NCCL's does. So a message is copied, in its queue, to a place of
// its route's own, and sent from there on the route's own stream, over a communicator of two ranks: it holds
// up nothing but later messages of the route. CTAs of routes are few, since sends that wait stay on the card.
// A stage with several parts of the model sends messages to itself: those stay in their place until they are
// received, and no communicator sees them.
//
// No wait is without an end: communicators are non-blocking, and where the host waits it asks instead
// (nccl_watch.c), looks whether another rank or NCCL has failed, and whether an operation takes longer than a
// rank waits for another. Then it aborts all communicators, which ends what runs on the card.
#ifndef XLM_DEVICE_NCCL_PRIV_H
#define XLM_DEVICE_NCCL_PRIV_H

#include <pthread.h>

#include "runtime/device/cuda/nccl.h"
#include "runtime/device/cuda/cuda_priv.h"

enum { NCCL_ROUTE_CTAS = 4, NCCL_AHEAD = 16 };

typedef struct nccl_route { // one that this rank sends or receives on
  const xlm_route *route;
  nccl_comm comm; // of two ranks: 0 sends, 1 receives; NULL: this rank does both
  bool sends;
  xlm_cuda_queue queue; // of a sender, as all that follows; none of one to itself
  char *at;             // `room` places of `bytes` bytes
  size_t bytes;
  uint32_t next, taken;         // places; taken: of the next message to itself that is received
  xlm_cuda_event copied, *sent; // [room]
  bool *used;                   // [room]: `sent` is recorded
} nccl_route;

typedef struct nccl_watch {
  uint32_t seen[XLM_STREAMS]; // under_way
  double since[XLM_STREAMS];
} nccl_watch;

struct cuda_nccl {
  const xlm_nccl *calls;
  xlm_comm *comm; // the control plane
  pthread_t driver;
  nccl_comm world, groups[1 << XLM_MAX_AXES]; // by mask without axes of size 1; the world may be one of them
  const xlm_routes *routes;
  nccl_route *at; // [n]
  uint32_t n;
  // The instruction that a queue communicates in: 1 + its number, 0 for none. Written by the queue, as a copy
  // from the card's `numbers` to pinned memory, so that it is right for graphs, too.
  uint32_t *numbers;            // card: [n_marks + 2], number i is i; the last: no instruction
  volatile uint32_t *under_way; // [XLM_STREAMS]
  // The ends of the last operations: the host is no further ahead. Else it could block in a launch, whose
  // stream is full behind an operation that never ends, and look around no more.
  xlm_cuda_event ended[NCCL_AHEAD];
  uint64_t operations; // so far
  uint64_t bytes;      // of the card's memory and of the host's
  volatile bool dead;  // aborted, or about to be when the capture ends
  xlm_error why;
};

// ---- nccl_link.c

extern const xlm_link_kind cuda_nccl_link;
// The link's exchange without the link: bytes [k] between all members k of comm, this one being `me`.
xlm_status cuda_nccl_exchange(cuda *c, xlm_cuda_queue q, nccl_comm comm, int64_t n, int64_t me,
                              const void *const *out, const size_t *out_bytes, void *const *in,
                              const size_t *in_bytes, xlm_error *err) XLM_MUST_CHECK;

// ---- nccl_watch.c

// A result of `call`: XLM_OK, also in progress; else aborts, and says what it was.
xlm_status cuda_nccl_check(cuda *c, int result, nccl_comm comm, const char *what,
                           xlm_error *err) XLM_MUST_CHECK;
// Waits until a communicator is no longer in progress.
xlm_status cuda_nccl_settle(cuda *c, nccl_comm comm, const char *what, xlm_error *err) XLM_MUST_CHECK;
void cuda_nccl_abort(cuda *c); // does what is left to do

#endif
