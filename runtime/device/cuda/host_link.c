// The link through host memory; see cuda.h. A call waits for its queue until the data to send is on the host,
// and enqueues the copies of the received data, so these are ordered with the queue's other work.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/cuda/cuda.h"

static xlm_cuda_host_link *of(xlm_link *l) {
  return (xlm_cuda_host_link *)l;
}

static xlm_status check(const xlm_cuda_host_link *l, int rc, xlm_error *err) {
  return xlm_cuda_check(l->device->runtime, rc, "communicating through the host", err);
}

static xlm_status result(const xlm_cuda_host_link *l, xlm_status s, xlm_error *err) {
  if (s != XLM_OK && err) *err = l->comm->err;
  return s;
}

// The queue is idle: nothing reads or writes the stage.
static xlm_status make_room(xlm_cuda_host_link *l, xlm_cuda_stage *s, size_t bytes, xlm_error *err) {
  const xlm_cuda_runtime *r = l->device->runtime;
  if (bytes <= s->room) return XLM_OK;
  if (s->at) XLM_TRY(check(l, r->free_pinned(s->at), err));
  *s = (xlm_cuda_stage){0};
  XLM_TRY(check(l, r->alloc_pinned((void **)&s->at, bytes), err));
  s->room = bytes;
  return XLM_OK;
}

static xlm_status finish(const xlm_cuda_host_link *l, xlm_queue queue, xlm_error *err) {
  return check(l, l->device->runtime->finish(l->device->queue[queue]), err);
}

static xlm_status copy(const xlm_cuda_host_link *l, xlm_queue queue, void *to, const void *from, size_t bytes,
                       xlm_cuda_way way, xlm_error *err) {
  return bytes ? check(l, l->device->runtime->copy(to, from, bytes, way, l->device->queue[queue]), err)
               : XLM_OK;
}

static size_t total(const size_t *bytes, int64_t n) {
  size_t sum = 0;
  for (int64_t k = 0; k < n; k++) sum += bytes[k];
  return sum;
}

// Reserves room for the data sent and received; leaves the queue idle.
static xlm_status start(xlm_cuda_host_link *l, xlm_queue queue, size_t out, size_t in, xlm_error *err) {
  XLM_TRY(finish(l, queue, err));
  XLM_TRY(make_room(l, &l->out[queue], out, err));
  return make_room(l, &l->in[queue], in, err);
}

static void place_in(xlm_cuda_host_link *l, xlm_queue queue, const size_t *bytes, int64_t n) {
  char *at = l->in[queue].at;
  for (int64_t k = 0; k < n; at += bytes[k++]) l->host_in[k] = at;
}

// The own part may stay where it is: then it is not written, since others may be reading it.
static xlm_status take_in(xlm_cuda_host_link *l, xlm_queue queue, void *const *in, const void *own,
                          const size_t *bytes, int64_t n, xlm_error *err) {
  for (int64_t k = 0; k < n; k++)
    if (in[k] != own) XLM_TRY(copy(l, queue, in[k], l->host_in[k], bytes[k], XLM_CUDA_TO_CARD, err));
  return XLM_OK;
}

static xlm_status exchange(xlm_link *base, xlm_queue queue, uint32_t axes, const void *const *out,
                           const size_t *out_bytes, void *const *in, const size_t *in_bytes, xlm_error *err) {
  xlm_cuda_host_link *l = of(base);
  int64_t n = xlm_mesh_group(&base->mesh, axes), me = xlm_mesh_member(&base->mesh, axes, base->coord);
  XLM_TRY(start(l, queue, total(out_bytes, n), total(in_bytes, n), err));
  char *at = l->out[queue].at;
  for (int64_t k = 0; k < n; at += out_bytes[k++]) {
    l->host_out[k] = at;
    XLM_TRY(copy(l, queue, at, out[k], out_bytes[k], XLM_CUDA_TO_HOST, err));
  }
  place_in(l, queue, in_bytes, n);
  XLM_TRY(finish(l, queue, err));
  xlm_status s = l->comm->backend->all_to_all(l->comm, axes, l->host_out, out_bytes, l->host_in, in_bytes);
  return s == XLM_OK ? take_in(l, queue, in, out[me], in_bytes, n, err) : result(l, s, err);
}

static xlm_status gather(xlm_link *base, xlm_queue queue, uint32_t axes, const void *mine, void *const *in,
                         const size_t *bytes, xlm_error *err) {
  xlm_cuda_host_link *l = of(base);
  int64_t n = xlm_mesh_group(&base->mesh, axes), me = xlm_mesh_member(&base->mesh, axes, base->coord);
  XLM_TRY(start(l, queue, bytes[me], total(bytes, n), err));
  XLM_TRY(copy(l, queue, l->out[queue].at, mine, bytes[me], XLM_CUDA_TO_HOST, err));
  place_in(l, queue, bytes, n);
  XLM_TRY(finish(l, queue, err));
  xlm_status s = l->comm->backend->all_gather(l->comm, axes, l->out[queue].at, l->host_in, bytes);
  return s == XLM_OK ? take_in(l, queue, in, mine, bytes, n, err) : result(l, s, err);
}

static xlm_status send(xlm_link *base, xlm_queue queue, int64_t peer, int32_t tag, const void *data,
                       size_t bytes, xlm_error *err) {
  xlm_cuda_host_link *l = of(base);
  XLM_TRY(start(l, queue, bytes, 0, err));
  XLM_TRY(copy(l, queue, l->out[queue].at, data, bytes, XLM_CUDA_TO_HOST, err));
  XLM_TRY(finish(l, queue, err));
  return result(l, l->comm->backend->send(l->comm, peer, tag, l->out[queue].at, bytes), err);
}

static xlm_status recv(xlm_link *base, xlm_queue queue, int64_t peer, int32_t tag, void *data, size_t bytes,
                       xlm_error *err) {
  xlm_cuda_host_link *l = of(base);
  XLM_TRY(start(l, queue, 0, bytes, err));
  xlm_status s = l->comm->backend->recv(l->comm, peer, tag, l->in[queue].at, bytes);
  return s == XLM_OK ? copy(l, queue, data, l->in[queue].at, bytes, XLM_CUDA_TO_CARD, err)
                     : result(l, s, err);
}

xlm_status xlm_cuda_host_link_open(xlm_cuda_host_link *l, xlm_cuda_device *d, xlm_comm *c, xlm_error *err) {
  static const xlm_link_kind kind = {exchange, gather, send, recv};
  *l =
      (xlm_cuda_host_link){.link = {.kind = &kind, .mesh = c->mesh, .rank = c->rank}, .comm = c, .device = d};
  memcpy(l->link.coord, c->coord, sizeof l->link.coord);
  l->host_out = (const void **)calloc((size_t)c->n_ranks + 1, sizeof *l->host_out);
  l->host_in = (void **)calloc((size_t)c->n_ranks + 1, sizeof *l->host_in);
  l->host_bytes = (size_t *)calloc((size_t)c->n_ranks + 1, sizeof *l->host_bytes);
  return l->host_out && l->host_in && l->host_bytes ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory for a device");
}

void xlm_cuda_host_link_close(xlm_cuda_host_link *l) {
  for (int q = 0; q < XLM_STREAMS; q++) {
    if (l->out[q].at) (void)l->device->runtime->free_pinned(l->out[q].at);
    if (l->in[q].at) (void)l->device->runtime->free_pinned(l->in[q].at);
  }
  free(l->host_out);
  free(l->host_in);
  free(l->host_bytes);
}

uint64_t xlm_cuda_host_link_bytes(const xlm_cuda_host_link *l) {
  uint64_t n = 0;
  for (int q = 0; q < XLM_STREAMS; q++) n += l->out[q].room + l->in[q].room;
  return n;
}
