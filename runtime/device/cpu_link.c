// The link of the CPU. The arena is host memory and kernels run on host threads, so every call is one of the
// control plane, complete on return.
#include "runtime/device/cpu.h"

#include <string.h>

static xlm_comm *comm_of(xlm_link *l) {
  return ((xlm_cpu_link *)l)->comm;
}

static xlm_status result(const xlm_comm *c, xlm_status s, xlm_error *err) {
  if (s != XLM_OK && err) *err = c->err;
  return s;
}

static xlm_status exchange(xlm_link *l, xlm_queue queue, uint32_t axes, const void *const *out,
                           const size_t *out_bytes, void *const *in, const size_t *in_bytes, xlm_error *err) {
  xlm_comm *c = comm_of(l);
  (void)queue;
  return result(c, c->backend->all_to_all(c, axes, out, out_bytes, in, in_bytes), err);
}

static xlm_status gather(xlm_link *l, xlm_queue queue, uint32_t axes, const void *mine, void *const *in,
                         const size_t *bytes, xlm_error *err) {
  xlm_comm *c = comm_of(l);
  (void)queue;
  return result(c, c->backend->all_gather(c, axes, mine, in, bytes), err);
}

static xlm_status send(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, const void *data,
                       size_t bytes, xlm_error *err) {
  xlm_comm *c = comm_of(l);
  (void)queue;
  return result(c, c->backend->send(c, peer, tag, data, bytes), err);
}

static xlm_status recv(xlm_link *l, xlm_queue queue, int64_t peer, int32_t tag, void *data, size_t bytes,
                       xlm_error *err) {
  xlm_comm *c = comm_of(l);
  (void)queue;
  return result(c, c->backend->recv(c, peer, tag, data, bytes), err);
}

void xlm_cpu_link_init(xlm_cpu_link *l, xlm_comm *c) {
  static const xlm_link_kind kind = {exchange, gather, send, recv};
  *l = (xlm_cpu_link){.link = {.kind = &kind, .mesh = c->mesh, .rank = c->rank}, .comm = c};
  memcpy(l->link.coord, c->coord, sizeof l->link.coord);
}
