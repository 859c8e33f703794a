// The functions of elements, of numbers (code.h): for the reference and for initial values.
#include <math.h>

#include "runtime/plan/code.h"

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double cdf(double x) {
  return 0.5 * erfc(-x * M_SQRT1_2);
}

static double tanh_argument(double x) {
  return sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}

static double f_add(double x, double y, double z) {
  return (void)z, x + y;
}
static double f_sub(double x, double y, double z) {
  return (void)z, x - y;
}
static double f_mul(double x, double y, double z) {
  return (void)z, x * y;
}
static double f_div(double x, double y, double z) {
  return (void)z, x / y;
}
static double f_min(double x, double y, double z) {
  return (void)z, x <= y ? x : y;
}
static double f_max(double x, double y, double z) {
  return (void)z, y <= x ? x : y;
}
static double f_neg(double x, double y, double z) {
  return (void)y, (void)z, -x;
}
static double f_abs(double x, double y, double z) {
  return (void)y, (void)z, fabs(x);
}
static double f_square(double x, double y, double z) {
  return (void)y, (void)z, x * x;
}
static double f_sqrt(double x, double y, double z) {
  return (void)y, (void)z, sqrt(x);
}
static double f_rsqrt(double x, double y, double z) {
  return (void)y, (void)z, 1 / sqrt(x);
}
static double f_recip(double x, double y, double z) {
  return (void)y, (void)z, 1 / x;
}
static double f_exp(double x, double y, double z) {
  return (void)y, (void)z, exp(x);
}
static double f_log(double x, double y, double z) {
  return (void)y, (void)z, log(x);
}
static double f_sin(double x, double y, double z) {
  return (void)y, (void)z, sin(x);
}
static double f_cos(double x, double y, double z) {
  return (void)y, (void)z, cos(x);
}
static double f_tanh(double x, double y, double z) {
  return (void)y, (void)z, tanh(x);
}
static double f_sigmoid(double x, double y, double z) {
  return (void)y, (void)z, sigmoid(x);
}
static double f_silu(double x, double y, double z) {
  return (void)y, (void)z, x * sigmoid(x);
}
static double f_gelu(double x, double y, double z) {
  return (void)y, (void)z, x * sigmoid(2 * tanh_argument(x));
}
static double f_gelu_erf(double x, double y, double z) {
  return (void)y, (void)z, x * cdf(x);
}
static double f_relu(double x, double y, double z) {
  return (void)y, (void)z, x > 0 ? x : 0;
}
static double f_sign(double x, double y, double z) {
  return (void)y, (void)z, (x > 0) - (x < 0);
}
static double f_floor(double x, double y, double z) {
  return (void)y, (void)z, floor(x);
}
static double f_ceil(double x, double y, double z) {
  return (void)y, (void)z, ceil(x);
}
static double f_round(double x, double y, double z) {
  return (void)y, (void)z, rint(x);
}
static double f_mod(double x, double y, double z) {
  return (void)z, x - y * floor(x / y);
}
static double f_pow(double x, double y, double z) {
  return (void)z, pow(x, y);
}
static double f_lt(double x, double y, double z) {
  return (void)z, x < y;
}
static double f_le(double x, double y, double z) {
  return (void)z, x <= y;
}
static double f_eq(double x, double y, double z) {
  return (void)z, x == y;
}
static double f_where(double x, double y, double z) {
  return x != 0 ? y : z;
}
static double f_cast(double x, double y, double z) {
  return (void)y, (void)z, x;
}

static double f_i32(double x, double y, double z) {
  if (isnan(x)) return 0;
  return (void)y, (void)z, trunc(fmax(INT32_MIN, fmin(INT32_MAX, x)));
}

static double f_silu_grad(double dy, double x, double z) {
  double s = sigmoid(x);
  return (void)z, dy * s * (1 + x * (1 - s));
}

static double f_gelu_grad(double dy, double x, double z) {
  double t = tanh(tanh_argument(x)), slope = sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
  return (void)z, dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope);
}

static double f_gelu_erf_grad(double dy, double x, double z) {
  return (void)z, dy * (cdf(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI));
}

static double (*const functions[XLM_FN_ELEMENTWISE])(double, double, double) = {
#define XLM_FN(name, NAME, arity, doc) [XLM_FN_##NAME] = f_##name,
#include "ops/elementwise.def"
#undef XLM_FN
};

double xlm_fn_number(xlm_fn f, double x, double y, double z) {
  return functions[f](x, y, z);
}
