// The end of a training step: global norm, clipping, and the update of every trained parameter by its
// optimizer (compiler/optimizer).
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
  xlm_steps *steps = xlm_steps_begin(&d->b, d->a, d->o, in);
  for (uint32_t i = 0; i < d->n_trained; i++) {
    xlm_build_context(&d->b, xlm_val_node(d->out, d->trained[i].param));
    d->b.recompute = false;
    xlm_steps_update(steps, d->trained[i].param, d->trained[i].grad);
  }
}
