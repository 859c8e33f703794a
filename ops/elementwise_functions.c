// Exponentials, sines, and the activation functions. A costly derivative (silu, gelu) is a function of its
// own; see elementwise.c.
#include <math.h>

#include "ops/elementwise_priv.h"

XLM_FN_RULES_BEGIN

static double exp_of(const double *x) {
  return exp(x[0]);
}

static void exp_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], g->out[0]));
}

const xlm_op xlm_op_exp = {XLM_FN_RULE(exp, 1), .fold = exp_of, .infer = xlm_fn_infer_real, .grad = exp_grad,
                           .doc = "`e^x`."};

static double log_of(const double *x) {
  return log(x[0]);
}

static void log_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_DIV, g->dout[0], g->in[0]));
}

const xlm_op xlm_op_log = {XLM_FN_RULE(log, 1), .fold = log_of, .infer = xlm_fn_infer_real, .grad = log_grad,
                           .doc = "The natural logarithm; minus infinity at 0, NaN below."};

static double sin_of(const double *x) {
  return sin(x[0]);
}

static void sin_grad(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_op1(g->b, XLM_OP_COS, g->in[0])));
}

const xlm_op xlm_op_sin = {XLM_FN_RULE(sin, 1), .fold = sin_of, .infer = xlm_fn_infer_real, .grad = sin_grad,
                           .doc = "The sine of `x` radians."};

static double cos_of(const double *x) {
  return cos(x[0]);
}

static void cos_grad(xlm_grad *g) {
  xlm_fn_give(
      g, 0,
      xlm_op1(g->b, XLM_OP_NEG, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], xlm_op1(g->b, XLM_OP_SIN, g->in[0]))));
}

const xlm_op xlm_op_cos = {XLM_FN_RULE(cos, 1), .fold = cos_of, .infer = xlm_fn_infer_real, .grad = cos_grad,
                           .doc = "The cosine of `x` radians."};

static void tanh_grad(xlm_grad *g) { // 1 - y^2
  xlm_val square = xlm_op1(g->b, XLM_OP_SQUARE, g->out[0]);
  xlm_val slope = xlm_op2(g->b, XLM_OP_SUB, xlm_scalar(g->b, 1), square);
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], slope));
}

const xlm_op xlm_op_tanh = {XLM_FN_RULE(tanh, 1), .infer = xlm_fn_infer_real, .grad = tanh_grad,
                            .doc =
                                "The hyperbolic tangent. Soft-capping a logit at `c` is `c * tanh(x / c)`."};

static void sigmoid_grad(xlm_grad *g) { // y (1 - y)
  xlm_val slope =
      xlm_op2(g->b, XLM_OP_MUL, g->out[0], xlm_op2(g->b, XLM_OP_SUB, xlm_scalar(g->b, 1), g->out[0]));
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_MUL, g->dout[0], slope));
}

const xlm_op xlm_op_sigmoid = {XLM_FN_RULE(sigmoid, 1), .grad = sigmoid_grad, .doc = "`1 / (1 + e^-x)`."};

static void silu_rule(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_SILU_GRAD, g->dout[0], g->in[0]));
}

const xlm_op xlm_op_silu = {
    XLM_FN_RULE(silu, 1), .grad = silu_rule,
    .doc = "`x * sigmoid(x)`, also called swish. SwiGLU is `silu(x @ gate) * (x @ up)`."};

static void gelu_rule(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_GELU_GRAD, g->dout[0], g->in[0]));
}

const xlm_op xlm_op_gelu = {
    XLM_FN_RULE(gelu, 1), .grad = gelu_rule,
    .doc = "GELU in the tanh form that GPT-2 uses: `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`."};

static void gelu_erf_rule(xlm_grad *g) {
  xlm_fn_give(g, 0, xlm_op2(g->b, XLM_OP_GELU_ERF_GRAD, g->dout[0], g->in[0]));
}

const xlm_op xlm_op_gelu_erf = {XLM_FN_RULE(gelu_erf, 1), .grad = gelu_erf_rule,
                                .doc = "GELU exactly: `0.5 x (1 + erf(x / sqrt(2)))`."};

const xlm_op xlm_op_silu_grad = {XLM_FN_GRAD_RULE(silu_grad),
                                 .doc = "`silu_grad(dy, x) = dy * s (1 + x (1 - s))` with `s = sigmoid(x)`."};

const xlm_op xlm_op_gelu_grad = {XLM_FN_GRAD_RULE(gelu_grad),
                                 .doc = "`gelu_grad(dy, x)`: `dy` times the derivative of `gelu` at `x`."};

const xlm_op xlm_op_gelu_erf_grad = {
    XLM_FN_GRAD_RULE(gelu_erf_grad),
    .doc = "`gelu_erf_grad(dy, x)`: `dy` times the derivative of `gelu_erf` at `x`, "
           "`0.5 (1 + erf(x / sqrt(2))) + x e^(-x^2/2) / sqrt(2 pi)`."};

static void relu_grad(xlm_grad *g) { // the result is nonzero exactly where x > 0
  xlm_fn_give(g, 0, xlm_op3(g->b, XLM_OP_WHERE, g->out[0], g->dout[0], xlm_scalar(g->b, 0)));
}

const xlm_op xlm_op_relu = {XLM_FN_RULE(relu, 1), .grad = relu_grad,
                            .doc = "`max(x, 0)`; the derivative at 0 is 0."};

XLM_FN_RULES_END
