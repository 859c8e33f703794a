// What a graph's values are made of, as the plan has it: the dims of all programs in one table, types,
// attributes, and the tensors themselves.
#include <string.h>

#include "compiler/diagnose/source.h"
#include "compiler/ir/op.h"
#include "compiler/planner/lower_priv.h"

uint32_t xlm_lower_line(const xlm_lower_context *w, xlm_span span) {
  if (!w->g->source || span.begin == span.end) return 0;
  return xlm_source_line(w->g->source, span.begin);
}

static bool same_dim(const xlm_dim_info *a, const xlm_dim_info *b) {
  return a->axes == b->axes && a->size == b->size && a->full == b->full && a->offset == b->offset &&
         a->tail == b->tail && a->tail_offset == b->tail_offset && a->mirrored == b->mirrored &&
         a->ragged == b->ragged && !strcmp(a->name, b->name);
}

void xlm_lower_dims(xlm_lower_context *w) {
  xlm_lowering *l = &w->l;
  w->dim_map = XLM_NEW_N(l->scratch, xlm_dim, w->g->n_dims);
  for (uint32_t i = 1; i < w->g->n_dims; i++) {
    uint32_t j = 1;
    while (j < l->n_dims && !same_dim(&l->dims[j], &w->g->dims[i])) j++;
    if (j >= l->n_dims) XLM_PUSH(l->scratch, l->dims, l->n_dims, l->cap_dims, w->g->dims[i]);
    w->dim_map[i] = j;
  }
}

xlm_type xlm_lower_type(const xlm_lower_context *w, const xlm_type *t) {
  xlm_type out = *t;
  for (int i = 0; i < t->rank; i++) out.dim[i] = w->dim_map[t->dim[i]];
  if (w->l.options.wide && xlm_dtype_is_float(out.dtype)) out.dtype = XLM_F64;
  return out;
}

static bool has_dims(const xlm_attrs *as) {
  for (int i = 0; i < as->n; i++)
    if (xlm_attr_kind_of(as->at[i].key) == XLM_ATTR_DIMS) return true;
  return false;
}

xlm_attrs xlm_lower_attrs(xlm_lower_context *w, const xlm_attrs *as) {
  if (!has_dims(as)) return *as; // the graph's attributes outlive the plan's construction
  xlm_attr *at = as->n ? XLM_NEW_N(w->l.arena, xlm_attr, as->n) : NULL;
  for (int i = 0; i < as->n; i++) {
    at[i] = as->at[i];
    if (xlm_attr_kind_of(at[i].key) != XLM_ATTR_DIMS) continue;
    for (uint32_t k = 0; k < at[i].n; k++) at[i].dims[k] = w->dim_map[at[i].dims[k]];
  }
  return (xlm_attrs){.n = as->n, .at = at};
}

uint32_t xlm_lower_tensor(xlm_lower_context *w, xlm_tensor t, xlm_lifetime life) {
  xlm_lowering *l = &w->l;
  t.bytes = xlm_type_bytes(&t.type, l->dims);
  XLM_PUSH(l->scratch, l->tensors, l->n_tensors, l->cap_tensors, t);
  XLM_PUSH(l->scratch, l->life, l->n_life, l->cap_life, life);
  uint32_t root = t.view_of ? l->root[t.view_of] : l->n_root;
  XLM_PUSH(l->scratch, l->root, l->n_root, l->cap_root, root);
  return l->n_tensors - 1;
}
