// send: to the rank with this one's coordinates in another pipeline stage. Without a link there is nobody to
// send to.
#include "ops/cuda/cuda.h"
#include "runtime/device/message.h"

XLM_CUDA_RUN(send) {
  if (!c->link) return XLM_OK;
  size_t bytes = xlm_type_bytes(c->in_type[0], c->dims);
  return c->link->kind->send(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->in[0], bytes,
                             c->err);
}
