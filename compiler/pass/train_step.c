// The end of a training step: global norm, clipping, and the optimizer's update of every trained parameter.
#include <string.h>

#include "compiler/pass/differentiate_priv.h"

typedef struct step_inputs {
  xlm_val scale, lr, step;
} step_inputs;

// One norm over all gradients, so that its value does not depend on how they are grouped.
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

// Matrices that start random decay; scales, biases and what starts as ones or zeros do not.
static double decay_of(const xlm_differentiation *d, xlm_val param) {
  const char *init = xlm_attr_text(&xlm_val_node(d->out, param)->attrs, XLM_A_init, "");
  bool random = !strncmp(init, "normal", 6) || !strncmp(init, "uniform", 7);
  return random && xlm_val_type(d->out, param)->rank >= 2 ? d->o->weight_decay : 0;
}

static xlm_val moment(xlm_differentiation *d, const char *which, xlm_val param) {
  const char *name = xlm_attr_text(&xlm_val_node(d->out, param)->attrs, XLM_A_name, "");
  return xlm_diff_state(d, xlm_arena_printf(d->out->arena, "%s/%s", which, name), "optimizer", param);
}

static void adamw(xlm_differentiation *d, const xlm_trained *t, const step_inputs *s) {
  xlm_attr_list l = xlm_attr_list_new(d->out->arena);
  xlm_attr_put_float(&l, XLM_A_beta1, d->o->beta1);
  xlm_attr_put_float(&l, XLM_A_beta2, d->o->beta2);
  xlm_attr_put_float(&l, XLM_A_eps, d->o->eps);
  xlm_attr_put_float(&l, XLM_A_decay, decay_of(d, t->param));
  xlm_val m = moment(d, "adam.m", t->param), v = moment(d, "adam.v", t->param);
  xlm_val in[] = {t->param, m, v, t->grad, s->scale, s->lr, s->step};
  xlm_val first = xlm_emit(&d->b, XLM_OP_ADAMW, in, 7, &l);
  for (xlm_val i = 0; i < 3; i++) xlm_graph_update(d->out, in[i], first + i);
}

static void sgd(xlm_differentiation *d, const xlm_trained *t, const step_inputs *s) {
  xlm_attr_list l = xlm_attr_list_new(d->out->arena);
  xlm_attr_put_float(&l, XLM_A_beta1, d->o->beta1);
  xlm_attr_put_float(&l, XLM_A_decay, decay_of(d, t->param));
  xlm_val in[] = {t->param, moment(d, "sgd.m", t->param), t->grad, s->scale, s->lr};
  xlm_val first = xlm_emit(&d->b, XLM_OP_SGD, in, 5, &l);
  for (xlm_val i = 0; i < 2; i++) xlm_graph_update(d->out, in[i], first + i);
}

static const struct {
  void (*update)(xlm_differentiation *, const xlm_trained *, const step_inputs *);
  bool counts_steps;
} optimizers[] = {[XLM_ADAMW] = {adamw, true}, [XLM_SGD] = {sgd, false}};

void xlm_diff_optimize(xlm_differentiation *d) {
  d->b = xlm_build_new(d->out);
  d->b.phase = XLM_PHASE_STEP;
  d->b.span = d->g->losses.at[0].span; // what belongs to all parameters points to what they are trained for
  if (!d->n_trained) {
    xlm_vals_add(d->out, &d->out->outputs, "grad_norm", xlm_scalar(&d->b, 0), (xlm_span){0, 0});
    return;
  }
  step_inputs s = {.scale = clip(d), .lr = xlm_diff_scalar_input(d, "lr")};
  if (optimizers[d->o->optimizer].counts_steps) s.step = xlm_diff_scalar_input(d, "step");
  for (uint32_t i = 0; i < d->n_trained; i++) {
    xlm_build_context(&d->b, xlm_val_node(d->out, d->trained[i].param));
    d->b.recompute = false;
    optimizers[d->o->optimizer].update(d, &d->trained[i], &s);
  }
}
