// `update`: the next values of states, and of parameters as functions of themselves.
#include "compiler/elaborate/elaborate_priv.h"

static bool same_dims(const xlm_type *a, const xlm_type *b) {
  for (int i = 0; i < a->rank; i++)
    if (xlm_type_find(b, a->dim[i]) < 0) return false;
  return a->rank == b->rank;
}

static bool bad_update(xlm_el *e, xlm_span at, xlm_span label, const char *what, const char *name) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UPDATE, at, what, name);
  xlm_diag_label(e->diags, g, label, "here");
  return true;
}

// The first value that v is computed from and that is neither a constant nor the parameter; 0: there is none.
static xlm_val reads_other(xlm_el *e, xlm_val v, xlm_val param) {
  const xlm_graph *g = e->g;
  bool *needed = XLM_NEW_N(e->arena, bool, g->n_values);
  needed[v] = true;
  for (xlm_val at = v; at > 0; at--) {
    if (!needed[at] || at == param) continue;
    const xlm_node_info *n = xlm_val_node(g, at);
    bool data = xlm_op_is_leaf(n->op) && !xlm_node_is(n, XLM_LEAF_CONSTANT);
    if (data || xlm_op_at(n->op)->flags & XLM_OPF_RANDOM) return at;
    for (int i = 0; i < n->n_in; i++) needed[n->in[i]] = true;
  }
  return 0;
}

// The update of a parameter is evaluated after the optimizer's step, for the whole model at once.
static bool is_of_itself(xlm_el *e, const xlm_stmt *s, xlm_val v, const xlm_el_symbol *sym) {
  if (sym->kind == XLM_SYM_STATE) return true;
  xlm_val other = reads_other(e, v, sym->value.val);
  if (!other) return true;
  const char *name = xlm_val_at(e->g, other)->name;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UPDATE, s->expr->span,
                              "the next value of the parameter `%s` depends on %s%s%s", sym->name,
                              name ? "`" : "", name ? name : "something random", name ? "`" : "");
  xlm_diag_help(
      e->diags, g,
      "it is a function of the parameter's value after the optimizer's step alone; what depends on data "
      "or other tensors is kept in a `state`");
  return false;
}

bool xlm_el_update(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_el_symbol *sym = xlm_el_find(f, s->name->text);
  bool wide = e->wide;
  e->wide |= sym && sym->kind == XLM_SYM_PARAM;
  xlm_el_value v = xlm_el_one(e, f, s->expr);
  e->wide = wide;
  if (!sym || (sym->kind != XLM_SYM_STATE && sym->kind != XLM_SYM_PARAM)) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UPDATE, s->name->span, "`%s` is no state and no parameter",
                                s->name->text);
    xlm_diag_help(e->diags, g, "declare it: state %s[..] ~ zeros", s->name->text);
    return true;
  }
  if (v.kind == XLM_EL_NUMBER)
    xlm_diag_push(e->diags, XLM_E_NOT_TENSOR, s->expr->span, "a state's next value is a tensor");
  if (v.kind != XLM_EL_TENSOR || sym->value.kind != XLM_EL_TENSOR) return true;
  for (uint32_t i = 0; i < e->n_pending; i++) {
    if (e->pending[i].state != sym->value.val) continue;
    bool again = e->reuse && sym->kind == XLM_SYM_PARAM && e->pending[i].span.begin == s->name->span.begin;
    return again || // in a later round of a shared repeat: the same function
           bad_update(e, s->name->span, e->pending[i].span, "`%s` is updated twice in one step", sym->name);
  }
  if (!is_of_itself(e, s, v.val, sym)) return true;
  if (!same_dims(xlm_val_type(e->g, sym->value.val), xlm_val_type(e->g, v.val))) {
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_DIM_MISMATCH, s->expr->span, "`%s` is %s, and its next value %s",
                      sym->name, xlm_el_type_text(e, sym->value.val), xlm_el_type_text(e, v.val));
    xlm_diag_label(e->diags, g, sym->span, "declared here");
    return true;
  }
  XLM_PUSH(e->arena, e->pending, e->n_pending, e->cap_pending,
           ((xlm_el_pending){sym->value.val, xlm_el_cast(e, v, true), sym->name, s->name->span}));
  return true;
}

// Listed, not emitted: differentiate puts them after the backward pass. Evaluation does not update states.
void xlm_el_flush_updates(xlm_el *e) {
  for (uint32_t i = 0; e->set->training && i < e->n_pending; i++) {
    const xlm_el_pending *p = &e->pending[i];
    e->b.span = p->span;
    xlm_type like = *xlm_val_type(e->g, p->state);
    xlm_graph_update(e->g, p->state, xlm_order_to(&e->b, p->val, &like));
  }
}
