// adamw: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2. A single
// kernel: the update is memory-bound, and each array is read and written once.
#include "compiler/optimizer/step_priv.h"

static void build(xlm_step *s) {
  xlm_attr_list l = xlm_attr_list_new(s->b->g->arena);
  xlm_attr_put_float(&l, XLM_A_beta1, xlm_step_setting(s, "adam_beta1"));
  xlm_attr_put_float(&l, XLM_A_beta2, xlm_step_setting(s, "adam_beta2"));
  xlm_attr_put_float(&l, XLM_A_eps, xlm_step_setting(s, "adam_eps"));
  xlm_attr_put_float(&l, XLM_A_decay, s->decay);
  xlm_val m = xlm_step_state_like(s, "adam.m"), v = xlm_step_state_like(s, "adam.v");
  xlm_val in[] = {s->param, m, v, s->grad, s->scale, s->lr, s->step};
  xlm_val first = xlm_emit(s->b, XLM_OP_ADAMW, in, 7, &l);
  for (xlm_val i = 0; i < 3; i++) xlm_graph_update(s->b->g, in[i], first + i);
}

const xlm_optimizer xlm_optimizer_adamw = {
    .name = "adamw",
    .settings = {{"adam_beta1", 0.9, 0, 0.999999, "decay of the first moment"},
                 {"adam_beta2", 0.95, 0, 0.999999, "decay of the second moment"},
                 {"adam_eps", 1e-8, 1e-30, 1, "added to the root of the second moment"}},
    .build = build,
    .doc = "m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; "
           "p = p - lr (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + decay p). "
           "Loshchilov & Hutter, ICLR 2019, algorithm 2."};
