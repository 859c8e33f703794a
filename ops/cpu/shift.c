// shift on the CPU: zeros at one end, one strided copy of the rest.
#include "ops/cpu/copy_priv.h"

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->out_type[0];
  xlm_dim seq[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_seq, seq);
  int at = xlm_type_find(t, seq[0]);
  xlm_copy copy = xlm_copy_between(c, t, t, 0, 0);
  int64_t by = xlm_attr_int(&c->instr->attrs, XLM_A_start, 1), n = c->dims[seq[0]].size;
  if (by > n) by = n;
  if (by < -n) by = -n;
  int64_t element = xlm_call_stride(c, t, seq[0]) * (int64_t)copy.elem, rows = xlm_call_outer(c, t, at);
  int64_t gap = (by < 0 ? -by : by) * element;
  copy.size[at] = n - (by < 0 ? -by : by); // shift is not defined on ragged dims, so positions agree
  xlm_copy_zero(c->out[0], rows, n * element, by < 0 ? n * element - gap : 0, gap, xlm_cpu_pool(c));
  xlm_copy_run(&copy, (const char *)c->in[0] + (by < 0 ? gap : 0), (char *)c->out[0] + (by > 0 ? gap : 0),
               xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(shift) = {.op = XLM_OP_SHIFT, .run = run};
