// Reference kernels over a set of dims: visit every index of the other dims and, for each, every index of
// `over`.
//
// A ragged pair [experts, routed] is a single packed dimension of rows; `over` does not include it, so it is
// walked as such.
#ifndef XLM_OPS_REF_OVER_PRIV_H
#define XLM_OPS_REF_OVER_PRIV_H

#include "ops/ref/ref_priv.h"

static inline int ref_over_dims(const xlm_call *c, const xlm_type *t, bool over, xlm_dim *dims) {
  int n = 0;
  for (int i = 0; i < t->rank; i++) {
    bool packed = i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged;
    if (!packed && xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, t->dim[i]) == over) dims[n++] = t->dim[i];
  }
  return n;
}

static inline ref_walk ref_over_outer(const xlm_call *c, const xlm_type *t) { // the remaining dims
  xlm_dim dims[XLM_MAX_RANK];
  int n = ref_over_dims(c, t, false, dims);
  return ref_walk_over(c, dims, n);
}

static inline ref_walk ref_over_inner(const xlm_call *c, const xlm_type *t) { // the dims of `over`
  xlm_dim dims[XLM_MAX_RANK];
  int n = ref_over_dims(c, t, true, dims);
  return ref_walk_over(c, dims, n);
}

// Element offset in t at an index of each walk (inner may be NULL); dims that t lacks are ignored.
static inline int64_t ref_over_at(const xlm_call *c, const xlm_type *t, const ref_walk *outer,
                                  const ref_walk *inner) {
  int64_t at = 0;
  for (int i = 0; i < t->rank; i++) {
    bool packed = i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged;
    int64_t index = ref_walk_index(outer, t->dim[i]) + (inner ? ref_walk_index(inner, t->dim[i]) : 0);
    if (!packed) at = at * xlm_call_size(c, t, i) + index;
  }
  return at;
}

#endif
