// slice and pad on the CPU: the common part is one strided copy; pad zeroes the rest.
#include "ops/cpu/copy_priv.h"

static int64_t start_of(const xlm_call *c) {
  return xlm_attr_int(&c->instr->attrs, XLM_A_start, 0);
}

static xlm_status run(const xlm_call *c) {
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  xlm_copy copy = xlm_copy_between(c, c->in_type[0], c->out_type[0], from, to);
  int64_t skip = start_of(c) * xlm_call_stride(c, c->in_type[0], from) * (int64_t)copy.elem;
  xlm_copy_run(&copy, (const char *)c->in[0] + skip, c->out[0], xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(slice) = {.op = XLM_OP_SLICE, .run = run};

static xlm_status run_pad(const xlm_call *c) {
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  xlm_copy copy = xlm_copy_between(c, c->in_type[0], c->out_type[0], from, to);
  const xlm_type *out = c->out_type[0];
  int at = xlm_type_find(out, to);
  int64_t element = xlm_call_stride(c, out, to) * (int64_t)copy.elem; // bytes of one index of `to`
  int64_t rows = xlm_call_outer(c, out, at), row = c->dims[to].size * element;
  int64_t begin = start_of(c) * element, end = begin + c->dims[from].size * element;
  xlm_copy_zero(c->out[0], rows, row, 0, begin, xlm_cpu_pool(c));
  xlm_copy_zero(c->out[0], rows, row, end, row - end, xlm_cpu_pool(c));
  xlm_copy_run(&copy, c->in[0], (char *)c->out[0] + begin, xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(pad) = {.op = XLM_OP_PAD, .run = run_pad};
