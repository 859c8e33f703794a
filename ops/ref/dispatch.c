// dispatch in float64: copies the token's row of every choice to its position in the packed order.
#include <string.h>

#include "ops/ref/moe_priv.h"

static void write_offsets(const xlm_call *c) { // offsets[i + 1] = rows of experts 0 .. i
  const xlm_dim_info *experts = &c->dims[c->out_type[0]->dim[0]];
  int64_t n = xlm_call_elements(c, c->in_type[1]);
  for (int64_t i = 0; i <= experts->size; i++) {
    int32_t begin = 0;
    for (int64_t k = 0; k < n; k++) {
      int64_t e = ((const int32_t *)c->in[1])[k] - experts->offset;
      begin += e >= 0 && e < i && e < experts->size;
    }
    ((int32_t *)c->out[1])[i] = begin;
  }
}

static xlm_status run(const xlm_call *c) {
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  write_offsets(c);
  ref_walk choice = ref_moe_choices(c, 1);
  while (ref_walk_next(&choice)) {
    int64_t row = ref_moe_row(c, 1, &choice);
    if (row < 0) continue;
    ref_walk rest = ref_moe_rest(c, c->out_type[0]);
    for (int64_t r = row * xlm_call_inner(c, c->out_type[0], 1); ref_walk_next(&rest); r++)
      ref_out(c, 0)[r] = ref_in(c, 0)[ref_moe_at(c, c->in_type[0], &choice, &rest)];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_dispatch = {.op = XLM_OP_DISPATCH, .run = run};

static xlm_status run_bwd(const xlm_call *c) {
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  ref_walk choice = ref_moe_choices(c, 1);
  while (ref_walk_next(&choice)) {
    int64_t row = ref_moe_row(c, 1, &choice);
    if (row < 0) continue;
    ref_walk rest = ref_moe_rest(c, c->in_type[0]);
    for (int64_t r = row * xlm_call_inner(c, c->in_type[0], 1); ref_walk_next(&rest); r++)
      ref_out(c, 0)[ref_moe_at(c, c->out_type[0], &choice, &rest)] += ref_in(c, 0)[r];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_dispatch_bwd = {.op = XLM_OP_DISPATCH_BWD, .run = run_bwd};
