// Shard rules. They are resolved here and checked against every tensor of the graph, so that an impossible
// layout is an error that names both rules, independent of the mesh.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

// --- the rules

static const xlm_shard_rule *rule_of(const xlm_graph *g, const char *dim) {
  for (uint32_t i = 0; i < g->n_rules; i++)
    if (!strcmp(g->rules[i].dim, dim)) return &g->rules[i];
  return NULL;
}

static bool dimension(const xlm_el *e, const xlm_el_symbol *s, const void *arg) {
  (void)e, (void)arg;
  return s->kind == XLM_SYM_DECL && s->decl->is_dim;
}

static bool known_dim(xlm_el *e, const xlm_ast_name *d) {
  const xlm_el_symbol *s = xlm_dict_get(&e->global.symbols, d->text);
  if ((s && dimension(e, s, NULL)) || !strcmp(d->text, "routed")) return true;
  const char *near = xlm_el_nearest(e, &e->global, d->text, dimension, NULL);
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_SHARD_UNKNOWN_DIM, d->span, "the model has no dimension `%s`", d->text);
  if (near) xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  return false;
}

static bool twice_sharded(xlm_el *e, const xlm_ast_name *d, const xlm_shard_rule *old) {
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_SHARD_TWICE, d->span, "dimension `%s` has two shard rules", d->text);
  xlm_diag_label(e->diags, g, old->span, "the first is here");
  xlm_diag_help(e->diags, g, "one rule may name several axes: shard %s over dp, ep", d->text);
  return false;
}

static bool read_axes(xlm_el *e, const xlm_ast_name *axes, xlm_shard_rule *r) {
  for (const xlm_ast_name *a = axes; a; a = a->next) {
    bool again = false;
    for (int i = 0; i < r->n_axes; i++) again |= !strcmp(r->axis[i], a->text);
    if (again || r->n_axes == XLM_MAX_AXES) {
      xlm_diag *g =
          again ? xlm_diag_push(e->diags, XLM_E_SHARD_AXIS, a->span, "axis `%s` appears twice in one rule",
                                a->text)
                : xlm_diag_push(e->diags, XLM_E_SHARD_AXIS, a->span, "a rule may name %d axes", XLM_MAX_AXES);
      xlm_diag_help(e->diags, g,
                    "name each axis once; the axes are pp, dp, ep, cp, tp or names of your own mesh");
      return false;
    }
    r->axis[r->n_axes++] = a->text;
  }
  return true;
}

static void read_rule(xlm_el *e, const xlm_stmt *s) {
  xlm_shard_rule r = {.where_free = s->shard.where_free, .span = s->span};
  if (!read_axes(e, s->shard.none ? NULL : s->shard.axes, &r)) return;
  for (const xlm_ast_name *d = s->shard.dims; d; d = d->next) {
    if (!known_dim(e, d)) continue;
    const xlm_shard_rule *old = rule_of(e->g, d->text);
    if (old && !twice_sharded(e, d, old)) continue;
    r.dim = d->text;
    XLM_PUSH(e->arena, e->g->rules, e->g->n_rules, e->g->cap_rules, r);
  }
}

void xlm_el_shard_rules(xlm_el *e) {
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next)
    if (s->kind == XLM_STMT_SHARD) read_rule(e, s);
}

// Generated dimensions (width_2) follow the rule of the name in the text.
void xlm_el_shard_minted(xlm_el *e) {
  for (xlm_dim d = 1; d < e->g->n_dims; d++) {
    const char *base = xlm_dict_get(&e->minted, e->g->dims[d].name);
    const xlm_shard_rule *rule = base ? rule_of(e->g, base) : NULL;
    if (!rule) continue;
    xlm_shard_rule r = *rule;
    r.dim = e->g->dims[d].name;
    XLM_PUSH(e->arena, e->g->rules, e->g->n_rules, e->g->cap_rules, r);
  }
}

xlm_attr xlm_el_shard_local(xlm_el *e, const xlm_ast_dim *dims, const xlm_el_shape *shape) {
  xlm_override *at = XLM_NEW_N(e->arena, xlm_override, shape->n);
  xlm_attr split = {.key = XLM_A_split, .split = at};
  int i = 0;
  for (const xlm_ast_dim *d = dims; d && i < shape->n; d = d->next, i++) {
    xlm_shard_rule r = {0};
    if (!d->over_set || !read_axes(e, d->over, &r)) continue;
    at[split.n] = (xlm_override){.dim = e->g->dims[shape->dim[i]].name, .n_axes = r.n_axes};
    memcpy(at[split.n++].axis, r.axis, sizeof r.axis);
  }
  return split;
}

// --- the check

// Generated dimensions (width_2) follow the rule of their name.
static const xlm_shard_rule *rule_for(const xlm_el *e, xlm_dim d, const xlm_shard_rule *const *by_dim) {
  if (by_dim[d]) return by_dim[d];
  const char *base = xlm_dict_get(&e->minted, e->g->dims[d].name);
  return base ? rule_of(e->g, base) : NULL;
}

// The axes written on the declaration, as a rule.
static bool find_local(const xlm_node_info *n, const char *dim, xlm_shard_rule *out) {
  const xlm_override *s = xlm_override_of(&n->attrs, dim);
  *out = (xlm_shard_rule){.span = n->span};
  if (!s) return false;
  out->n_axes = s->n_axes;
  memcpy(out->axis, s->axis, sizeof s->axis);
  return true;
}

static const char *shared_axis(const xlm_shard_rule *a, const xlm_shard_rule *b) {
  for (int i = 0; i < a->n_axes; i++)
    for (int k = 0; k < b->n_axes; k++)
      if (!strcmp(a->axis[i], b->axis[k])) return a->axis[i];
  return NULL;
}

static void conflict(xlm_el *e, const xlm_node_info *n, xlm_val v, xlm_dim a, const xlm_shard_rule *ra,
                     xlm_dim b, const xlm_shard_rule *rb, const char *axis) {
  const char *da = e->g->dims[a].name, *db = e->g->dims[b].name, *name = xlm_val_at(e->g, v)->name;
  const char *pair = xlm_arena_printf(e->arena, "%s %s %s", da, db, axis);
  if (xlm_dict_get(&e->named, pair)) return; // once per pair of rules, not per tensor
  xlm_dict_put(e->arena, &e->named, pair, (void *)n);
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_SHARD_CONFLICT, n->span, "`%s` and `%s` of %s%s%s are both split over %s",
                    da, db, name ? "`" : "one ", name ? name : "tensor", name ? "`" : "", axis);
  xlm_diag_primary(e->diags, g, "%s", xlm_el_type_text(e, v));
  xlm_diag_label(e->diags, g, ra->span, "the rule for `%s`", da);
  if (rb->span.begin != ra->span.begin) xlm_diag_label(e->diags, g, rb->span, "the rule for `%s`", db);
  xlm_diag_help(e->diags, g, "say which one gives way: shard %s over .. where free", db);
}

static void check_value(xlm_el *e, const xlm_node_info *n, xlm_val v, const xlm_shard_rule *const *by_dim) {
  const xlm_type *t = xlm_val_type(e->g, v);
  const xlm_shard_rule *rule[XLM_MAX_RANK];
  xlm_shard_rule own[XLM_MAX_RANK];
  for (int i = 0; i < t->rank; i++) {
    bool local = find_local(n, e->g->dims[t->dim[i]].name, &own[i]);
    rule[i] = local ? &own[i] : rule_for(e, t->dim[i], by_dim);
  }
  for (int i = 0; i < t->rank; i++)
    for (int k = i + 1; k < t->rank; k++) {
      if (!rule[i] || !rule[k] || rule[i]->where_free || rule[k]->where_free) continue;
      const char *axis = shared_axis(rule[i], rule[k]);
      if (axis) conflict(e, n, v, t->dim[i], rule[i], t->dim[k], rule[k], axis);
    }
}

void xlm_el_shard_check(xlm_el *e) {
  const xlm_shard_rule **by_dim = XLM_NEW_N(e->arena, const xlm_shard_rule *, e->g->n_dims);
  for (uint32_t d = 1; d < e->g->n_dims; d++) by_dim[d] = rule_of(e->g, e->g->dims[d].name);
  for (xlm_node n = 1; n < e->g->n_nodes; n++) {
    const xlm_node_info *info = xlm_node_at(e->g, n);
    for (int i = 0; i < info->n_out; i++) check_value(e, info, info->out + (xlm_val)i, by_dim);
  }
}
