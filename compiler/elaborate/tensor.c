// param and state: leaves of the graph. Inputs, the third kind of leaf, are in input.c.
#include <inttypes.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "runtime/plan/plan.h"

// --- the symbol

static void taken(xlm_el *e, const xlm_stmt *s, xlm_span first) {
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_REDEFINED, s->name->span, "`%s` is defined already", s->name->text);
  xlm_diag_label(e->diags, g, first, "first defined here");
  xlm_diag_help(e->diags, g, "give one of the two another name");
}

static bool is_free(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  const xlm_el_symbol *old = xlm_el_find(f, s->name->text);
  bool here = xlm_dict_get(&f->symbols, s->name->text) != NULL;
  bool declared = old && old->kind == XLM_SYM_DECL && !xlm_el_is_used_file(e, s->name->span);
  if (!old || (!here && !declared)) return true;
  taken(e, s, old->span);
  return false;
}

// --- params and states

static xlm_el_param *existing(xlm_el *e, const xlm_stmt *s, const char *path) {
  xlm_el_param *p = xlm_dict_get(&e->params, path);
  if (!p) return NULL;
  if (e->reuse && p->stmt == s && p->epoch != e->epoch) return p;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_PARAM_TWICE, s->name->span, "there are two parameters `%s`", path);
  if (p->span.begin != s->name->span.begin)
    xlm_diag_label(e->diags, g, p->span, "the first is declared here");
  xlm_diag_help(e->diags, g, "give the repeats index names (repeat .. as i), or the parameter another name");
  return p;
}

xlm_val xlm_el_leaf(xlm_el *e, xlm_op_id op, const char *path, const xlm_el_shape *shape, const xlm_stmt *s,
                    xlm_attr_list *attrs) {
  xlm_attr_put_text(attrs, XLM_A_name, path);
  xlm_attr_put_dims(attrs, XLM_A_dims, shape->dim, shape->n);
  xlm_attr split = xlm_el_shard_local(e, s->tensor.dims, shape);
  if (split.n) xlm_attr_put(attrs, split);
  xlm_el_value v = xlm_el_emit(e, op, NULL, 0, attrs, s->name->span);
  if (v.kind != XLM_EL_TENSOR) return 0;
  xlm_val_at(e->g, v.val)->name = path;
  return v.val;
}

static xlm_el_value weight(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  bool is_param = s->kind == XLM_STMT_PARAM;
  const char *path = xlm_el_join(e, f->path, s->name->text);
  xlm_el_param *p = existing(e, s, path);
  xlm_el_shape shape;
  bool ok = xlm_el_dim_list(e, f, s->tensor.dims, false, s->span, &shape);
  xlm_init init;
  ok = ok && xlm_el_initializer(e, f, s->expr, &shape, &init);
  if (p) p->epoch = e->epoch;
  if (!ok) return xlm_el_bad();
  if (!p) {
    xlm_attr_list attrs = xlm_attr_list_new(e->arena);
    xlm_attr_put_enum(&attrs, XLM_A_dtype, xlm_el_wide(e));
    xlm_attr_put(&attrs, (xlm_attr){.key = XLM_A_init, .init = init});
    xlm_val val = xlm_el_leaf(e, is_param ? XLM_OP_PARAM : XLM_OP_STATE, path, &shape, s, &attrs);
    if (!val) return xlm_el_bad();
    p = XLM_NEW(e->arena, xlm_el_param);
    *p = (xlm_el_param){.path = path, .val = val, .span = s->name->span, .stmt = s, .epoch = e->epoch};
    xlm_dict_put(e->arena, &e->params, path, p);
  }
  xlm_el_value v = xlm_el_tensor(p->val);
  v.param = true;
  return v;
}

void xlm_el_declare_tensor(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  static const xlm_el_symbol_kind kinds[XLM_STMT_KINDS] = {
      [XLM_STMT_PARAM] = XLM_SYM_PARAM, [XLM_STMT_STATE] = XLM_SYM_STATE, [XLM_STMT_INPUT] = XLM_SYM_INPUT};
  if (!is_free(e, f, s)) return;
  xlm_node first = e->g->n_nodes;
  xlm_el_value v = s->kind == XLM_STMT_INPUT ? xlm_el_input(e, f, s) : weight(e, f, s);
  xlm_el_symbol *sym = xlm_el_define(e, f, kinds[s->kind], s->name->text, s->name->span);
  sym->value = v;
  xlm_el_saw(e, f, s->name->span, &v, first);
  if (sym->use) sym->use->made = true;
}
