// shift in float64 (or i32), element by element.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim seq[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_seq, seq);
  int64_t by = xlm_attr_int(&c->instr->attrs, XLM_A_start, 1), n = c->dims[seq[0]].size;
  size_t elem = xlm_dtype_bytes(c->out_type[0]->dtype);
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  ref_walk w = ref_walk_type(c, c->out_type[0]);
  while (ref_walk_next(&w)) {
    double from = (double)ref_walk_index(&w, seq[0]) - (double)by;
    if (from < 0 || from >= (double)n) continue;
    ref_walk at = w;
    ref_walk_set(&at, seq[0], (int64_t)from);
    memcpy((char *)c->out[0] + (size_t)ref_at(c, c->out_type[0], &w) * elem,
           (char *)c->in[0] + (size_t)ref_at(c, c->in_type[0], &at) * elem, elem);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_shift = {.op = XLM_OP_SHIFT, .run = run};
