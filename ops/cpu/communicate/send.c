// send on the CPU. Without a comm there is nobody to send to.
#include "ops/cpu/communicate/message_priv.h"

static void run(const xlm_call *c) {
  if (!c->comm || collect_failed(c)) return;
  size_t bytes = xlm_type_bytes(c->in_type[0], c->dims);
  (void)c->comm->backend->send(c->comm, message_peer(c), message_tag(c), c->in[0], bytes); // comm->err tells
}

const xlm_kernel XLM_KERNEL(send) = {.op = "send", .run = run};
