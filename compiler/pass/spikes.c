// Steps that are left out: one whose gradient norm exceeds a factor times the running mean of the norms, or
// is not finite. The rule is a part of the plan, in ordinary nodes on scalars, so it is the same in every
// layout and on every device, and its state, the mean, is in the checkpoints.
//
//   spike = step > WARM and mean != 0 and norm / factor > mean
//   mean  = mean + max(1 / step, 1 / WINDOW) (min(norm, factor mean) - mean)
//
// An outlier moves the mean by as much as the largest norm that is none, so that a lasting change of the
// norms is followed. A norm that is not finite does not move it. In a pipeline all stages compute the same:
// every node that reads the state also reads the norm, which all stages have.
#include <math.h>

#include "compiler/pass/differentiate_priv.h"

enum { WARM = 10, WINDOW = 50 }; // steps

typedef struct guard {
  xlm_build *b;
  xlm_val mean, norm, part; // part: norm / factor
  xlm_val ready;            // 1 after the first steps
} guard;

static xlm_val number(guard *x, double value) {
  return xlm_scalar(x->b, value);
}

static xlm_val find_spike(guard *x) {
  xlm_val above = xlm_op2(x->b, XLM_OP_LT, x->mean, x->part);
  xlm_val known = xlm_op3(x->b, XLM_OP_WHERE, x->mean, above, number(x, 0));
  return xlm_op2(x->b, XLM_OP_MUL, known, x->ready);
}

static xlm_val next_mean(guard *x, xlm_val step, double factor, xlm_val sound) {
  xlm_build *b = x->b;
  xlm_val one = number(x, 1), share = xlm_op2(b, XLM_OP_DIV, one, step);
  share = xlm_op2(b, XLM_OP_MAX, share, number(x, 1.0 / WINDOW));
  xlm_val bounded = xlm_scale(b, xlm_op2(b, XLM_OP_MIN, x->part, x->mean), factor);
  xlm_val seen = xlm_op3(b, XLM_OP_WHERE, x->ready, bounded, x->norm);
  xlm_val change = xlm_op2(b, XLM_OP_MUL, xlm_op2(b, XLM_OP_SUB, seen, x->mean), share);
  xlm_val next = xlm_op2(b, XLM_OP_ADD, change, x->mean);
  next = xlm_op3(b, XLM_OP_WHERE, x->mean, next, x->norm); // 0: the first norm
  return xlm_op3(b, XLM_OP_WHERE, sound, next, x->mean);
}

xlm_val xlm_diff_skip_spikes(xlm_differentiation *d, xlm_val scale, xlm_val norm, xlm_val step) {
  xlm_build *b = &d->b;
  double factor = d->o->skip_spikes;
  xlm_type scalar = {.dtype = XLM_F32};
  guard x = {.b = b, .norm = norm};
  x.mean = xlm_build_state(b, "skip_spikes/mean_norm", XLM_ROLE_OPTIMIZER, &scalar, NULL);
  x.part = xlm_scale(b, norm, 1 / factor);
  x.ready = xlm_op2(b, XLM_OP_LT, number(&x, WARM), step);
  xlm_val spike = find_spike(&x), sound = xlm_op2(b, XLM_OP_EQ, scale, scale); // NaN does not equal itself
  xlm_val mean = next_mean(&x, step, factor, sound);
  xlm_graph_update(d->out, x.mean, xlm_op2(b, XLM_OP_ASSIGN, x.mean, mean));
  scale = xlm_op3(b, XLM_OP_WHERE, spike, number(&x, NAN), scale);
  xlm_val applied = xlm_op2(b, XLM_OP_EQ, scale, scale);
  xlm_val skipped = xlm_op2(b, XLM_OP_SUB, number(&x, 1), applied);
  xlm_val_at(d->out, skipped)->name = "skipped";
  xlm_vals_add(d->out, &d->out->outputs, "skipped", skipped, (xlm_span){0, 0});
  return scale;
}
