// Records of what places of the text stand for (xlm_seen), for editors.
#include "compiler/elaborate/elaborate_priv.h"

void xlm_el_saw(xlm_el *e, const xlm_el_frame *f, xlm_span span, const xlm_el_value *v, xlm_node first) {
  xlm_seen_list *list = e->set->seen;
  for (int i = 0; list && v->kind == XLM_EL_TUPLE && i < v->n; i++) // the nodes count once
    xlm_el_saw(e, f, span, &v->item[i], i ? e->g->n_nodes : first);
  if (!list || span.begin >= span.end || (v->kind != XLM_EL_TENSOR && v->kind != XLM_EL_NUMBER)) return;
  xlm_seen r = {.span = span, .path = f->path, .first = first, .end = e->g->n_nodes};
  if (v->kind == XLM_EL_TENSOR)
    r.val = v->val;
  else
    r.integer = v->num.integer, r.number = v->num.v;
  if (r.end < r.first) r.end = r.first; // nodes that were only checked are removed again
  XLM_PUSH(e->arena, list->at, list->n, list->cap, r);
}
