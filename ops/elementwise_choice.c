// Choices and steps: the smaller and the larger of two, comparisons, rounding, element types; see
// elementwise.c.
#include <math.h>

#include "ops/elementwise_priv.h"

XLM_FN_RULES_BEGIN

// first: 1 where the result is operand 0
static void choose_grad(xlm_grad *g, xlm_val first) {
  xlm_val zero = xlm_scalar(g->b, 0);
  if (g->need[0]) xlm_fn_give(g, 0, xlm_op3(g->b, XLM_OP_WHERE, first, g->dout[0], zero));
  if (g->need[1]) xlm_fn_give(g, 1, xlm_op3(g->b, XLM_OP_WHERE, first, zero, g->dout[0]));
}

static double min_of(const double *x) {
  return x[0] <= x[1] ? x[0] : x[1];
}

static void min_grad(xlm_grad *g) {
  choose_grad(g, xlm_op2(g->b, XLM_OP_LE, g->in[0], g->in[1]));
}

const xlm_op xlm_op_min = {
    XLM_FN_RULE(min, 2), .fold = min_of, .infer = xlm_fn_infer_whole, .grad = min_grad,
    .doc = "`min(x, y)`, the smaller of the two; where they are equal the gradient goes to `x`."};

static double max_of(const double *x) {
  return x[0] >= x[1] ? x[0] : x[1];
}

static void max_grad(xlm_grad *g) {
  choose_grad(g, xlm_op2(g->b, XLM_OP_LE, g->in[1], g->in[0]));
}

const xlm_op xlm_op_max = {
    XLM_FN_RULE(max, 2), .fold = max_of, .infer = xlm_fn_infer_whole, .grad = max_grad,
    .doc = "`max(x, y)`, the larger of the two; where they are equal the gradient goes to `x`. `max(x, 0)` "
           "is `relu(x)`. For the largest element along a dimension see `amax`."};

static bool infer_where(xlm_infer *x) { // the condition may be of any type
  return xlm_fn_infer_dims(x, xlm_fn_integers(x, 1));
}

static void where_grad(xlm_grad *g) {
  xlm_val zero = xlm_scalar(g->b, 0);
  if (g->need[1]) xlm_fn_give(g, 1, xlm_op3(g->b, XLM_OP_WHERE, g->in[0], g->dout[0], zero));
  if (g->need[2]) xlm_fn_give(g, 2, xlm_op3(g->b, XLM_OP_WHERE, g->in[0], zero, g->dout[0]));
}

const xlm_op xlm_op_where = {
    XLM_FN_RULE(where, 3), .infer = infer_where, .grad = where_grad,
    .doc = "`where(x, y, z)` is `y` where `x` is not 0 and `z` where it is. No gradient passes to `x`. "
           "Example: `where(x < 0, 0.1 * x, x)` is a leaky ReLU."};

const xlm_op xlm_op_lt = {XLM_FN_RULE(lt, 2), .infer = xlm_fn_infer_real, .no_grad = xlm_fn_flat,
                          .doc = "`x < y`: 1 where it holds, else 0, as real numbers. Integers may be "
                                 "compared too. No gradient passes."};

const xlm_op xlm_op_le = {XLM_FN_RULE(le, 2), .infer = xlm_fn_infer_real, .no_grad = xlm_fn_flat,
                          .doc = "`x <= y`: 1 where it holds, else 0."};

const xlm_op xlm_op_eq = {XLM_FN_RULE(eq, 2), .infer = xlm_fn_infer_real, .no_grad = xlm_fn_flat,
                          .doc = "`x == y`: 1 where it holds, else 0."};

const xlm_op xlm_op_sign = {XLM_FN_RULE(sign, 1), .infer = xlm_fn_infer_whole, .no_grad = xlm_fn_flat,
                            .doc = "-1, 0 or 1 by the sign of `x`. No gradient passes."};

static double floor_of(const double *x) {
  return floor(x[0]);
}

const xlm_op xlm_op_floor = {XLM_FN_RULE(floor, 1), .fold = floor_of, .infer = xlm_fn_infer_whole,
                             .no_grad = xlm_fn_flat,
                             .doc = "The largest whole number that is not above `x`. No gradient passes."};

static double ceil_of(const double *x) {
  return ceil(x[0]);
}

const xlm_op xlm_op_ceil = {XLM_FN_RULE(ceil, 1), .fold = ceil_of, .infer = xlm_fn_infer_whole,
                            .no_grad = xlm_fn_flat,
                            .doc = "The smallest whole number that is not below `x`. No gradient passes."};

static double round_of(const double *x) {
  return rint(x[0]);
}

const xlm_op xlm_op_round = {
    XLM_FN_RULE(round, 1), .fold = round_of, .infer = xlm_fn_infer_whole, .no_grad = xlm_fn_flat,
    .doc = "The whole number nearest to `x`; of two that are equally near, the even one. No gradient passes: "
           "a straight-through estimate is `x + stop_gradient(round(x) - x)`."};

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

static void cast_grad(xlm_grad *g) {
  xlm_dtype t = xlm_val_type(g->b->g, g->in[0])->dtype;
  if (g->need[0] && xlm_dtype_is_float(t)) g->din[0] = xlm_cast_to(g->b, g->dout[0], t);
}

static const xlm_param params_cast[] = {
    {"x", XLM_P_TENSOR, 0, true}, {"dtype", XLM_P_ENUM, XLM_A_dtype, false}, {0}};

const xlm_op xlm_op_cast = {
    XLM_FN_RULE(cast, 1),
    XLM_TAKES({XLM_A_dtype, .may = true, .among = XLM_FLOATS}),
    .facts = {.linear = 1, .keeps_values = true},
    .infer = infer_cast,
    .params = params_cast,
    .grad = cast_grad,
    .doc = "`cast(x)`: `x` in the element type of the run (`--dtype`), after a part in full precision; "
           "`cast(x, dtype = bf16)`: in any run. `f32(x)` asks for full precision in a bf16 run."};

static bool infer_i32(xlm_infer *x) {
  return xlm_fn_infer_dims(x, XLM_I32);
}

const xlm_op xlm_op_i32 = {
    XLM_FN_RULE(i32, 1), .infer = infer_i32, .no_grad = xlm_fn_flat,
    .doc =
        "`x` without its fraction (towards 0), as an integer, for `lookup` and other uses as an index. NaN "
        "gives 0, and a number beyond 32 bits the nearest one that fits."};

XLM_FN_RULES_END
