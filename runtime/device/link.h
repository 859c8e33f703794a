// A link: the data plane of communication, between the arenas of the ranks. The device makes it from the
// control plane (runtime/comm); the collectives' kernels use it, nothing else does.
//
// Only two exchanges and two messages exist, all of contiguous bytes: everything else (reductions in a fixed
// order, gathers along inner dimensions) is made of them in the kernels, so that every device gives the same
// bits. `axes` selects the group: the ranks that differ from this one only along those mesh axes; members are
// ordered as in mesh.h. Sizes are agreed by the plan; there is no handshake.
//
// Each call is work of `queue`, in its order: on a device whose kernels run on the host's threads it is done
// when the call returns, elsewhere it is enqueued, and the arrays of pointers and sizes may be used again.
// A failure returns XLM_ENV with the one sentence that every rank gets.
#ifndef XLM_DEVICE_LINK_H
#define XLM_DEVICE_LINK_H

#include "runtime/device/kernel.h"
#include "runtime/plan/mesh.h"

XLM_C_BEGIN

typedef struct xlm_link xlm_link;

typedef struct xlm_link_kind {
  // Sends bytes out[k] .. + out_bytes[k] to member k and receives in_bytes[k] bytes from member k at in[k],
  // the own part included (copied).
  xlm_status (*exchange)(xlm_link *l, xlm_queue queue, uint32_t axes, const void *const *out,
                         const size_t *out_bytes, void *const *in, const size_t *in_bytes, xlm_error *err);
  // Everybody's bytes[member] bytes at `mine` arrive at in[k] on everybody.
  xlm_status (*gather)(xlm_link *l, xlm_queue queue, uint32_t axes, const void *mine, void *const *in,
                       const size_t *bytes, xlm_error *err);
  // Point to point; `peer` is a global rank. A send does not wait for the receiver.
  xlm_status (*send)(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, const void *data, size_t bytes,
                     xlm_error *err);
  xlm_status (*recv)(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, void *data, size_t bytes,
                     xlm_error *err);
} xlm_link_kind;

struct xlm_link { // the part every link begins with
  const xlm_link_kind *kind;
  xlm_mesh mesh;
  int64_t rank;
  int32_t coord[XLM_MAX_AXES];
};

XLM_C_END

#endif
