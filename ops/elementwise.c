// The elementwise functions, one xlm_op each, with a common inference rule.
//
// Operands broadcast by name: the result has the dimensions of the operand with the most, in its order, then
// the others' further ones. Gradients are emitted as elementwise functions, so that the fuse pass turns them
// into one pass over memory; a costly derivative (silu, gelu) is a separate function. If the derivative is
// cheap in terms of the result (exp, tanh, sigmoid, sqrt, ...), the gradient uses the result, so that the
// operand need not be stored.
#include <math.h>

#include "ops/rules_priv.h"

enum { MOST_WHOLE = 1 << 24 }; // integers below it are exact in f32

// ---- inference

static bool is_number(const xlm_infer *x, int i) { // does not raise the precision of the result
  return xlm_infer_type(x, i)->rank == 0 && xlm_node_is(xlm_val_node(x->g, x->in[i]), XLM_LEAF_CONSTANT);
}

static xlm_dtype promoted(const xlm_infer *x, int first) {
  bool any = false;
  for (int i = first; i < x->n_in; i++) {
    xlm_dtype t = xlm_infer_type(x, i)->dtype;
    if (is_number(x, i) || t == XLM_I32) continue;
    if (t != XLM_BF16) return t;
    any = true;
  }
  return any ? XLM_BF16 : XLM_F32;
}

static int widest(const xlm_infer *x) {
  int best = 0;
  for (int i = 1; i < x->n_in; i++)
    if (xlm_infer_type(x, i)->rank > xlm_infer_type(x, best)->rank) best = i;
  return best;
}

static bool add_dims(xlm_infer *x, xlm_type *out, int operand) {
  const xlm_type *t = xlm_infer_type(x, operand);
  for (int i = 0; i < t->rank; i++) {
    if (xlm_type_find(out, t->dim[i]) >= 0) continue;
    if (out->rank == XLM_MAX_RANK)
      return xlm_infer_fail(x, XLM_FAULT_RANK, operand,
                            "the result of `%s` would have more than %d dimensions", x->op->name,
                            XLM_MAX_RANK);
    out->dim[out->rank++] = t->dim[i];
  }
  return true;
}

// Rows of experts are packed: an operand with a value per expert but not per row cannot be broadcast along
// them. Real numbers have been repeated for the rows (compiler/elaborate/emit.c).
static bool check_ragged(xlm_infer *x, const xlm_type *out) {
  for (int i = 1; i < out->rank; i++) {
    if (!x->g->dims[out->dim[i]].ragged) continue;
    for (int j = 0; j < x->n_in; j++) {
      const xlm_type *t = xlm_infer_type(x, j);
      if ((xlm_type_find(t, out->dim[i - 1]) >= 0) == (xlm_type_find(t, out->dim[i]) >= 0)) continue;
      xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, j,
                     "%s does not broadcast to the rows of %s, whose number differs per `%s`",
                     xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, out), x->g->dims[out->dim[i - 1]].name);
      return xlm_infer_help(x, "real numbers do: write `f32(..)`");
    }
  }
  return true;
}

static bool infer_dims(xlm_infer *x, xlm_dtype dtype) {
  xlm_type out = *xlm_infer_type(x, widest(x));
  out.dtype = dtype;
  for (int i = 0; i < x->n_in; i++)
    if (!add_dims(x, &out, i)) return false;
  x->out[0] = out;
  return check_ragged(x, &out);
}

static bool infer(xlm_infer *x) {
  for (int i = 0; i < x->n_in; i++) {
    if (xlm_infer_is_float(x, i)) continue;
    return xlm_infer_help(x, "`f32(...)` makes real numbers of integers");
  }
  return infer_dims(x, promoted(x, 0));
}

// Real numbers, also of integers.
static bool infer_real(xlm_infer *x) {
  return infer_dims(x, promoted(x, 0));
}

static bool is_whole(const xlm_infer *x, int i) {
  if (xlm_infer_type(x, i)->dtype == XLM_I32) return true;
  double v = is_number(x, i) ? xlm_attr_float(&xlm_val_node(x->g, x->in[i])->attrs, XLM_A_value, 0) : 0.5;
  return v == floor(v) && fabs(v) < MOST_WHOLE;
}

// Integers where all operands from `first` on are integers, or whole numbers beside one.
static xlm_dtype closed(const xlm_infer *x, int first) {
  bool integers = false;
  for (int i = first; i < x->n_in; i++) {
    if (!is_whole(x, i)) return promoted(x, first);
    integers |= xlm_infer_type(x, i)->dtype == XLM_I32;
  }
  return integers ? XLM_I32 : promoted(x, first);
}

static bool infer_whole(xlm_infer *x) {
  return infer_dims(x, closed(x, 0));
}

static bool infer_where(xlm_infer *x) { // the condition may be of any type
  return infer_dims(x, closed(x, 1));
}

static bool infer_i32(xlm_infer *x) {
  return infer_dims(x, XLM_I32);
}

static bool infer_pow(xlm_infer *x) {
  if (!is_number(x, 1)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, 1, "the exponent of `pow` must be a number known before the run");
    return xlm_infer_help(x, "for an exponent that is computed, write `exp(y * log(x))`");
  }
  return infer_real(x);
}

static bool infer_cast(xlm_infer *x) {
  xlm_dtype to = (xlm_dtype)xlm_attr_enum(&x->attrs, XLM_A_dtype, XLM_F32);
  if (!xlm_dtype_is_float(to)) {
    xlm_infer_fail(x, XLM_FAULT_DTYPE, -1, "`cast` cannot make %s", xlm_dtype_name(to));
    return xlm_infer_help(x, "the element types to cast to are f32 and bf16; `i32(x)` makes integers");
  }
  x->out[0] = *xlm_infer_type(x, 0);
  x->out[0].dtype = to;
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->flops = xlm_rule_elements(g, xlm_node_at(g, n)->out);
}

// ---- gradients

// Emits the gradient of operand i, summed over the dimensions it was broadcast along.
static void give(xlm_grad *g, int i, xlm_val v) {
  xlm_type like = *xlm_val_type(g->b->g, g->in[i]);
  g->din[i] = xlm_sum_to(g->b, v, &like);
}

static xlm_val op1(xlm_grad *g, xlm_op_id op, xlm_val x) {
  return xlm_op1(g->b, op, x);
}
static xlm_val op2(xlm_grad *g, xlm_op_id op, xlm_val x, xlm_val y) {
  return xlm_op2(g->b, op, x, y);
}
static xlm_val number(xlm_grad *g, double value) {
  return xlm_scalar(g->b, value);
}

static void add_grad(xlm_grad *g) {
  for (int i = 0; i < 2; i++)
    if (g->need[i]) give(g, i, g->dout[0]);
}

static void sub_grad(xlm_grad *g) {
  if (g->need[0]) give(g, 0, g->dout[0]);
  if (g->need[1]) give(g, 1, op1(g, XLM_OP_NEG, g->dout[0]));
}

static void mul_grad(xlm_grad *g) {
  for (int i = 0; i < 2; i++)
    if (g->need[i]) give(g, i, op2(g, XLM_OP_MUL, g->dout[0], g->in[1 - i]));
}

static void div_grad(xlm_grad *g) { // d(x/y) = dx/y - (x/y) dy/y
  xlm_val q = op2(g, XLM_OP_DIV, g->dout[0], g->in[1]);
  if (g->need[0]) give(g, 0, q);
  if (g->need[1]) give(g, 1, op1(g, XLM_OP_NEG, op2(g, XLM_OP_MUL, q, g->out[0])));
}

static void choose_grad(xlm_grad *g, xlm_val first) { // first: 1 where the result is operand 0
  xlm_val zero = number(g, 0);
  if (g->need[0]) give(g, 0, xlm_op3(g->b, XLM_OP_WHERE, first, g->dout[0], zero));
  if (g->need[1]) give(g, 1, xlm_op3(g->b, XLM_OP_WHERE, first, zero, g->dout[0]));
}

static void min_grad(xlm_grad *g) {
  choose_grad(g, op2(g, XLM_OP_LE, g->in[0], g->in[1]));
}
static void max_grad(xlm_grad *g) {
  choose_grad(g, op2(g, XLM_OP_LE, g->in[1], g->in[0]));
}
static void neg_grad(xlm_grad *g) {
  give(g, 0, op1(g, XLM_OP_NEG, g->dout[0]));
}

static void abs_grad(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], op1(g, XLM_OP_SIGN, g->in[0])));
}

static void square_grad(xlm_grad *g) {
  give(g, 0, xlm_scale(g->b, op2(g, XLM_OP_MUL, g->dout[0], g->in[0]), 2));
}

static void sqrt_grad(xlm_grad *g) {
  give(g, 0, xlm_scale(g->b, op2(g, XLM_OP_DIV, g->dout[0], g->out[0]), 0.5));
}

static void rsqrt_grad(xlm_grad *g) { // -y^3 / 2
  xlm_val cube = op2(g, XLM_OP_MUL, g->out[0], op1(g, XLM_OP_SQUARE, g->out[0]));
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], xlm_scale(g->b, cube, -0.5)));
}

static void recip_grad(xlm_grad *g) {
  give(g, 0, op1(g, XLM_OP_NEG, op2(g, XLM_OP_MUL, g->dout[0], op1(g, XLM_OP_SQUARE, g->out[0]))));
}

static void exp_grad(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], g->out[0]));
}
static void log_grad(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_DIV, g->dout[0], g->in[0]));
}

static void sin_grad(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], op1(g, XLM_OP_COS, g->in[0])));
}
static void cos_grad(xlm_grad *g) {
  give(g, 0, op1(g, XLM_OP_NEG, op2(g, XLM_OP_MUL, g->dout[0], op1(g, XLM_OP_SIN, g->in[0]))));
}

static void mod_grad(xlm_grad *g) { // floor(x / y) is constant wherever the result is continuous
  if (g->need[0]) give(g, 0, g->dout[0]);
  if (!g->need[1]) return;
  xlm_val times = op1(g, XLM_OP_FLOOR, op2(g, XLM_OP_DIV, g->in[0], g->in[1]));
  give(g, 1, op1(g, XLM_OP_NEG, op2(g, XLM_OP_MUL, g->dout[0], times)));
}

static void tanh_grad(xlm_grad *g) { // 1 - y^2
  xlm_val square = op1(g, XLM_OP_SQUARE, g->out[0]);
  xlm_val slope = op2(g, XLM_OP_SUB, number(g, 1), square);
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], slope));
}

static void sigmoid_grad(xlm_grad *g) { // y (1 - y)
  xlm_val slope = op2(g, XLM_OP_MUL, g->out[0], op2(g, XLM_OP_SUB, number(g, 1), g->out[0]));
  give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], slope));
}

static void silu_rule(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_SILU_GRAD, g->dout[0], g->in[0]));
}
static void gelu_rule(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_GELU_GRAD, g->dout[0], g->in[0]));
}
static void gelu_erf_rule(xlm_grad *g) {
  give(g, 0, op2(g, XLM_OP_GELU_ERF_GRAD, g->dout[0], g->in[0]));
}

static void relu_grad(xlm_grad *g) { // the result is nonzero exactly where x > 0
  give(g, 0, xlm_op3(g->b, XLM_OP_WHERE, g->out[0], g->dout[0], number(g, 0)));
}

static void pow_grad(xlm_grad *g) {
  double p = xlm_attr_float(&xlm_val_node(g->b->g, g->in[1])->attrs, XLM_A_value, 0);
  xlm_val slope = op2(g, XLM_OP_POW, g->in[0], number(g, p - 1));
  if (g->need[0]) give(g, 0, op2(g, XLM_OP_MUL, g->dout[0], xlm_scale(g->b, slope, p)));
}

static void where_grad(xlm_grad *g) {
  xlm_val zero = number(g, 0);
  if (g->need[1]) give(g, 1, xlm_op3(g->b, XLM_OP_WHERE, g->in[0], g->dout[0], zero));
  if (g->need[2]) give(g, 2, xlm_op3(g->b, XLM_OP_WHERE, g->in[0], zero, g->dout[0]));
}

static void cast_grad(xlm_grad *g) {
  xlm_dtype t = xlm_val_type(g->b->g, g->in[0])->dtype;
  if (g->need[0] && xlm_dtype_is_float(t)) g->din[0] = xlm_cast_to(g->b, g->dout[0], t);
}

// ---- the table

// ---- functions on compile-time numbers

static double add_of(const double *x) {
  return x[0] + x[1];
}
static double sub_of(const double *x) {
  return x[0] - x[1];
}
static double mul_of(const double *x) {
  return x[0] * x[1];
}
static double div_of(const double *x) {
  return x[0] / x[1];
}
static double min_of(const double *x) {
  return x[0] <= x[1] ? x[0] : x[1];
}
static double max_of(const double *x) {
  return x[0] >= x[1] ? x[0] : x[1];
}
static double neg_of(const double *x) {
  return -x[0];
}
static double abs_of(const double *x) {
  return fabs(x[0]);
}
static double square_of(const double *x) {
  return x[0] * x[0];
}
static double sqrt_of(const double *x) {
  return sqrt(x[0]);
}
static double rsqrt_of(const double *x) {
  return 1 / sqrt(x[0]);
}
static double recip_of(const double *x) {
  return 1 / x[0];
}
static double exp_of(const double *x) {
  return exp(x[0]);
}
static double log_of(const double *x) {
  return log(x[0]);
}
static double sin_of(const double *x) {
  return sin(x[0]);
}
static double cos_of(const double *x) {
  return cos(x[0]);
}
static double floor_of(const double *x) {
  return floor(x[0]);
}
static double ceil_of(const double *x) {
  return ceil(x[0]);
}
static double round_of(const double *x) {
  return rint(x[0]);
}
static double mod_of(const double *x) {
  return x[0] - x[1] * floor(x[0] / x[1]);
}
static double pow_of(const double *x) {
  return pow(x[0], x[1]);
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

static const xlm_param params_1[] = {{"x", XLM_P_TENSOR, 0, true}, {0}};
static const xlm_param params_2[] = {{"x", XLM_P_TENSOR, 0, true}, {"y", XLM_P_TENSOR, 0, true}, {0}};
static const xlm_param params_3[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"y", XLM_P_TENSOR, 0, true}, {"z", XLM_P_TENSOR, 0, true}, {0}};
static const xlm_param params_cast[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"dtype", XLM_P_ENUM, XLM_A_dtype, false}, {0}};

static const char flat[] = "its derivative is 0 wherever it exists";
static const char first_order[] = "only first derivatives are defined";

#define LAYOUT_1 "[*] -> [*]"
#define LAYOUT_2 "[*] [*] -> [*]"
#define LINEAR " | *: linear"
#define SCALING " | *: scaling"
#define LAYOUT_3 "[*] [*] [*] -> [*]"
#define FN(fn, arity)                                                                                        \
  .name = #fn, .flags = XLM_OPF_ELEMENTWISE, .min_in = arity, .max_in = arity, .n_out = 1,                   \
  .in_place = (1u << arity) - 1, .params = params_##arity, .layout = LAYOUT_##arity, .infer = infer,         \
  .cost = cost
#define FN_GRAD(fn)                                                                                          \
  .name = #fn, .flags = XLM_OPF_ELEMENTWISE | XLM_OPF_INTERNAL, .min_in = 2, .max_in = 2, .n_out = 1,        \
  .in_place = 3, .layout = LAYOUT_2, .infer = infer, .cost = cost, .no_grad = first_order

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" // an entry may override the infer or params of FN
#if defined(__clang__)
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif
const xlm_op xlm_op_add = {
    FN(add, 2),
    .fold = add_of,
    .facts = {.terms = {1, 1}, .neutral = {{1, 0}, {2, 0}}},
    .infer = infer_whole,
    .grad = add_grad,
    .layout = LAYOUT_2 LINEAR,
    .doc = "`x + y`. Dimensions broadcast by name: `x[batch, seq, hidden] + bias[hidden]`."};
const xlm_op xlm_op_sub = {
    FN(sub, 2),           .fold = sub_of,   .facts = {.terms = {1, -1}, .neutral = {{2, 0}}},
    .infer = infer_whole, .grad = sub_grad, .layout = LAYOUT_2 LINEAR,
    .doc = "`x - y`."};
const xlm_op xlm_op_mul = {FN(mul, 2),
                           .fold = mul_of,
                           .facts = {.linear = 3, .neutral = {{1, 1}, {2, 1}}},
                           .infer = infer_whole,
                           .grad = mul_grad,
                           .layout = LAYOUT_2 SCALING,
                           .doc = "`x * y`, element by element; `@` is the matrix product."};
const xlm_op xlm_op_div = {
    FN(div, 2),          .fold = div_of,   .facts = {.linear = 1, .divisor = 2, .neutral = {{2, 1}}},
    .infer = infer_real, .grad = div_grad, .layout = LAYOUT_2 SCALING,
    .doc = "`x / y`."};
const xlm_op xlm_op_min = {
    FN(min, 2), .fold = min_of, .infer = infer_whole, .grad = min_grad,
    .doc = "`min(x, y)`, the smaller of the two; where they are equal the gradient goes to `x`."};
const xlm_op xlm_op_max = {
    FN(max, 2), .fold = max_of, .infer = infer_whole, .grad = max_grad,
    .doc = "`max(x, y)`, the larger of the two; where they are equal the gradient goes to `x`. `max(x, 0)` "
           "is `relu(x)`. For the largest element along a dimension see `amax`."};
const xlm_op xlm_op_neg = {FN(neg, 1),           .fold = neg_of,
                           .infer = infer_whole, .facts = {.linear = 1},
                           .grad = neg_grad,     .layout = LAYOUT_1 LINEAR,
                           .doc = "`-x`."};
const xlm_op xlm_op_abs = {FN(abs, 1), .fold = abs_of, .infer = infer_whole, .grad = abs_grad,
                           .doc = "`|x|`; the derivative at 0 is 0."};
const xlm_op xlm_op_square = {FN(square, 1), .fold = square_of, .infer = infer_whole, .grad = square_grad,
                              .doc = "`x * x`. Squared ReLU is `square(relu(x))`."};
const xlm_op xlm_op_sqrt = {FN(sqrt, 1), .fold = sqrt_of, .infer = infer_real, .grad = sqrt_grad,
                            .doc = "The square root; NaN below 0."};
const xlm_op xlm_op_rsqrt = {FN(rsqrt, 1), .fold = rsqrt_of, .infer = infer_real, .grad = rsqrt_grad,
                             .doc = "`1 / sqrt(x)`."};
const xlm_op xlm_op_recip = {FN(recip, 1), .fold = recip_of, .infer = infer_real, .grad = recip_grad,
                             .doc = "`1 / x`."};
const xlm_op xlm_op_exp = {FN(exp, 1), .fold = exp_of, .infer = infer_real, .grad = exp_grad,
                           .doc = "`e^x`."};
const xlm_op xlm_op_log = {FN(log, 1), .fold = log_of, .infer = infer_real, .grad = log_grad,
                           .doc = "The natural logarithm; minus infinity at 0, NaN below."};
const xlm_op xlm_op_sin = {FN(sin, 1), .fold = sin_of, .infer = infer_real, .grad = sin_grad,
                           .doc = "The sine of `x` radians."};
const xlm_op xlm_op_cos = {FN(cos, 1), .fold = cos_of, .infer = infer_real, .grad = cos_grad,
                           .doc = "The cosine of `x` radians."};
const xlm_op xlm_op_tanh = {FN(tanh, 1), .infer = infer_real, .grad = tanh_grad,
                            .doc =
                                "The hyperbolic tangent. Soft-capping a logit at `c` is `c * tanh(x / c)`."};
const xlm_op xlm_op_sigmoid = {FN(sigmoid, 1), .grad = sigmoid_grad, .doc = "`1 / (1 + e^-x)`."};
const xlm_op xlm_op_silu = {
    FN(silu, 1), .grad = silu_rule,
    .doc = "`x * sigmoid(x)`, also called swish. SwiGLU is `silu(x @ gate) * (x @ up)`."};
const xlm_op xlm_op_gelu = {
    FN(gelu, 1), .grad = gelu_rule,
    .doc = "GELU in the tanh form that GPT-2 uses: `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`."};
const xlm_op xlm_op_gelu_erf = {FN(gelu_erf, 1), .grad = gelu_erf_rule,
                                .doc = "GELU exactly: `0.5 x (1 + erf(x / sqrt(2)))`."};
const xlm_op xlm_op_relu = {FN(relu, 1), .grad = relu_grad, .doc = "`max(x, 0)`; the derivative at 0 is 0."};
const xlm_op xlm_op_sign = {FN(sign, 1), .infer = infer_whole, .no_grad = flat,
                            .doc = "-1, 0 or 1 by the sign of `x`. No gradient passes."};
const xlm_op xlm_op_floor = {FN(floor, 1), .fold = floor_of, .infer = infer_whole, .no_grad = flat,
                             .doc = "The largest whole number that is not above `x`. No gradient passes."};
const xlm_op xlm_op_ceil = {FN(ceil, 1), .fold = ceil_of, .infer = infer_whole, .no_grad = flat,
                            .doc = "The smallest whole number that is not below `x`. No gradient passes."};
const xlm_op xlm_op_round = {
    FN(round, 1), .fold = round_of, .infer = infer_whole, .no_grad = flat,
    .doc = "The whole number nearest to `x`; of two that are equally near, the even one. No gradient passes: "
           "a straight-through estimate is `x + stop_gradient(round(x) - x)`."};
const xlm_op xlm_op_mod = {FN(mod, 2), .fold = mod_of, .infer = infer_whole, .grad = mod_grad,
                           .doc =
                               "`x % y`, the remainder `x - y * floor(x / y)`, which has the sign of `y`."};
const xlm_op xlm_op_pow = {
    FN(pow, 2),
    .fold = pow_of,
    .facts = {.neutral = {{2, 1}}},
    .simpler = simpler_pow,
    .infer = infer_pow,
    .grad = pow_grad,
    .doc = "`x^y` with a number `y` known before the run. A negative `x` requires a whole `y`."};
const xlm_op xlm_op_lt = {FN(lt, 2), .infer = infer_real, .no_grad = flat,
                          .doc = "`x < y`: 1 where it holds, else 0, as real numbers. Integers may be "
                                 "compared too. No gradient passes."};
const xlm_op xlm_op_le = {FN(le, 2), .infer = infer_real, .no_grad = flat,
                          .doc = "`x <= y`: 1 where it holds, else 0."};
const xlm_op xlm_op_eq = {FN(eq, 2), .infer = infer_real, .no_grad = flat,
                          .doc = "`x == y`: 1 where it holds, else 0."};
const xlm_op xlm_op_where = {
    FN(where, 3), .infer = infer_where, .grad = where_grad,
    .doc = "`where(x, y, z)` is `y` where `x` is not 0 and `z` where it is. No gradient passes to `x`. "
           "Example: `where(x < 0, 0.1 * x, x)` is a leaky ReLU."};
const xlm_op xlm_op_cast = {
    FN(cast, 1),
    XLM_TAKES({XLM_A_dtype, .may = true, .among = XLM_FLOATS}),
    .facts = {.linear = 1, .keeps_values = true},
    .infer = infer_cast,
    .params = params_cast,
    .grad = cast_grad,
    .doc = "`cast(x)`: `x` in the element type of the run (`--dtype`), after a part in full precision; "
           "`cast(x, dtype = bf16)`: in any run. `f32(x)` asks for full precision in a bf16 run."};
const xlm_op xlm_op_i32 = {
    FN(i32, 1), .infer = infer_i32, .no_grad = flat,
    .doc =
        "`x` without its fraction (towards 0), as an integer, for `lookup` and other uses as an index. NaN "
        "gives 0, and a number beyond 32 bits the nearest one that fits."};
const xlm_op xlm_op_silu_grad = {FN_GRAD(silu_grad),
                                 .doc = "`silu_grad(dy, x) = dy * s (1 + x (1 - s))` with `s = sigmoid(x)`."};
const xlm_op xlm_op_gelu_grad = {FN_GRAD(gelu_grad),
                                 .doc = "`gelu_grad(dy, x)`: `dy` times the derivative of `gelu` at `x`."};
const xlm_op xlm_op_gelu_erf_grad = {
    FN_GRAD(gelu_erf_grad), .doc = "`gelu_erf_grad(dy, x)`: `dy` times the derivative of `gelu_erf` at `x`, "
                                   "`0.5 (1 + erf(x / sqrt(2))) + x e^(-x^2/2) / sqrt(2 pi)`."};
#pragma GCC diagnostic pop
