// Included by every reference kernel file: plain loops over doubles, one exported xlm_ref_<op> per op.
//
// All floating-point tensors of a reference graph are f64, all integer ones i32. ref_walk visits every index
// of a set of dimensions in order; ref_at maps such an index to an operand's element, whatever its storage
// order, broadcasting dims it lacks.
#ifndef XLM_OPS_REF_REF_PRIV_H
#define XLM_OPS_REF_REF_PRIV_H

#include "runtime/device/kernel.h"

#define XLM_FORM_kernel(name) extern const xlm_kernel xlm_ref_##name;
#define XLM_FORM_leaf(name)
#define XLM_FORM_view(name)
#define XLM_FORM_fn(name)
#define XLM_FORM_composite(name)
#define XLM_OP(name, NAME, room, form) XLM_FORM_##form(name)
#include "ops/ops.def"
#undef XLM_OP
#undef XLM_FORM_kernel
#undef XLM_FORM_leaf
#undef XLM_FORM_view
#undef XLM_FORM_fn
#undef XLM_FORM_composite

enum { REF_MAX = 16 };

typedef struct ref_walk { // odometer over n dims; start with ref_walk_over/ref_walk_type, loop while
                          // (ref_walk_next(&w))
  int n;
  xlm_dim dim[REF_MAX];
  int64_t size[REF_MAX], index[REF_MAX];
  bool started;
} ref_walk;

ref_walk ref_walk_over(const xlm_call *c, const xlm_dim *dims, int n);
ref_walk ref_walk_type(const xlm_call *c, const xlm_type *t);                    // not for ragged types
ref_walk ref_walk_union(const xlm_call *c, const xlm_type *const *types, int n); // dims of all types, without
                                                                                 // duplicates
bool ref_walk_next(ref_walk *w);
int64_t ref_walk_index(const ref_walk *w, xlm_dim d); // 0 when d is not in the walk
void ref_walk_set(ref_walk *w, xlm_dim d, int64_t index);
int64_t ref_at(const xlm_call *c, const xlm_type *t, const ref_walk *w); // element offset in t's storage

// Of operand i, a cache along `past`: the row of this place.
static inline int64_t ref_at_place(const xlm_call *c, int i, const ref_walk *w, xlm_dim past, int64_t place) {
  ref_walk x = *w;
  x.dim[x.n] = past, x.size[x.n] = c->dims[past].size, x.index[x.n++] = place % c->dims[past].size;
  return ref_at(c, c->in_type[i], &x);
}

static inline const double *ref_in(const xlm_call *c, int i) {
  return c->in[i];
}
static inline double *ref_out(const xlm_call *c, int i) {
  return c->out[i];
}

#endif
