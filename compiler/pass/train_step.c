// The end of a training step: global norm, clipping, the update of every trained parameter by its optimizer
// (compiler/optimizer), and the model's own functions of parameters (`update w = expr`): the nodes of expr,
// which the model graph has with the value before the step, are emitted again with the one after it.
#include "compiler/pass/differentiate_priv.h"

// One norm over all gradients, so that its value does not depend on grouping.
static xlm_val clip(xlm_differentiation *d) {
  xlm_val *grads = XLM_NEW_N(d->a, xlm_val, d->n_trained);
  for (uint32_t i = 0; i < d->n_trained; i++) grads[i] = d->trained[i].grad;
  xlm_attr_list l = xlm_attr_list_new(d->out->arena);
  if (d->o->grad_clip > 0) xlm_attr_put_float(&l, XLM_A_value, d->o->grad_clip);
  XLM_ASSERT(d->n_trained <= UINT16_MAX, "%u parameters", d->n_trained);
  xlm_val sq = xlm_emit(&d->b, XLM_OP_NORM_SQ, grads, (int)d->n_trained, NULL);
  xlm_val scale = xlm_emit(&d->b, XLM_OP_CLIP_SCALE, &sq, 1, &l);
  xlm_val_at(d->out, scale)->name = "clip";
  xlm_val_at(d->out, scale + 1)->name = "grad_norm";
  xlm_vals_add(d->out, &d->out->outputs, "grad_norm", scale + 1, (xlm_span){0, 0});
  return scale;
}

// The nodes that v is computed from, leaves apart.
static bool *nodes_of(const xlm_differentiation *d, xlm_val v) {
  const xlm_graph *g = d->out;
  bool *needed = XLM_NEW_N(d->a, bool, d->n_forward);
  needed[g->values[v].def] = true;
  for (xlm_node id = d->n_forward; id-- > 1;) {
    if (xlm_is_leaf(&g->nodes[id])) needed[id] = false;
    for (int i = 0; needed[id] && i < g->nodes[id].n_in; i++)
      needed[g->values[g->nodes[id].in[i]].def] = true;
  }
  return needed;
}

static xlm_val emit_again(xlm_differentiation *d, xlm_val v, xlm_val param, xlm_val now) {
  const bool *needed = nodes_of(d, v);
  xlm_val *map = XLM_NEW_N(d->a, xlm_val, d->n_forward_values);
  map[param] = now;
  for (xlm_node id = 1; id < d->n_forward; id++) {
    if (!needed[id]) continue;
    xlm_node_info n = d->out->nodes[id];
    xlm_val *in = XLM_NEW_N(d->a, xlm_val, n.n_in);
    for (int i = 0; i < n.n_in; i++) in[i] = map[n.in[i]] ? map[n.in[i]] : n.in[i];
    xlm_attr_list l = xlm_attr_list_from(d->out->arena, &n.attrs);
    xlm_val first = xlm_emit(&d->b, n.op, in, n.n_in, &l);
    for (int i = 0; i < n.n_out; i++) map[n.out + (xlm_val)i] = first + (xlm_val)i;
  }
  return map[v] ? map[v] : v;
}

static void project(xlm_differentiation *d, xlm_steps *steps, const xlm_update *u) {
  xlm_val param = d->map[u->state], v = d->map[u->val];
  xlm_type like = *xlm_val_type(d->out, param);
  xlm_build_context(&d->b, xlm_val_node(d->out, param));
  d->b.recompute = false;
  v = emit_again(d, v, param, xlm_steps_updated(steps, param));
  xlm_steps_project(steps, param, xlm_order_to(&d->b, xlm_cast_to(&d->b, v, like.dtype), &like));
}

static bool is_frozen(const xlm_differentiation *d, const xlm_update *u) {
  return d->updates[d->map[u->state]].frozen;
}

void xlm_diff_optimize(xlm_differentiation *d) {
  d->b = xlm_build_new(d->out);
  d->b.phase = XLM_PHASE_STEP;
  d->b.span = d->g->losses.at[0].span; // nodes for all parameters point at the loss
  if (!d->n_trained) {
    xlm_vals_add(d->out, &d->out->outputs, "grad_norm", xlm_scalar(&d->b, 0), (xlm_span){0, 0});
    return;
  }
  xlm_step_inputs in = {.scale = clip(d)};
  in.lr = xlm_diff_scalar_input(d, XLM_INPUT_LR);
  in.step = xlm_diff_scalar_input(d, XLM_INPUT_STEP);
  if (d->o->skip_spikes > 0) in.scale = xlm_diff_skip_spikes(d, in.scale, in.scale + 1, in.step);
  xlm_steps *steps = xlm_steps_begin(&d->b, d->a, d->o, in);
  for (uint32_t i = 0; i < d->n_trained; i++) {
    xlm_build_context(&d->b, xlm_val_node(d->out, d->trained[i].param));
    d->b.recompute = false;
    xlm_steps_update(steps, d->trained[i].param, d->trained[i].grad);
  }
  for (uint32_t i = 0; i < d->g->n_updates; i++)
    if (xlm_diff_is_projection(d->g, &d->g->updates[i]) && !is_frozen(d, &d->g->updates[i]))
      project(d, steps, &d->g->updates[i]);
}
