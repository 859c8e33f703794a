// broadcast, in float64.
#include "ops/ref/over_priv.h"

static xlm_status run(const xlm_call *c) {
  ref_walk w = ref_over_outer(c, c->out_type[0]); // no `over`: all dims
  while (ref_walk_next(&w))
    ref_out(c, 0)[ref_over_at(c, c->out_type[0], &w, NULL)] =
        ref_in(c, 0)[ref_over_at(c, c->in_type[0], &w, NULL)];
  return XLM_OK;
}

const xlm_kernel xlm_ref_broadcast = {.op = XLM_OP_BROADCAST, .run = run};
