// concat on the CPU: one strided copy per operand; operands may differ in storage order.
#include "ops/cpu/copy_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_from, from);
  xlm_attr_dims(&c->instr->attrs, XLM_A_to, to);
  char *dst = c->out[0];
  for (int i = 0; i < c->instr->n_in; i++) {
    xlm_copy copy = xlm_copy_between(c, c->in_type[i], c->out_type[0], from[i], to[0]);
    xlm_copy_run(&copy, c->in[i], dst, xlm_cpu_pool(c));
    dst += c->dims[from[i]].size * xlm_call_stride(c, c->out_type[0], to[0]) * (int64_t)copy.elem;
  }
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(concat) = {.op = XLM_OP_CONCAT, .run = run};
