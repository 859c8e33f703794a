// permute in float64, element by element. Ragged rows and their owner count as one dimension, since both
// orders keep them together.
#include "ops/ref/ref_priv.h"

static ref_walk stored(const xlm_call *c,
                       const xlm_type *t) { // a walk over stored elements: packed owners have one index
  ref_walk w = ref_walk_over(c, t->dim, t->rank);
  for (int i = 0; i + 1 < t->rank; i++)
    if (c->dims[t->dim[i + 1]].ragged) w.size[i] = 1;
  return w;
}

static int64_t place(const ref_walk *out, const xlm_type *t, const ref_walk *sizes) { // in t's storage
  int64_t at = 0;
  for (int i = 0; i < t->rank; i++) at = at * sizes->size[i] + ref_walk_index(out, t->dim[i]);
  return at;
}

static xlm_status run(const xlm_call *c) {
  ref_walk w = stored(c, c->out_type[0]), in = stored(c, c->in_type[0]);
  bool wide = c->in_type[0]->dtype == XLM_F64; // else i32
  for (int64_t i = 0; ref_walk_next(&w); i++) {
    int64_t at = place(&w, c->in_type[0], &in);
    if (wide)
      ref_out(c, 0)[i] = ref_in(c, 0)[at];
    else
      ((int32_t *)c->out[0])[i] = ((const int32_t *)c->in[0])[at];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_permute = {.op = XLM_OP_PERMUTE, .run = run};
