// recv on the CPU. Without a link the result is zero.
#include "ops/cpu/kernel_priv.h"
#include "runtime/device/message.h"

static xlm_status run(const xlm_call *c) {
  size_t bytes = xlm_type_bytes(c->out_type[0], c->dims);
  if (c->link)
    return c->link->kind->recv(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->out[0], bytes,
                               c->err);
  memset(c->out[0], 0, bytes);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(recv) = {.op = XLM_OP_RECV, .run = run};
