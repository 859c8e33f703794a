// Global batch, see global_batch.h. Every value has a kind (global_batch_kinds.c).
//
// A loss that is a SUM is scaled, so that the average over the microbatches is the step's sum. A value that
// depends only on inputs and has no dimension of samples (a count of valid targets, a sum of weights) is
// computed in advance for the whole step (global_batch_prologue.c): it becomes FIXED, and anything divided by
// it is a SUM. So a mean over the valid tokens is over those of the global batch, even if a microbatch has
// none.
//
// With one microbatch only the counts of cross_entropy are emitted; the partitioner handles samples on
// different ranks.
#include "compiler/pass/global_batch_priv.h"

// ---- the microbatch ----

// The loss divides by the average count per microbatch.
static void emit_loss(xlm_batch *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_build_context(&w->b, n);
  xlm_target_count *c = xlm_batch_find_count(w, n);
  if (!c) c = xlm_batch_new_count(w, n, w->map[xlm_batch_targets(n)]);
  xlm_val per = c->count;
  if (w->microbatches > 1) per = xlm_op2(&w->b, XLM_OP_DIV, per, xlm_scalar(&w->b, (double)w->microbatches));
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &n->attrs);
  xlm_val in[] = {w->map[n->in[0]], w->map[n->in[1]], per}, first = xlm_emit(&w->b, n->op, in, 3, &l);
  for (int i = 0; i < n->n_out; i++) {
    w->map[n->out + (xlm_val)i] = first + (xlm_val)i;
    xlm_val_at(w->out, first + (xlm_val)i)->name = w->g->values[n->out + (xlm_val)i].name;
  }
}

// Scales v so that its average over the microbatches is the step's value.
static xlm_val as_mean(xlm_batch *w, xlm_val v) {
  if (w->microbatches == 1 || w->kind[v] != XLM_BATCH_SUM) return w->map[v];
  return xlm_scale(&w->b, w->map[v], (double)w->microbatches);
}

// Sums that are added to means are converted to means.
static void emit_node(xlm_batch *w, xlm_node id) {
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_val *saved = XLM_NEW_N(w->a, xlm_val, n->n_in);
  bool means = w->microbatches > 1 && n->n_out && w->kind[n->out] == XLM_BATCH_MEAN && w->rules[n->op].linear;
  for (int i = 0; i < n->n_in; i++) saved[i] = w->map[n->in[i]];
  xlm_build_context(&w->b, n);
  for (int i = 0; means && i < n->n_in; i++) w->map[n->in[i]] = as_mean(w, n->in[i]);
  xlm_copy_node(w->out, w->g, id, w->map, w->map);
  for (int i = 0; i < n->n_in; i++) w->map[n->in[i]] = saved[i];
}

static void emit_forward(xlm_batch *w) {
  w->b = xlm_build_new(w->out);
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    if (n->n_out && w->map[n->out]) continue; // computed in the prologue
    if (xlm_op_facts_of(n->op)->per_microbatch)
      w->map[n->out] = w->map[n->in[0]];
    else if (xlm_batch_needs_count(w, n))
      emit_loss(w, id);
    else
      emit_node(w, id);
  }
}

// ---- losses and metrics ----

// The first MIXED value that v depends on.
static const xlm_node_info *culprit_of(const xlm_batch *w, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = xlm_val_node(w->g, v);
    xlm_val next = 0;
    for (int i = 0; i < n->n_in; i++)
      if (w->kind[n->in[i]] == XLM_BATCH_MIXED) next = n->in[i];
    if (!next) return n;
    v = next;
  }
}

static bool check_loss(xlm_batch *w, const xlm_named_val *loss) {
  if (w->kind[loss->val] != XLM_BATCH_MIXED) return true;
  const xlm_node_info *n = culprit_of(w, loss->val);
  *w->fault = (xlm_batch_fault){
      .loss = loss->span,
      .culprit = n->span,
      .text = xlm_arena_printf(w->out->arena,
                               "with %lld microbatches this loss would depend on how the batch is divided: "
                               "`%s` joins samples in a way that does not add up over microbatches",
                               (long long)w->microbatches, xlm_op_at(n->op)->name),
      .help =
          "divide by what depends on inputs alone; or use one microbatch (a larger --micro-batch-size); or "
          "write per_microbatch(..) around it for the mean of the microbatches' values"};
  return false;
}

xlm_graph *xlm_pass_global_batch(const xlm_graph *g, xlm_arena *a, int64_t microbatches,
                                 xlm_batch_fault *fault) {
  xlm_batch w = {.g = g, .a = a, .microbatches = microbatches, .out = xlm_graph_like(g), .fault = fault};
  xlm_batch_classify(&w);
  w.early = XLM_NEW_N(a, bool, g->n_values);
  w.map = XLM_NEW_N(a, xlm_val, g->n_values);
  w.before = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(w.out, g->n_nodes, g->n_values);
  for (uint32_t i = 0; microbatches > 1 && i < g->losses.n; i++)
    if (!check_loss(&w, &g->losses.at[i])) return NULL;
  if (microbatches > 1 && !xlm_batch_prologue(&w)) return NULL;
  emit_forward(&w);
  xlm_copy_list(w.out, &w.out->outputs, &g->outputs, w.map);
  xlm_copy_list(w.out, &w.out->metrics, &g->metrics, w.map);
  for (uint32_t i = 0; i < g->losses.n; i++) {
    xlm_build_context(&w.b, xlm_val_node(g, g->losses.at[i].val));
    xlm_vals_add(w.out, &w.out->losses, g->losses.at[i].name, as_mean(&w, g->losses.at[i].val),
                 g->losses.at[i].span);
  }
  xlm_copy_updates(w.out, g, w.map);
  xlm_drop_dead(w.out, a);
  return w.out;
}
