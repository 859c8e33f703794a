// slice and pad in float64 (or i32), element by element.
#include <string.h>

#include "ops/ref/ref_priv.h"

// Copies short[.., i, ..] <-> long[.., start + i, ..] for every element of the short one.
static void copy(const xlm_call *c, const xlm_type *small, xlm_dim s, const xlm_type *large, xlm_dim l,
                 bool to_large) {
  int64_t start = xlm_attr_int(&c->instr->attrs, XLM_A_start, 0);
  size_t elem = xlm_dtype_bytes(small->dtype);
  ref_walk w = ref_walk_type(c, small), at = ref_walk_type(c, large);
  while (ref_walk_next(&w)) {
    for (int i = 0; i < w.n; i++) ref_walk_set(&at, w.dim[i], w.index[i]);
    ref_walk_set(&at, l, ref_walk_index(&w, s) + start);
    size_t i = (size_t)ref_at(c, small, &w) * elem, j = (size_t)ref_at(c, large, &at) * elem;
    if (to_large)
      memcpy((char *)c->out[0] + j, (char *)c->in[0] + i, elem);
    else
      memcpy((char *)c->out[0] + i, (char *)c->in[0] + j, elem);
  }
}

static xlm_status run(const xlm_call *c) {
  copy(c, c->out_type[0], xlm_call_dim(c, XLM_A_to, 0), c->in_type[0], xlm_call_dim(c, XLM_A_from, 0), false);
  return XLM_OK;
}

const xlm_kernel xlm_ref_slice = {.op = XLM_OP_SLICE, .run = run};

static xlm_status run_pad(const xlm_call *c) {
  memset(c->out[0], 0, xlm_type_bytes(c->out_type[0], c->dims));
  copy(c, c->in_type[0], xlm_call_dim(c, XLM_A_from, 0), c->out_type[0], xlm_call_dim(c, XLM_A_to, 0), true);
  return XLM_OK;
}

const xlm_kernel xlm_ref_pad = {.op = XLM_OP_PAD, .run = run_pad};
