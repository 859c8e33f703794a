// Differentiate: turns the model graph into the graph of a training step.
//
// Order of the result: the model's nodes; then the gradients (BWD) in a reverse sweep, with the nodes that
// only lead to a weight's gradient (WGT) and its accumulation emitted in place, so that activations die
// early; then the optimizer (STEP).
//
// There is one reverse sweep. Each node's rule turns the gradients of its results into contributions to its
// operands. They are added in the order of the sweep, which is the same in every run. Nodes that depend on
// parameters alone (a cast weight) are swept right after their last user, so that the weight's gradient is
// finished at once.
//
// The loss is divided by the number of microbatches at the root: the sum over microbatches is then their
// average, which global_batch.c has made equal to the loss of the global batch.
#include <stdlib.h>
#include <string.h>

#include "compiler/pass/differentiate_priv.h"

// ---- the forward nodes ----

// States that the prologue fills are copied unchanged.
static void copy_forward(xlm_differentiation *d) {
  for (xlm_node n = 1; n < d->g->n_nodes; n++) xlm_copy_node(d->out, d->g, n, d->map, d->map);
  for (uint32_t i = 0; i < d->g->n_updates; i++)
    if (xlm_diff_is_early(d->g, d->g->updates[i].val))
      xlm_graph_update(d->out, d->map[d->g->updates[i].state], d->map[d->g->updates[i].val]);
  d->n_forward = d->out->n_nodes;
  d->n_forward_values = d->out->n_values;
}

// ---- what the sweep needs ----

static bool any_operand(const xlm_node_info *n, const bool *flag) {
  for (int i = 0; i < n->n_in; i++)
    if (flag[n->in[i]]) return true;
  return false;
}

static void survey(xlm_differentiation *d) {
  xlm_graph *g = d->out;
  d->active = XLM_NEW_N(d->a, bool, d->n_forward_values);
  d->sampled = XLM_NEW_N(d->a, bool, d->n_forward_values);
  d->pending = XLM_NEW_N(d->a, uint32_t, d->n_forward_values);
  d->grad = XLM_NEW_N(d->a, xlm_val, d->n_forward_values);
  d->done = XLM_NEW_N(d->a, bool, d->n_forward);
  d->updates = xlm_optimizer_choose(g, d->o, d->a);
  for (xlm_node id = 1; id < d->n_forward; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool trained = xlm_node_is(n, XLM_LEAF_PARAMETER) && !d->updates[n->out].frozen;
    bool flows = trained || (xlm_op_at(n->op)->grad && any_operand(n, d->active));
    bool sampled =
        n->phase != XLM_PHASE_PROLOGUE && (xlm_node_is(n, XLM_LEAF_INPUT) || any_operand(n, d->sampled));
    for (xlm_val v = n->out; v < n->out + n->n_out; v++) {
      d->active[v] = flows && xlm_dtype_is_float(xlm_val_type(g, v)->dtype);
      d->sampled[v] = sampled;
    }
    for (int i = 0; i < n->n_in; i++) d->pending[n->in[i]]++;
  }
}

// ---- the sweep ----

// A contribution has the value's dims in any order, and the value's element type or f32. An activation's
// gradient has the activation's type; a weight's is f32.
static void contribute(xlm_differentiation *d, xlm_val v, xlm_val g) {
  xlm_type like = *xlm_val_type(d->out, v);
  XLM_ASSERT(xlm_val_type(d->out, g)->rank == like.rank, "gradient of %%%u has other dimensions", v);
  if (!xlm_node_is(xlm_val_node(d->out, g), XLM_LEAF_CONSTANT))
    g = d->sampled[v] ? xlm_cast_to(&d->b, g, like.dtype) : xlm_diff_widen(d, g);
  g = xlm_order_to(&d->b, g, &like);
  d->grad[v] = xlm_add_to(&d->b, d->grad[v], g);
  if (xlm_val_at(d->out, v)->name) xlm_diff_name(d, d->grad[v], "d/", xlm_val_at(d->out, v)->name);
}

static void apply_rule(xlm_differentiation *d, xlm_node id) {
  xlm_node_info n = d->out->nodes[id];
  xlm_val out[8], dout[8], *din = XLM_NEW_N(d->a, xlm_val, n.n_in);
  bool *need = XLM_NEW_N(d->a, bool, n.n_in), flows = false;
  for (int i = 0; i < n.n_out; i++) {
    out[i] = n.out + (xlm_val)i;
    dout[i] = d->grad[out[i]];
    flows |= dout[i] != 0;
  }
  if (!flows || !any_operand(&n, d->active)) return;
  for (int i = 0; i < n.n_in; i++) need[i] = d->active[n.in[i]];
  xlm_build_context(&d->b, &n);
  d->b.recompute = false;
  xlm_grad x = {.b = &d->b, .node = id, .in = n.in, .out = out, .dout = dout, .need = need, .din = din};
  xlm_op_at(n.op)->grad(&x);
  for (int i = 0; i < n.n_in; i++)
    if (need[i] && din[i]) contribute(d, n.in[i], din[i]);
}

static void finish_parameter(xlm_differentiation *d, xlm_node id) {
  xlm_node_info n = d->out->nodes[id];
  if (!d->grad[n.out]) return;
  xlm_build_context(&d->b, &n);
  d->b.recompute = false;
  const char *name = xlm_attr_text(&n.attrs, XLM_A_name, "");
  xlm_val g = d->grad[n.out];
  xlm_type like = *xlm_val_type(d->out, n.out);
  if (xlm_val_type(d->out, g)->dtype != like.dtype) g = xlm_cast_to(&d->b, g, like.dtype);
  xlm_trained t = {.param = n.out, .grad = g};
  if (d->o->microbatches > 1)
    t.grad = xlm_diff_carry(d, xlm_arena_printf(d->out->arena, "grad/%s", name), g, 1);
  XLM_PUSH(d->a, d->trained, d->n_trained, d->cap_trained, t);
}

// Sweeps node id, then the weight-only nodes whose results have no other users left.
static void sweep_from(xlm_differentiation *d, xlm_node id) {
  xlm_node *stack = NULL;
  uint32_t n_stack = 0, cap_stack = 0;
  XLM_PUSH(d->a, stack, n_stack, cap_stack, id);
  while (n_stack) {
    id = stack[--n_stack];
    if (d->done[id]) continue;
    d->done[id] = true;
    xlm_node_info n = d->out->nodes[id];
    if (xlm_node_is(&n, XLM_LEAF_PARAMETER))
      finish_parameter(d, id);
    else if (xlm_op_at(n.op)->grad)
      apply_rule(d, id);
    for (int i = 0; i < n.n_in; i++) {
      bool last = --d->pending[n.in[i]] == 0;
      xlm_node def = xlm_val_at(d->out, n.in[i])->def;
      if (last && !d->sampled[n.in[i]] && d->out->nodes[def].n_out == 1)
        XLM_PUSH(d->a, stack, n_stack, cap_stack, def);
    }
  }
}

// Gradients of activations and their inputs stay BWD; the rest only leads to weights.
static void split_phases(xlm_differentiation *d, xlm_node first) {
  xlm_graph *g = d->out;
  bool *bwd = XLM_NEW_N(d->a, bool, g->n_values);
  for (xlm_val v = 1; v < d->n_forward_values; v++)
    if (d->sampled[v] && d->grad[v]) bwd[d->grad[v]] = true;
  for (xlm_node id = g->n_nodes; id-- > first;) {
    xlm_node_info *n = &g->nodes[id];
    bool leads = false;
    for (xlm_val v = n->out; v < n->out + n->n_out; v++) leads |= bwd[v];
    n->phase = leads ? XLM_PHASE_BWD : XLM_PHASE_WGT;
    for (int i = 0; leads && i < n->n_in; i++) bwd[n->in[i]] = true;
  }
}

static int by_parameter(const void *a, const void *b) {
  const xlm_trained *x = a, *y = b;
  return (x->param > y->param) - (x->param < y->param);
}

static void differentiate(xlm_differentiation *d) {
  xlm_node first = d->out->n_nodes;
  d->b = xlm_build_new(d->out);
  d->b.phase = XLM_PHASE_BWD;
  xlm_val seed = xlm_scalar(&d->b, 1.0 / (double)d->o->microbatches);
  for (uint32_t i = 0; i < d->g->losses.n; i++) {
    xlm_val loss = d->map[d->g->losses.at[i].val];
    if (d->active[loss]) contribute(d, loss, seed);
  }
  for (xlm_node id = d->n_forward; id-- > 1;) sweep_from(d, id);
  split_phases(d, first);
  if (d->n_trained) qsort(d->trained, d->n_trained, sizeof *d->trained, by_parameter);
}

// ---- the loss ----

static void total_loss(xlm_differentiation *d) {
  xlm_val sum = 0;
  xlm_span span = {0, 0};
  for (uint32_t i = 0; i < d->g->losses.n; i++) {
    xlm_val loss = xlm_diff_widen(d, d->map[d->g->losses.at[i].val]);
    if (!sum) span = d->g->losses.at[i].span;
    sum = xlm_add_to(&d->b, sum, loss);
  }
  xlm_val total = xlm_diff_carry(d, "sum/loss", sum, 1.0 / (double)d->o->microbatches);
  xlm_vals_add(d->out, &d->out->outputs, "loss", total, span);
}

xlm_graph *xlm_pass_differentiate(const xlm_graph *g, xlm_arena *a, const xlm_train_options *o) {
  XLM_ASSERT(g->losses.n, "a model without a loss cannot be trained");
  XLM_ASSERT(o->microbatches >= 1, "%lld microbatches", (long long)o->microbatches);
  xlm_differentiation d = {.g = g, .out = xlm_graph_like(g), .a = a, .o = o};
  d.b = xlm_build_new(d.out);
  d.map = XLM_NEW_N(a, xlm_val, g->n_values);
  copy_forward(&d);
  survey(&d);
  d.b = xlm_build_new(d.out);
  d.b.span = g->losses.at[0].span;
  total_loss(&d);
  xlm_diff_carry_rest(&d);
  differentiate(&d);
  d.b = xlm_build_new(d.out);
  d.b.phase = XLM_PHASE_STEP;
  xlm_diff_updates(&d);
  xlm_diff_optimize(&d);
  xlm_drop_dead(d.out, a);
  return d.out;
}
