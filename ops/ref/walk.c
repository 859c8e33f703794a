// The odometer of the reference kernels; see ref_priv.h.
#include "ops/ref/ref_priv.h"

ref_walk ref_walk_over(const xlm_call *c, const xlm_dim *dims, int n) {
  ref_walk w = {.n = n};
  for (int i = 0; i < n; i++) w.dim[i] = dims[i], w.size[i] = c->dims[dims[i]].size;
  return w;
}

ref_walk ref_walk_type(const xlm_call *c, const xlm_type *t) { return ref_walk_over(c, t->dim, t->rank); }

ref_walk ref_walk_union(const xlm_call *c, const xlm_type *const *types, int n) {
  xlm_dim dims[REF_MAX];
  int count = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < types[i]->rank; j++) {
      bool seen = false;
      for (int k = 0; k < count; k++) seen |= dims[k] == types[i]->dim[j];
      XLM_ASSERT(seen || count < REF_MAX, "more than %d dims in one walk", REF_MAX);
      if (!seen) dims[count++] = types[i]->dim[j];
    }
  return ref_walk_over(c, dims, count);
}

bool ref_walk_next(ref_walk *w) {
  if (!w->started) {
    w->started = true;
    for (int i = 0; i < w->n; i++)
      if (w->size[i] <= 0) return false;
    return true;
  }
  for (int i = w->n - 1; i >= 0; i--) {
    if (++w->index[i] < w->size[i]) return true;
    w->index[i] = 0;
  }
  return false;
}

int64_t ref_walk_index(const ref_walk *w, xlm_dim d) {
  for (int i = 0; i < w->n; i++)
    if (w->dim[i] == d) return w->index[i];
  return 0;
}

void ref_walk_set(ref_walk *w, xlm_dim d, int64_t index) {
  for (int i = 0; i < w->n; i++)
    if (w->dim[i] == d) w->index[i] = index;
}

int64_t ref_at(const xlm_call *c, const xlm_type *t, const ref_walk *w) {
  int64_t at = 0;
  for (int i = 0; i < t->rank; i++) at = at * xlm_call_size(c, t, i) + ref_walk_index(w, t->dim[i]);
  return at;
}
