// Arithmetic: sums, products, powers and roots; see elementwise.c.
#include <math.h>

#include "ops/elementwise_priv.h"

XLM_FN_RULES_BEGIN

static double add_of(const double *x) {
  return x[0] + x[1];
}

static void add_grad(xlm_grad *g) {
  for (int i = 0; i < 2; i++)
    if (g->need[i]) xlm_fn_give(g, i, g->dout[0]);
}

const xlm_op xlm_op_add = {
    XLM_FN_RULE(add, 2),
    .fold = add_of,
    .facts = {.terms = {1, 1}, .neutral = {{1, 0}, {2, 0}}},
    .infer = xlm_fn_infer_whole,
    .grad = add_grad,
    .layout = XLM_FN_LAYOUT_2 XLM_FN_LINEAR,
    .doc = "`x + y`. Dimensions broadcast by name: `x[batch, seq, hidden] + bias[hidden]`."};

static double sub_of(const double *x) {
  return x[0] - x[1];
}

static void sub_grad(xlm_grad *g) {
  if (g->need[0]) xlm_fn_give(g, 0, g->dout[0]);
  if (g->need[1]) xlm_fn_give(g, 1, xlm_op1(g->b, XLM_OP_NEG, g->dout[0]));
}

const xlm_op xlm_op_sub = {XLM_FN_RULE(sub, 2),
                           .fold = sub_of,
                           .facts = {.terms = {1, -1}, .neutral = {{2, 0}}},
                           .infer = xlm_fn_infer_whole,
                           .grad = sub_grad,
                           .layout = XLM_FN_LAYOUT_2 XLM_FN_LINEAR,
                           .doc = "`x - y`."};

static double mul_of(const double *x) {
  return x[0] * x[1];
}

static void mul_grad(xlm_grad *g) {
  for (int i = 0; i < 2; i++)
    if (g->need[i]) xlm_fn_give(g, i, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], g->in[1 - i]));
}

const xlm_op xlm_op_mul = {XLM_FN_RULE(mul, 2),
                           .fold = mul_of,
                           .facts = {.linear = 3, .neutral = {{1, 1}, {2, 1}}},
                           .infer = xlm_fn_infer_whole,
                           .grad = mul_grad,
                           .layout = XLM_FN_LAYOUT_2 XLM_FN_SCALING,
                           .doc = "`x * y`, element by element; `@` is the matrix product."};

static double div_of(const double *x) {
  return x[0] / x[1];
}

static void div_grad(xlm_grad *g) { // d(x/y) = dx/y - (x/y) dy/y
  xlm_val q = xlm_op2(g->b, XLM_OP_DIV, g->dout[0], g->in[1]);
  if (g->need[0]) xlm_fn_give(g, 0, q);
  if (g->need[1]) xlm_fn_give(g, 1, xlm_op1(g->b, XLM_OP_NEG, xlm_op2(g->b, XLM_OP_MUL, q, g->out[0])));
}

const xlm_op xlm_op_div = {
    XLM_FN_RULE(div, 2),        .fold = div_of,   .facts = {.linear = 1, .divisor = 2, .neutral = {{2, 1}}},
    .infer = xlm_fn_infer_real, .grad = div_grad, .layout = XLM_FN_LAYOUT_2 XLM_FN_SCALING,
    .doc = "`x / y`."};

static double mod_of(const double *x) {
  return x[0] - x[1] * floor(x[0] / x[1]);
}

static void mod_grad(xlm_grad *g) { // floor(x / y) is constant wherever the result is continuous
  if (g->need[0]) xlm_fn_give(g, 0, g->dout[0]);
  if (!g->need[1]) return;
  xlm_val times = xlm_op1(g->b, XLM_OP_FLOOR, xlm_op2(g->b, XLM_OP_DIV, g->in[0], g->in[1]));
  xlm_fn_give(g, 1, xlm_op1(g->b, XLM_OP_NEG, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], times)));
}

const xlm_op xlm_op_mod = {XLM_FN_RULE(mod, 2), .fold = mod_of, .infer = xlm_fn_infer_whole, .grad = mod_grad,
                           .doc =
                               "`x % y`, the remainder `x - y * floor(x / y)`, which has the sign of `y`."};

static double neg_of(const double *x) {
  return -x[0];
}

static void neg_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op1(g->b, XLM_OP_NEG, g->dout[0]));
}

const xlm_op xlm_op_neg = {XLM_FN_RULE(neg, 1),    .fold = neg_of,   .infer = xlm_fn_infer_whole,
                           .facts = {.linear = 1}, .grad = neg_grad, .layout = XLM_FN_LAYOUT_1 XLM_FN_LINEAR,
                           .doc = "`-x`."};

static double abs_of(const double *x) {
  return fabs(x[0]);
}

static void abs_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_op1(g->b, XLM_OP_SIGN, g->in[0])));
}

const xlm_op xlm_op_abs = {XLM_FN_RULE(abs, 1), .fold = abs_of, .infer = xlm_fn_infer_whole, .grad = abs_grad,
                           .doc = "`|x|`; the derivative at 0 is 0."};

static double square_of(const double *x) {
  return x[0] * x[0];
}

static void square_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_scale(g->b, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], g->in[0]), 2));
}

const xlm_op xlm_op_square = {XLM_FN_RULE(square, 1), .fold = square_of, .infer = xlm_fn_infer_whole,
                              .grad = square_grad, .doc = "`x * x`. Squared ReLU is `square(relu(x))`."};

static double sqrt_of(const double *x) {
  return sqrt(x[0]);
}

static void sqrt_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_scale(g->b, xlm_op2(g->b, XLM_OP_DIV, g->dout[0], g->out[0]), 0.5));
}

const xlm_op xlm_op_sqrt = {XLM_FN_RULE(sqrt, 1), .fold = sqrt_of, .infer = xlm_fn_infer_real,
                            .grad = sqrt_grad, .doc = "The square root; NaN below 0."};

static double rsqrt_of(const double *x) {
  return 1 / sqrt(x[0]);
}

static void rsqrt_grad(xlm_grad *g) { // -y^3 / 2
  xlm_val cube = xlm_op2(g->b, XLM_OP_MUL, g->out[0], xlm_op1(g->b, XLM_OP_SQUARE, g->out[0]));
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_scale(g->b, cube, -0.5)));
}

const xlm_op xlm_op_rsqrt = {XLM_FN_RULE(rsqrt, 1), .fold = rsqrt_of, .infer = xlm_fn_infer_real,
                             .grad = rsqrt_grad, .doc = "`1 / sqrt(x)`."};

static double recip_of(const double *x) {
  return 1 / x[0];
}

static void recip_grad(xlm_grad *g) {
  xlm_fn_give(g, 0,
              xlm_op1(g->b, XLM_OP_NEG,
                      xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_op1(g->b, XLM_OP_SQUARE, g->out[0]))));
}

const xlm_op xlm_op_recip = {XLM_FN_RULE(recip, 1), .fold = recip_of, .infer = xlm_fn_infer_real,
                             .grad = recip_grad, .doc = "`1 / x`."};

static bool infer_pow(xlm_infer *x) {
  if (!xlm_fn_is_number(x, 1)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, 1, "the exponent of `pow` must be a number known before the run");
    return xlm_infer_help(x, "for an exponent that is computed, write `exp(y * log(x))`");
  }
  return xlm_fn_infer_real(x);
}

static double pow_of(const double *x) {
  return pow(x[0], x[1]);
}

static void pow_grad(xlm_grad *g) {
  double p = xlm_attr_float(&xlm_val_node(g->b->g, g->in[1])->attrs, XLM_A_value, 0);
  xlm_val slope = xlm_op2(g->b, XLM_OP_POW, g->in[0], xlm_scalar(g->b, p - 1));
  if (g->need[0]) xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_scale(g->b, slope, p)));
}

static xlm_op_id simpler_pow(double exponent) {
  static const struct {
    double exponent;
    xlm_op_id op;
  } powers[] = {{2, XLM_OP_SQUARE}, {0.5, XLM_OP_SQRT}, {-0.5, XLM_OP_RSQRT}, {-1, XLM_OP_RECIP}};
  for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
    if (powers[i].exponent == exponent) return powers[i].op;
  return XLM_OP_NONE;
}

const xlm_op xlm_op_pow = {
    XLM_FN_RULE(pow, 2),
    .fold = pow_of,
    .facts = {.neutral = {{2, 1}}},
    .simpler = simpler_pow,
    .infer = infer_pow,
    .grad = pow_grad,
    .doc = "`x^y` with a number `y` known before the run. A negative `x` requires a whole `y`."};

XLM_FN_RULES_END
