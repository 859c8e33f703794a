// Assignments: which name one changes, and values of tuples and of elements `k[i]`.
#include "compiler/elaborate/elaborate_priv.h"

bool xlm_el_not_assignable(xlm_el *e, const xlm_el_symbol *s, xlm_span at) {
  static const char *const what[] = {
      [XLM_SYM_DECL] = "a let",     [XLM_SYM_PARAM] = "a parameter", [XLM_SYM_STATE] = "a state",
      [XLM_SYM_INPUT] = "an input", [XLM_SYM_VALUE] = "a variable",  [XLM_SYM_ARRAY] = "a list of tensors"};
  bool is_dim = s->kind == XLM_SYM_DECL && s->decl->is_dim;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_ASSIGNABLE, at, "`%s` is %s and cannot be assigned here",
                              s->name, is_dim ? "a dimension" : what[s->kind]);
  xlm_diag_label(e->diags, g, s->span, "declared here");
  if (s->kind == XLM_SYM_STATE)
    xlm_diag_help(e->diags, g, "`update %s = ..` sets its value after the step", s->name);
  else if (s->kind == XLM_SYM_ARRAY)
    xlm_diag_help(e->diags, g, "give one element: %s[i] = ..", s->name);
  else
    xlm_diag_help(e->diags, g, "choose another name");
  return false;
}

// The symbol that an assignment to `name` changes, created if needed; NULL: reported.
static xlm_el_symbol *target(xlm_el *e, xlm_el_frame *f, xlm_el_symbol_kind kind, const char *name,
                             xlm_span at) {
  xlm_el_frame *home = xlm_el_home(f);
  for (xlm_el_frame *w = f; w; w = w->parent) {
    xlm_el_symbol *s = xlm_dict_get(&w->symbols, name);
    if (!s) continue;
    bool declared = s->kind == XLM_SYM_DECL && !xlm_el_is_used_file(e, at);
    bool hidden = w->kind == XLM_FRAME_GLOBAL && !declared && home->kind != XLM_FRAME_TOP;
    if (hidden) break; // variables of a block may hide names
    if (s->kind == kind) return s;
    xlm_el_not_assignable(e, s, at);
    return NULL;
  }
  return xlm_el_define(e, kind == XLM_SYM_ARRAY ? home : f, kind, name, at);
}

static void name_value(xlm_el *e, const xlm_el_frame *f, const char *name, const xlm_el_value *v) {
  if (v->kind != XLM_EL_TENSOR || xlm_val_at(e->g, v->val)->name) return;
  xlm_val_at(e->g, v->val)->name = xlm_el_join(e, f->path, name);
}

static void assign_element(xlm_el *e, xlm_el_frame *f, const xlm_expr *t, xlm_el_value v) {
  int64_t i;
  xlm_el_symbol *s = target(e, f, XLM_SYM_ARRAY, t->index.base->text, t->index.base->span);
  if (!s || !xlm_el_integer(e, f, t->index.index, "an index", &i)) return;
  name_value(e, f, s->name, &v);
  for (uint32_t k = 0; k < s->n_items; k++)
    if (s->items[k].index == i) {
      s->items[k].value = v;
      return;
    }
  XLM_PUSH(e->arena, s->items, s->n_items, s->cap_items, ((xlm_el_item){i, v}));
}

static void assign_one(xlm_el *e, xlm_el_frame *f, const xlm_expr *t, xlm_el_value v) {
  v.outs = 1;
  if (t->kind == XLM_EXPR_INDEX) {
    assign_element(e, f, t, v);
    return;
  }
  xlm_el_symbol *s = target(e, f, XLM_SYM_VALUE, t->name.text, t->span);
  if (!s) return;
  s->value = v;
  s->span = t->span;
  s->use = xlm_el_use_at(e, XLM_SYM_VALUE, s->name, t->span);
  name_value(e, f, s->name, &v);
}

static xlm_el_value part(const xlm_el_value *v, int i) {
  if (v->kind == XLM_EL_TUPLE) return v->item[i];
  return v->kind == XLM_EL_TENSOR ? xlm_el_tensor(v->val + (xlm_val)i) : xlm_el_bad();
}

bool xlm_el_assign(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  int n = 0, i = 0;
  xlm_node first = e->g->n_nodes;
  for (const xlm_expr *t = s->assign.targets; t; t = t->next) n++;
  xlm_el_value v = n == 1 ? xlm_el_one(e, f, s->expr) : xlm_el_eval(e, f, s->expr);
  int have = v.kind == XLM_EL_TUPLE ? v.n : v.kind == XLM_EL_TENSOR ? v.outs : 1;
  if (n > 1 && v.kind != XLM_EL_BAD && (have < n || (v.kind == XLM_EL_TUPLE && have != n))) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_TUPLE, s->expr->span, "%d names get values, and there %s %d",
                                n, have == 1 ? "is" : "are", have);
    xlm_diag_label(e->diags, g, s->assign.targets->span, "the names begin here");
    v = xlm_el_bad();
  }
  for (const xlm_expr *t = s->assign.targets; t; t = t->next, i++) {
    xlm_el_value one = n == 1 ? v : part(&v, i);
    assign_one(e, f, t, one);
    xlm_el_saw(e, f, t->kind == XLM_EXPR_INDEX ? t->index.base->span : t->span, &one, first);
  }
  return true;
}
