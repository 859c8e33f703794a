// send and recv: one message of the link each. Without a link there is nobody to send to, and zeros arrive.
#include "ops/cuda/backend_priv.h"
#include "runtime/device/cuda/cuda.h"
#include "runtime/device/message.h"

xlm_status xlm_cuda_send(const xlm_call *c) {
  if (!c->link) return XLM_OK;
  size_t bytes = xlm_type_bytes(c->in_type[0], c->dims);
  return c->link->kind->send(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->in[0], bytes,
                             c->err);
}

static xlm_status clear(const xlm_call *c, size_t bytes) {
  if (!c->device) return memset(c->out[0], 0, bytes), XLM_OK; // called by hand
  xlm_cuda_device *d = xlm_cuda_device_of(c->device);
  return xlm_cuda_check(d->runtime, d->runtime->fill(c->out[0], 0, bytes, d->queue[c->queue]),
                        "clearing memory", c->err);
}

xlm_status xlm_cuda_recv(const xlm_call *c) {
  size_t bytes = xlm_type_bytes(c->out_type[0], c->dims);
  if (!c->link) return clear(c, bytes);
  return c->link->kind->recv(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->out[0], bytes,
                             c->err);
}
