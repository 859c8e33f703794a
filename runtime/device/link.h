// A link: the data plane of communication, between the arenas of the ranks. The device builds it on the
// control plane (runtime/comm). Only the kernels of collectives and messages use it.
//
// There are only two exchanges and two messages, all of contiguous bytes. Everything else (reductions in a
// fixed order, gathers along inner dimensions) is built from them in kernels, so that every device computes
// the same bits. `axes` selects the group: the ranks that differ from this one only along those mesh axes;
// members are ordered as in mesh.h. The plan fixes all sizes; there is no handshake.
//
// Each call is work of `queue`, in order. On a device whose kernels run on host threads it is complete on
// return; elsewhere it is enqueued, and the arrays of pointers and sizes may be reused. A failure returns
// XLM_ENV with the same message on every rank.
#ifndef XLM_DEVICE_LINK_H
#define XLM_DEVICE_LINK_H

#include "runtime/device/kernel.h"
#include "runtime/plan/mesh.h"

XLM_C_BEGIN

typedef struct xlm_link xlm_link;

typedef struct xlm_link_kind {
  // Sends out_bytes[k] bytes at out[k] to member k and receives in_bytes[k] bytes from member k at in[k]. The
  // part for this member itself is copied.
  xlm_status (*exchange)(xlm_link *l, xlm_queue queue, uint32_t axes, const void *const *out,
                         const size_t *out_bytes, void *const *in, const size_t *in_bytes, xlm_error *err);
  // Member k's bytes[k] bytes at `mine` arrive at in[k] on every member. This member's in[k] may be `mine`: then
  // it is not written, and others may read it meanwhile.
  xlm_status (*gather)(xlm_link *l, xlm_queue queue, uint32_t axes, const void *mine, void *const *in,
                       const size_t *bytes, xlm_error *err);
  // Point to point; `peer` is a global rank. A send does not wait for the receiver.
  xlm_status (*send)(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, const void *data, size_t bytes,
                     xlm_error *err);
  xlm_status (*recv)(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, void *data, size_t bytes,
                     xlm_error *err);
} xlm_link_kind;

struct xlm_link { // the common initial part of every link
  const xlm_link_kind *kind;
  const char *how; // it moves data, for the user: "NCCL 2.28.9"; NULL: the control plane does
  xlm_mesh mesh;
  int64_t rank;
  int32_t coord[XLM_MAX_AXES];
};

XLM_C_END

#endif
