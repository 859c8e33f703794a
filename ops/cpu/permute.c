// permute on the CPU: one strided copy (ops/cpu/copy.c), tiled where the innermost dimension changes.
#include "ops/cpu/copy_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_copy copy = xlm_copy_between(c, c->in_type[0], c->out_type[0], 0, 0);
  xlm_copy_run(&copy, c->in[0], c->out[0], xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(permute) = {.op = XLM_OP_PERMUTE, .run = run};
