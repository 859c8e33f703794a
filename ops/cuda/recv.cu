// recv: what send sent. Without a link nothing arrives: zeros.
#include "ops/cuda/message_priv.h"

XLM_CUDA_RUN(recv) {
  size_t bytes = xlm_type_bytes(c->out_type[0], c->dims);
  if (!c->link) return xlm_cuda_clear(c, c->out[0], bytes);
  return c->link->kind->recv(c->link, c->queue, message_peer(c), message_tag(c), c->out[0], bytes, c->err);
}
