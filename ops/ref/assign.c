// assign, the reference. Integer states are i32, too.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  memmove(c->out[0], c->in[1], xlm_type_bytes(c->in_type[1], c->dims));
  return XLM_OK;
}

const xlm_kernel xlm_ref_assign = {.op = XLM_OP_ASSIGN, .run = run};
