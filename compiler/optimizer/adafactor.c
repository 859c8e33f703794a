// adafactor: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", ICML 2018.
// Stores only the means of the rows and columns of a matrix's second moment. The variant: decay 1 - t^-0.8,
// updates clipped to a root mean square of 1, no first moment, and the run's learning rate instead of a
// relative step.
//
// The second moment is never formed as a product of rows and columns, which would underflow f32 for small
// gradients.
#include "compiler/optimizer/step_priv.h"

static double count(const xlm_graph *g, const xlm_dim *dims, int n) {
  double size = 1;
  for (int i = 0; i < n; i++) size *= (double)g->dims[dims[i]].full;
  return size;
}

static xlm_val mean(xlm_build *b, xlm_val x, const xlm_dim *over, int n) {
  return xlm_scale(b, xlm_sum_over(b, x, over, n), 1 / count(b->g, over, n));
}

static xlm_val mean_of_all(xlm_build *b, xlm_val x) {
  xlm_type t = *xlm_val_type(b->g, x);
  return mean(b, x, t.dim, t.rank);
}

// Stores and returns state + share (now - state).
static xlm_val moment(xlm_step *s, const char *what, xlm_val now, xlm_val share) {
  xlm_type t = *xlm_val_type(s->b->g, now);
  xlm_val state = xlm_step_state(s, what, t.dim, t.rank);
  xlm_val change = xlm_op2(s->b, XLM_OP_MUL, xlm_op2(s->b, XLM_OP_SUB, now, state), share);
  xlm_val next = xlm_op2(s->b, XLM_OP_ADD, state, change);
  xlm_step_store(s, state, next);
  return next;
}

static xlm_val divide_by_root(xlm_build *b, xlm_val x, xlm_val v) {
  return xlm_op2(b, XLM_OP_MUL, x, xlm_op1(b, XLM_OP_RSQRT, v));
}

// g / sqrt(v), v[row, column] = r[row] c[column] / mean(r).
static xlm_val scaled_by_factors(xlm_step *s, xlm_val g, xlm_val square, xlm_val share) {
  const xlm_matrix *m = s->matrix;
  xlm_val r = moment(s, "adafactor.r", mean(s->b, square, m->out, m->n_out), share);
  xlm_val c = moment(s, "adafactor.c", mean(s->b, square, m->in, m->n_in), share);
  xlm_val relative = xlm_op2(s->b, XLM_OP_DIV, r, mean(s->b, r, m->in, m->n_in));
  return divide_by_root(s->b, divide_by_root(s->b, g, relative), c);
}

static void build(xlm_step *s) {
  xlm_build *b = s->b;
  xlm_val g = xlm_step_gradient(s), one = xlm_scalar(b, 1);
  xlm_val eps = xlm_scalar(b, xlm_step_setting(s, "adafactor_eps"));
  xlm_val square = xlm_op2(b, XLM_OP_ADD, xlm_op1(b, XLM_OP_SQUARE, g), eps);
  xlm_val share = xlm_op2(b, XLM_OP_POW, s->step, xlm_scalar(b, -xlm_step_setting(s, "adafactor_decay")));
  xlm_val u = s->matrix ? scaled_by_factors(s, g, square, share)
                        : divide_by_root(b, g, moment(s, "adafactor.v", square, share));
  xlm_val rms = xlm_op1(b, XLM_OP_SQRT, mean_of_all(b, xlm_op1(b, XLM_OP_SQUARE, u)));
  xlm_val over = xlm_scale(b, rms, 1 / xlm_step_setting(s, "adafactor_clip"));
  xlm_step_descend(s, xlm_op2(b, XLM_OP_DIV, u, xlm_op2(b, XLM_OP_MAX, over, one)));
}

const xlm_optimizer xlm_optimizer_adafactor = {
    .name = "adafactor",
    .settings = {{"adafactor_decay", 0.8, 0, 10, "c of the second moment's decay 1 - t^-c"},
                 {"adafactor_eps", 1e-30, 1e-37, 1, "added to squared gradients"},
                 {"adafactor_clip", 1, 1e-6, 1e6, "largest root mean square of an update, before the rate"}},
    .build = build,
    .doc =
        "s = t^-c; q = g^2 + eps; for matrices r = r + s (mean of q over columns - r), c = c + s (mean over "
        "rows - c), v = r c / mean(r); for others v = v + s (q - v); u = g / sqrt(v); "
        "p = p - lr (u / max(1, rms(u) / clip) + decay p). Shazeer & Stern, ICML 2018, algorithms 4 and 5 "
        "without relative step sizes."};
