// concat in float64 (or i32), element by element.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_status run(const xlm_call *c) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&c->instr->attrs, XLM_A_from, from);
  xlm_attr_dims(&c->instr->attrs, XLM_A_to, to);
  size_t elem = xlm_dtype_bytes(c->out_type[0]->dtype);
  int64_t start = 0;
  for (int k = 0; k < n; k++) {
    ref_walk w = ref_walk_type(c, c->in_type[k]), at = ref_walk_type(c, c->out_type[0]);
    while (ref_walk_next(&w)) {
      for (int i = 0; i < w.n; i++) ref_walk_set(&at, w.dim[i], w.index[i]);
      ref_walk_set(&at, to[0], ref_walk_index(&w, from[k]) + start);
      memcpy((char *)c->out[0] + (size_t)ref_at(c, c->out_type[0], &at) * elem,
             (char *)c->in[k] + (size_t)ref_at(c, c->in_type[k], &w) * elem, elem);
    }
    start += c->dims[from[k]].size;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_concat = {.op = XLM_OP_CONCAT, .run = run};
