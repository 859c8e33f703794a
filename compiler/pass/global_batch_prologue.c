// Global batch: the prologue, which computes what depends on inputs alone for the whole step. Its inputs have
// the rows of all microbatches along one more dimension, `microbatch`, which every reduction over samples
// also reduces; results are stored in states until the step ends.
#include <string.h>

#include "compiler/pass/global_batch_priv.h"

static void need_early(xlm_batch *w, xlm_val v) {
  xlm_val *stack = NULL;
  uint32_t n_stack = 0, cap_stack = 0;
  XLM_PUSH(w->a, stack, n_stack, cap_stack, v);
  while (n_stack) {
    v = stack[--n_stack];
    if (w->early[v]) continue;
    w->early[v] = true;
    const xlm_node_info *n = xlm_val_node(w->g, v);
    for (int i = 0; i < n->n_in; i++) XLM_PUSH(w->a, stack, n_stack, cap_stack, n->in[i]);
  }
}

static void find_early(xlm_batch *w) {
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    if (xlm_batch_needs_count(w, n) && w->of[xlm_batch_targets(n)] == XLM_OF_INPUTS)
      need_early(w, xlm_batch_targets(n));
    for (int i = 0; i < n->n_out; i++)
      if (w->whole[n->out + (xlm_val)i]) need_early(w, n->out + (xlm_val)i);
  }
}

static xlm_dim new_dim(xlm_batch *w) {
  const char *name = "microbatch";
  for (int i = 2; xlm_graph_dim_find(w->out, name, 0); i++) name = xlm_arena_printf(w->a, "microbatch.%d", i);
  return xlm_graph_dim(w->out, name, w->microbatches);
}

static bool has_microbatch(const xlm_batch *w, const xlm_val *in, int n) {
  for (int i = 0; i < n; i++)
    if (xlm_type_find(xlm_val_type(w->out, in[i]), w->microbatch) >= 0) return true;
  return false;
}

static void add_microbatch(const xlm_batch *w, xlm_attr_list *l, const xlm_attrs *as, xlm_attr_key key,
                           bool first) {
  xlm_dim dims[XLM_MAX_RANK + 1];
  int n = xlm_attr_dims(as, key, dims + first);
  dims[first ? 0 : n] = w->microbatch;
  if (n < XLM_MAX_RANK) xlm_attr_put_dims(l, key, dims, n + 1);
}

static void emit_step_input(xlm_batch *w, const xlm_node_info *n) {
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  const char *name = xlm_arena_printf(w->out->arena, "step/%s", xlm_attr_text(&n->attrs, XLM_A_name, ""));
  xlm_attr_put_text(&l, XLM_A_name, name);
  add_microbatch(w, &l, &n->attrs, XLM_A_dims, true);
  w->before[n->out] = xlm_emit(&w->b, XLM_OP_INPUT, NULL, 0, &l);
  xlm_val_at(w->out, w->before[n->out])->name = name;
}

// Stores v, a value of the prologue, in a state until the step ends.
static xlm_val keep(xlm_batch *w, xlm_val v, const char *name) {
  name = xlm_arena_printf(w->out->arena, "whole/%s",
                          name ? name : xlm_arena_printf(w->a, "%u", w->out->n_updates));
  for (uint32_t i = 0; i < w->out->n_updates; i++)
    if (!strcmp(xlm_attr_text(&xlm_val_node(w->out, w->out->updates[i].state)->attrs, XLM_A_name, ""), name))
      name = xlm_arena_printf(w->out->arena, "%s.%u", name, w->out->n_updates);
  return xlm_build_stored(&w->b, name, XLM_ROLE_COUNT, v, NULL);
}

static bool refuse(xlm_batch *w, const xlm_node_info *n, const char *text) {
  *w->fault = (xlm_batch_fault){.loss = n->span, .culprit = n->span, .text = text};
  w->fault->help = "use one microbatch: a larger --micro-batch-size";
  return false;
}

static bool emit_early(xlm_batch *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_build_context(&w->b, n);
  w->b.recompute = false;
  if (xlm_node_is(n, XLM_LEAF_INPUT)) {
    emit_step_input(w, n);
    return true;
  }
  xlm_val *in = XLM_NEW_N(w->a, xlm_val, n->n_in);
  for (int i = 0; i < n->n_in; i++) in[i] = w->before[n->in[i]];
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  bool whole = w->whole[n->out], varies = has_microbatch(w, in, n->n_in);
  if (varies && whole) add_microbatch(w, &l, &n->attrs, XLM_A_over, false);
  if (varies && !whole && xlm_attr_find(&n->attrs, XLM_A_dims))
    add_microbatch(w, &l, &n->attrs, XLM_A_dims, true);
  xlm_infer x;
  xlm_val first = xlm_emit_checked(&w->b, n->op, in, n->n_in, &l, &x);
  if (!first || (whole && xlm_val_type(w->out, first)->rank != xlm_val_type(w->g, n->out)->rank))
    return refuse(w, n, "this is computed for all microbatches of a step at once, and cannot be");
  for (int i = 0; i < n->n_out; i++) w->before[n->out + (xlm_val)i] = first + (xlm_val)i;
  if (whole) {
    if (!varies && xlm_batch_sums_samples(w, n)) // as much in every microbatch
      first = xlm_scale(&w->b, first, (double)w->microbatches);
    first = xlm_order_to(&w->b, first, xlm_val_type(w->g, n->out));
    w->map[n->out] = w->before[n->out] = keep(w, first, w->g->values[n->out].name);
  }
  return true;
}

bool xlm_batch_prologue(xlm_batch *w) {
  find_early(w);
  w->microbatch = new_dim(w);
  w->b = xlm_build_new(w->out);
  w->b.phase = XLM_PHASE_PROLOGUE;
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    bool early = false;
    for (int i = 0; i < n->n_out; i++) early |= w->early[n->out + (xlm_val)i];
    if (early && !emit_early(w, id)) return false;
    if (!xlm_batch_needs_count(w, n) || w->of[xlm_batch_targets(n)] != XLM_OF_INPUTS ||
        xlm_batch_find_count(w, n))
      continue;
    xlm_build_context(&w->b, n);
    xlm_target_count *c = xlm_batch_new_count(w, n, w->before[xlm_batch_targets(n)]);
    c->count = keep(w, c->count, "valid");
  }
  return true;
}
