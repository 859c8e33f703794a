// lion: Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023. One moment; every element
// of a parameter changes by the learning rate, regardless of the size of its gradient.
#include "compiler/optimizer/step_priv.h"

// beta x + (1 - beta) y
static xlm_val mix(xlm_build *b, double beta, xlm_val x, xlm_val y) {
  xlm_val second = xlm_scale(b, y, 1 - beta), first = xlm_scale(b, x, beta);
  return xlm_op2(b, XLM_OP_ADD, first, second);
}

static void build(xlm_step *s) {
  xlm_val m = xlm_step_state_like(s, "lion.m"), g = xlm_step_gradient(s);
  xlm_val direction = xlm_op1(s->b, XLM_OP_SIGN, mix(s->b, xlm_step_setting(s, "lion_beta1"), m, g));
  xlm_val next = mix(s->b, xlm_step_setting(s, "lion_beta2"), m, g);
  xlm_step_descend(s, direction);
  xlm_step_store(s, m, next);
}

const xlm_optimizer xlm_optimizer_lion = {
    .name = "lion",
    .settings = {{"lion_beta1", 0.9, 0, 0.999999, "share of the moment in the direction"},
                 {"lion_beta2", 0.99, 0, 0.999999, "decay of the moment"}},
    .build = build,
    .doc = "p = p - lr (sign(beta1 m + (1 - beta1) g) + decay p); m = beta2 m + (1 - beta2) g. "
           "Chen et al., NeurIPS 2023."};
