// Values of a step: sums over microbatches, and updates of the model's own states.
//
// The statement `update state = expr` is evaluated once per step, but expr uses values that exist once per
// microbatch (the experts' token counts, say). The expression is cut: data-dependent values that come from a
// non-elementwise operation are summed over the microbatches, and what lies above the cut is evaluated in the
// STEP phase on the sums. A reduction is above the cut, too, if its operand has no dimensions of the data, so
// that amax(count, over experts) is the maximum of the total count. Means over the data are averaged instead
// of summed.
//
// A metric that is a sum over samples is summed, and one that is a mean is averaged; a function of sums and
// means (`exp(cross_entropy(..))`, the load of experts) is cut in the same way, so that it equals its value
// for the whole batch. Any other metric, such as a maximum over samples, is averaged.
#include <string.h>

#include "compiler/pass/differentiate_priv.h"

void xlm_diff_name(xlm_differentiation *d, xlm_val v, const char *prefix, const char *name) {
  xlm_value *at = xlm_val_at(d->out, v);
  if (!at->name && v >= d->n_forward_values) at->name = xlm_arena_printf(d->out->arena, "%s%s", prefix, name);
}

xlm_val xlm_diff_widen(xlm_differentiation *d, xlm_val v) {
  xlm_dtype t = xlm_val_type(d->out, v)->dtype;
  return t == XLM_F64 ? v : xlm_cast_to(&d->b, v, XLM_F32);
}

xlm_val xlm_diff_scalar_input(xlm_differentiation *d, xlm_input_role role) {
  const char *name = xlm_enum_name(XLM_ENUM_INPUT_ROLE, role);
  xlm_attr_list l = xlm_attr_list_new(d->out->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  xlm_attr_put_enum(&l, XLM_A_feed, role);
  xlm_val v = xlm_emit(&d->b, XLM_OP_INPUT, NULL, 0, &l);
  xlm_val_at(d->out, v)->name = name;
  return v;
}

static xlm_val new_state(xlm_differentiation *d, const char *name, xlm_role role, xlm_val like) {
  xlm_type t = *xlm_val_type(d->out, like);
  return xlm_build_state(&d->b, name, role, &t, NULL);
}

static bool is_state(const xlm_graph *g, xlm_val v) {
  return xlm_op_is_state(xlm_val_node(g, v)->op);
}

xlm_val xlm_diff_carry(xlm_differentiation *d, const char *name, xlm_val v, double factor) {
  v = xlm_scale(&d->b, xlm_diff_widen(d, v), factor);
  if (d->o->microbatches == 1 && !is_state(d->out, xlm_view_root(d->out, v))) return v;
  xlm_val state = new_state(d, name, XLM_ROLE_GRADIENT, v);
  xlm_val sum = xlm_op2(&d->b, XLM_OP_ACCUMULATE, state, v);
  xlm_graph_update(d->out, state, sum);
  return sum;
}

// ---- the model's own updates ----

// In the prologue, or with the parameters.
static bool is_set_elsewhere(const xlm_differentiation *d, const xlm_update *u) {
  return xlm_diff_is_early(d->g, u->val) || xlm_diff_is_projection(d->g, u);
}

// Dimensions of samples, positions and chosen tokens: those of inputs, and their names in views.
static bool *data_dims(xlm_differentiation *d) {
  xlm_graph *g = d->out;
  bool *data = XLM_NEW_N(d->a, bool, g->n_dims);
  for (xlm_dim i = 1; i < g->n_dims; i++) data[i] = g->dims[i].ragged;
  for (xlm_node id = 1; id < d->n_forward; id++) {
    const xlm_node_info *n = &g->nodes[id];
    xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
    int n_from = xlm_attr_dims(&n->attrs, XLM_A_from, from), n_to = xlm_attr_dims(&n->attrs, XLM_A_to, to);
    bool any = false;
    for (int i = 0; i < n_from; i++) any |= data[from[i]];
    for (int i = 0; any && i < n_to; i++) data[to[i]] = true;
    const xlm_type *t = xlm_node_is(n, XLM_LEAF_INPUT) ? xlm_val_type(g, n->out) : NULL;
    for (int i = 0; t && i < t->rank; i++) data[t->dim[i]] = true;
  }
  return data;
}

static bool has_any(const xlm_type *t, const bool *flag) {
  for (int i = 0; i < t->rank; i++)
    if (flag[t->dim[i]]) return true;
  return false;
}

// Can this node be evaluated on sums over the microbatches?
static bool above_cut(xlm_differentiation *d, const xlm_node_info *n, const bool *data) {
  uint32_t flags = xlm_op_at(n->op)->flags;
  if (xlm_node_is(n, XLM_LEAF_INPUT)) return false;
  if (flags & XLM_OPF_ELEMENTWISE || xlm_is_leaf(n)) return true;
  bool may = (flags & XLM_OPF_VIEW) || xlm_op_facts_of(n->op)->of_totals;
  return may && !has_any(xlm_val_type(d->out, n->in[0]), data);
}

static void carry_total(xlm_differentiation *d, xlm_val v, bool mean, uint32_t number) {
  xlm_build_context(&d->b, xlm_val_node(d->out, v));
  const char *name = xlm_arena_printf(d->out->arena, "sum/update/%u", number);
  d->carried[v] = xlm_diff_carry(d, name, v, mean ? 1.0 / (double)d->o->microbatches : 1);
}

// Marks the nodes to evaluate again for v, and carries their operands at the cut. With one microbatch, and
// for values that do not depend on the data, the forward value is used.
static void cut(xlm_differentiation *d, xlm_val v, const bool *data, uint32_t *carried) {
  xlm_val *stack = NULL;
  uint32_t n_stack = 0, cap_stack = 0;
  XLM_PUSH(d->a, stack, n_stack, cap_stack, v);
  while (n_stack) {
    v = stack[--n_stack];
    xlm_node def = xlm_val_at(d->out, v)->def;
    if (!d->sampled[v] || d->carried[v] || d->again[def]) continue;
    const xlm_node_info *n = &d->out->nodes[def];
    if (!above_cut(d, n, data)) {
      carry_total(d, v, xlm_op_facts_of(n->op)->reduces == XLM_REDUCTION_MEAN, (*carried)++);
      continue;
    }
    d->again[def] = true;
    for (int i = n->n_in; i-- > 0;) XLM_PUSH(d->a, stack, n_stack, cap_stack, n->in[i]);
  }
}

// Can v be evaluated on sums and means over the step? With `carries`, their operands are carried.
static bool from_totals(xlm_differentiation *d, xlm_val v, bool carries, uint32_t *carried) {
  bool *seen = XLM_NEW_N(d->a, bool, d->n_forward_values);
  xlm_val *stack = NULL;
  uint32_t n_stack = 0, cap_stack = 0;
  XLM_PUSH(d->a, stack, n_stack, cap_stack, v);
  while (n_stack) {
    v = stack[--n_stack];
    xlm_node def = xlm_val_at(d->out, v)->def;
    if (seen[v] || d->kind[v] == XLM_BATCH_FIXED || d->carried[v] || d->again[def]) continue;
    seen[v] = true;
    const xlm_node_info *n = &d->out->nodes[def];
    uint32_t flags = xlm_op_at(n->op)->flags;
    if (d->kind[v] == XLM_BATCH_SAMPLE) return false;
    if (d->kind[v] != XLM_BATCH_MIXED) {
      if (carries) carry_total(d, v, d->kind[v] == XLM_BATCH_MEAN, (*carried)++);
      continue;
    }
    if (!(flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_VIEW)) && !xlm_op_facts_of(n->op)->of_totals) return false;
    if (carries) d->again[def] = true;
    for (int i = n->n_in; i-- > 0;) XLM_PUSH(d->a, stack, n_stack, cap_stack, n->in[i]);
  }
  return true;
}

// Sums and means are also what other metrics are functions of, and are carried once.
static void carry_metric(xlm_differentiation *d, const xlm_named_val *m) {
  xlm_val v = d->map[m->val], total = d->carried[v];
  bool adds_up = d->kind[v] == XLM_BATCH_SUM;
  if (!total) {
    const char *name = xlm_arena_printf(d->out->arena, "sum/metric/%s", m->name);
    total = xlm_diff_carry(d, name, v, adds_up ? 1 : 1.0 / (double)d->o->microbatches);
  }
  if (d->o->microbatches > 1 && (adds_up || d->kind[v] == XLM_BATCH_MEAN)) d->carried[v] = total;
  xlm_vals_add(d->out, &d->out->outputs, m->name, total, m->span);
}

void xlm_diff_carry_rest(xlm_differentiation *d) {
  const bool *data = data_dims(d);
  bool several = d->o->microbatches > 1;
  uint32_t carried = 0;
  d->kind = xlm_batch_kinds(d->out, d->a);
  d->carried = XLM_NEW_N(d->a, xlm_val, d->n_forward_values);
  d->again = XLM_NEW_N(d->a, bool, d->n_forward);
  d->counted = XLM_NEW_N(d->a, bool, d->g->metrics.n);
  for (uint32_t i = 0; i < d->g->metrics.n; i++) {
    const xlm_named_val *m = &d->g->metrics.at[i];
    xlm_val v = d->map[m->val];
    d->counted[i] = several && d->kind[v] == XLM_BATCH_MIXED && from_totals(d, v, false, &carried);
    if (d->counted[i])
      (void)from_totals(d, v, true, &carried);
    else
      carry_metric(d, m);
  }
  for (uint32_t i = 0; several && i < d->g->n_updates; i++)
    if (!is_set_elsewhere(d, &d->g->updates[i])) cut(d, d->map[d->g->updates[i].val], data, &carried);
}

// Emits the marked nodes again, in order; afterwards carried[v] is v's value over the whole step.
static void evaluate_again(xlm_differentiation *d) {
  for (xlm_node id = 1; id < d->n_forward; id++) {
    if (!d->again[id]) continue;
    xlm_node_info n = d->out->nodes[id];
    xlm_val *in = XLM_NEW_N(d->a, xlm_val, n.n_in);
    for (int i = 0; i < n.n_in; i++) in[i] = d->carried[n.in[i]] ? d->carried[n.in[i]] : n.in[i];
    xlm_build_context(&d->b, &n);
    d->b.recompute = false;
    xlm_attr_list l = xlm_attr_list_from(d->out->arena, &n.attrs);
    xlm_val first = xlm_emit(&d->b, n.op, in, n.n_in, &l);
    for (int i = 0; i < n.n_out; i++) d->carried[n.out + (xlm_val)i] = first + (xlm_val)i;
  }
}

// Returns a copy if v is another state's memory, which may be updated first.
static xlm_val own_memory(xlm_differentiation *d, xlm_val v) {
  bool copy =
      is_state(d->out, xlm_view_root(d->out, v)) && xlm_dtype_is_float(xlm_val_type(d->out, v)->dtype);
  return copy ? xlm_op2(&d->b, XLM_OP_MAX, v, v) : v;
}

static void counted_metrics(xlm_differentiation *d) {
  for (uint32_t i = 0; i < d->g->metrics.n; i++) {
    const xlm_named_val *m = &d->g->metrics.at[i];
    if (!d->counted[i]) continue;
    xlm_build_context(&d->b, xlm_val_node(d->g, m->val));
    xlm_vals_add(d->out, &d->out->outputs, m->name, xlm_diff_widen(d, d->carried[d->map[m->val]]), m->span);
  }
}

void xlm_diff_updates(xlm_differentiation *d) {
  xlm_val *next = XLM_NEW_N(d->a, xlm_val, d->g->n_updates);
  evaluate_again(d);
  counted_metrics(d);
  for (uint32_t i = 0; i < d->g->n_updates; i++) {
    if (is_set_elsewhere(d, &d->g->updates[i])) continue;
    xlm_val state = d->map[d->g->updates[i].state], v = d->map[d->g->updates[i].val];
    if (d->carried[v]) v = d->carried[v];
    xlm_type like = *xlm_val_type(d->out, state);
    xlm_build_context(&d->b, xlm_val_node(d->out, state));
    next[i] = own_memory(d, xlm_order_to(&d->b, xlm_cast_to(&d->b, v, like.dtype), &like));
  }
  for (uint32_t i = 0; i < d->g->n_updates; i++) {
    if (is_set_elsewhere(d, &d->g->updates[i])) continue;
    xlm_val state = d->map[d->g->updates[i].state];
    xlm_build_context(&d->b, xlm_val_node(d->out, state));
    xlm_graph_update(d->out, state, xlm_op2(&d->b, XLM_OP_ASSIGN, state, next[i]));
  }
}
