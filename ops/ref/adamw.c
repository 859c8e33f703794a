// adamw, the reference: algorithm 2 of Loshchilov & Hutter, step by step.
#include <math.h>

#include "ops/ref/ref_priv.h"

enum { P, M, V, G, SCALE, LR, STEP };

static xlm_status run(const xlm_call *c) {
  if (!isfinite(*ref_in(c, SCALE))) return XLM_OK;
  const xlm_attrs *as = &c->instr->attrs;
  double beta1 = xlm_attr_float(as, XLM_A_beta1, 0.9), beta2 = xlm_attr_float(as, XLM_A_beta2, 0.95);
  double eps = xlm_attr_float(as, XLM_A_eps, 1e-8), decay = xlm_attr_float(as, XLM_A_decay, 0);
  double lr = *ref_in(c, LR), t = *ref_in(c, STEP);
  for (int64_t i = 0; i < xlm_call_elements(c, c->in_type[P]); i++) {
    double g = *ref_in(c, SCALE) * ref_in(c, G)[i], p = ref_in(c, P)[i];
    double m = beta1 * ref_in(c, M)[i] + (1 - beta1) * g;
    double v = beta2 * ref_in(c, V)[i] + (1 - beta2) * g * g;
    double m_hat = m / (1 - pow(beta1, t)), v_hat = v / (1 - pow(beta2, t));
    ref_out(c, M)[i] = m, ref_out(c, V)[i] = v;
    ref_out(c, P)[i] = p - lr * (m_hat / (sqrt(v_hat) + eps) + decay * p);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_adamw = {.op = XLM_OP_ADAMW, .run = run};
