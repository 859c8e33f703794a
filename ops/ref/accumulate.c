// accumulate, the reference.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  bool store = xlm_attr_int(&c->instr->attrs, XLM_A_store, 0);
  for (int64_t i = 0; i < xlm_call_elements(c, c->out_type[0]); i++)
    ref_out(c, 0)[i] = (store ? 0 : ref_in(c, 0)[i]) + ref_in(c, 1)[i];
  return XLM_OK;
}

const xlm_kernel xlm_ref_accumulate = {.op = XLM_OP_ACCUMULATE, .run = run};
