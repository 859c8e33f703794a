// recv on the CPU. Without a comm nothing arrives: zeros.
#include "ops/cpu/communicate/message_priv.h"

static void run(const xlm_call *c) {
  size_t bytes = xlm_type_bytes(c->out_type[0], c->dims);
  if (!c->comm) memset(c->out[0], 0, bytes);
  if (!c->comm || collect_failed(c)) return;
  (void)c->comm->backend->recv(c->comm, message_peer(c), message_tag(c), c->out[0], bytes); // comm->err tells
}

const xlm_kernel XLM_KERNEL(recv) = {.op = "recv", .run = run};
