// recv: what send sent. Without a link nothing arrives: zeros.
#include "ops/cuda/cuda.h"
#include "runtime/device/message.h"

XLM_CUDA_RUN(recv) {
  size_t bytes = xlm_type_bytes(c->out_type[0], c->dims);
  if (!c->link) return xlm_cuda_clear(c, c->out[0], bytes);
  return c->link->kind->recv(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->out[0], bytes,
                             c->err);
}
