// row_ones, the reference.
#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  int64_t n = xlm_call_elements(c, c->out_type[0]);
  for (int64_t i = 0; i < n; i++) ref_out(c, 0)[i] = 1;
  return XLM_OK;
}

const xlm_kernel xlm_ref_row_ones = {.op = XLM_OP_ROW_ONES, .run = run};
