// sgd: gradient descent with momentum (Polyak 1964), as PyTorch's SGD: weight decay is added to the gradient.
#include "compiler/optimizer/step_priv.h"

static void build(xlm_step *s) {
  xlm_attr_list l = xlm_attr_list_new(s->b->g->arena);
  xlm_attr_put_float(&l, XLM_A_beta1, xlm_step_setting(s, "momentum"));
  xlm_attr_put_float(&l, XLM_A_decay, s->decay);
  if (xlm_step_setting(s, "nesterov") != 0) xlm_attr_put_int(&l, XLM_A_nesterov, 1);
  xlm_val in[] = {s->param, xlm_step_state_like(s, "sgd.m"), s->grad, s->scale, s->lr};
  xlm_val first = xlm_emit(s->b, XLM_OP_SGD, in, 5, &l);
  for (xlm_val i = 0; i < 2; i++) xlm_graph_update(s->b->g, in[i], first + i);
}

const xlm_optimizer xlm_optimizer_sgd = {
    .name = "sgd",
    .settings = {{"momentum", 0.9, 0, 0.999999, "share of the last step's direction that stays"},
                 {"nesterov", 0, 0, 1, "1: the gradient is added to the momentum once more"}},
    .build = build,
    .doc = "h = g + decay p; m = momentum m + h; p = p - lr m; with Nesterov p = p - lr (h + momentum m)."};
