// sgd, the reference.
#include <math.h>

#include "ops/ref/ref_priv.h"

enum { P, M, G, SCALE, LR };

static xlm_status run(const xlm_call *c) {
  if (!isfinite(*ref_in(c, SCALE))) return XLM_OK;
  double beta = xlm_attr_float(&c->instr->attrs, XLM_A_beta1, 0),
         decay = xlm_attr_float(&c->instr->attrs, XLM_A_decay, 0);
  bool nesterov = xlm_attr_int(&c->instr->attrs, XLM_A_nesterov, 0) != 0;
  for (int64_t i = 0; i < xlm_call_elements(c, c->in_type[P]); i++) {
    double p = ref_in(c, P)[i];
    double h = *ref_in(c, SCALE) * ref_in(c, G)[i] + decay * p, m = beta * ref_in(c, M)[i] + h;
    ref_out(c, M)[i] = m;
    ref_out(c, P)[i] = p - *ref_in(c, LR) * (nesterov ? h + beta * m : m);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_sgd = {.op = XLM_OP_SGD, .run = run};
