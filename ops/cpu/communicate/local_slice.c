// local_slice on the CPU: this rank's piece of a tensor that it has.
#include "ops/cpu/communicate/collect_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  collect_piece p = collect_piece_of(c, c->in_type[0], from, true);
  p = xlm_collect_mine(c, p, from, to);
  collect_pack(&p, c->in[0], 0, collect_count(&p), xlm_dtype_bytes(c->in_type[0]->dtype), c->out[0],
               xlm_cpu_pool(c));
  collect_clear_tail(c, c->out_type[0], c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(local_slice) = {.op = XLM_OP_LOCAL_SLICE, .run = run};
