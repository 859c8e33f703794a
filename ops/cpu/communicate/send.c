// send on the CPU. Without a link it does nothing.
#include "ops/cpu/kernel_priv.h"
#include "runtime/device/message.h"

static xlm_status run(const xlm_call *c) {
  if (!c->link) return XLM_OK;
  size_t bytes = xlm_type_bytes(c->in_type[0], c->dims);
  return c->link->kind->send(c->link, c->queue, xlm_message_peer(c), xlm_message_tag(c), c->in[0], bytes,
                             c->err);
}

const xlm_kernel XLM_KERNEL(send) = {.op = XLM_OP_SEND, .run = run};
