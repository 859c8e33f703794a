// Cases of the elementwise family: every function plain, broadcasting, at large and odd sizes, and as fused
// programs.
#include <math.h>

#include "runtime/plan/code.h"
#include "tests/ops/run_op.h"

static int arity(const op_test *t) {
  return xlm_op_at(t->the_case->op)->max_in;
}

static void emit_out(op_test *t, const xlm_val *in, int n) {
  op_out(t, xlm_emit(&t->b, t->the_case->op, in, n, NULL));
}

static void plain(op_test *t) {
  xlm_val in[3] = {op_leaf(t, "x[batch 3, seq 7]")};
  if (arity(t) > 1) in[1] = op_leaf(t, "y[batch, seq]");
  if (arity(t) > 2) in[2] = op_leaf(t, "z[batch, seq]");
  emit_out(t, in, arity(t));
}

static void wide_range(op_test *t) { // functions must hold far out, too
  xlm_val in[2] = {op_leaf_range(t, "x[wide 150]", -12, 12)};
  if (arity(t) > 1) in[1] = op_leaf_range(t, "y[wide]", -12, 12);
  emit_out(t, in, arity(t));
}

static void positive(op_test *t) {
  xlm_val in[2] = {op_leaf_range(t, "x[batch 3, seq 7]", 0.2, 4)};
  if (arity(t) > 1) in[1] = op_leaf_range(t, "y[batch, seq]", 0.3, 3);
  emit_out(t, in, arity(t));
}

static void divide(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 3, seq 7]"), op_leaf_range(t, "y[seq]", 0.5, 2)}, 2);
}

static void inner_broadcast(op_test *t) { // a bias
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 2, seq 3, hidden 37]"), op_leaf(t, "y[hidden]")}, 2);
}

static void outer_broadcast(op_test *t) { // a weight per row; the narrow operand first
  emit_out(t, (xlm_val[]){op_leaf(t, "y[batch 2, seq 3]"), op_leaf(t, "x[batch, seq, hidden 37]")}, 2);
}

static void middle_broadcast(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 2, heads 3, seq 4, head 5]"), op_leaf(t, "y[batch, seq]")}, 2);
}

static void other_order(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 4, seq 4]"), op_leaf(t, "y[seq, batch]")}, 2);
}

static void outer_product(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 5]"), op_leaf(t, "y[hidden 6]")}, 2);
}

static void scalar(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 5, seq 9]"), op_leaf(t, "y[]")}, 2);
}
static void number(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 5]"), xlm_scalar(&t->b, 0.37)}, 2);
}

static void twice(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 5, seq 3]");
  emit_out(t, (xlm_val[]){x, x}, 2);
}

static void large(op_test *t) { // several blocks per row, several rows per worker, a ragged tail
  xlm_val in[2] = {op_leaf(t, "x[batch 31, wide 1109]")};
  if (arity(t) > 1) in[1] = op_leaf(t, "y[wide]");
  emit_out(t, in, arity(t));
}

static void short_rows(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[batch 3001, experts 7]"), op_leaf(t, "y[experts]")}, 2);
}

static void
equal_operands(op_test *t) { // where both are equal the gradient goes to x: a difference of one side
  static const double values[4] = {1, 2, 3, 4};
  emit_out(t, (xlm_val[]){op_data(t, "x[batch 4]", values), op_data(t, "y[batch]", values)}, 2);
}

static void power(op_test *t, double p, double lo) {
  emit_out(t, (xlm_val[]){op_leaf_range(t, "x[batch 3, seq 7]", lo, 3), xlm_scalar(&t->b, p)}, 2);
}
static void power_2(op_test *t) {
  power(t, 2, -3);
}
static void power_3(op_test *t) {
  power(t, 3, -3);
}
static void power_minus_2(op_test *t) {
  power(t, -2, 0.5);
}
static void power_half(op_test *t) {
  power(t, 0.5, 0.5);
}
static void power_1_7(op_test *t) {
  power(t, 1.7, 0.3);
}
static void power_0(op_test *t) {
  power(t, 1, -3);
}

static void choose(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, seq 7]"), y = op_leaf(t, "y[batch, seq]");
  xlm_val smaller = xlm_op2(&t->b, XLM_OP_LT, x, y);
  op_out(t, xlm_op3(&t->b, XLM_OP_WHERE, smaller, x, xlm_op2(&t->b, XLM_OP_MUL, x, y)));
}

static void choose_by_integer(op_test *t) {
  xlm_val c = op_ints(t, "c[batch 3, seq 7]", 0, 2);
  op_out(t, xlm_op3(&t->b, XLM_OP_WHERE, c, op_leaf(t, "x[batch, seq]"), op_leaf(t, "y[seq]")));
}

static void compare(op_test *t) {
  xlm_val in[2] = {op_leaf(t, "x[batch 3, seq 7]"), op_leaf(t, "y[batch, seq]")};
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, NULL));
}

static void compare_integers(op_test *t) {
  xlm_val in[2] = {op_ints(t, "x[batch 3, seq 7]", 0, 4), op_ints(t, "y[batch, seq]", 0, 4)};
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, NULL));
}

static void plain_const(op_test *t) {
  xlm_val in[2] = {op_leaf_range(t, "x[batch 3, seq 7]", -40, 40)};
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 1, NULL));
}

static void halves(op_test *t) { // they go to the even neighbour
  static const double x[] = {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0, 7, -7, 8388607.5};
  op_out_const(t, xlm_op1(&t->b, t->the_case->op, op_data(t, "x[batch 10]", x)));
}

static void ends(op_test *t) { // nothing is too large for an integer
  static const double x[] = {-2.5, -0.9, 0.9, 1e9, -1e9, NAN, 3000, -1e9};
  op_out_const(t, xlm_op1(&t->b, XLM_OP_I32, op_data(t, "x[batch 8]", x)));
}

static void far_out(op_test *t) { // angles of many turns
  op_out(t, xlm_op1(&t->b, t->the_case->op, op_leaf_range(t, "x[batch 3, seq 70]", -60000, 60000)));
}

static void remainder_of(op_test *t) { // of numbers of both signs
  xlm_val x = op_leaf_range(t, "x[batch 5, seq 9]", -7, 7), y = op_leaf_range(t, "y[seq]", 0.8, 2.1);
  op_out(t, xlm_op2(&t->b, XLM_OP_MOD, x, y));
  op_out(t, xlm_op2(&t->b, XLM_OP_MOD, x, xlm_op1(&t->b, XLM_OP_NEG, y)));
}

static void integers_1(op_test *t) { // stay integers
  xlm_val y = xlm_op1(&t->b, t->the_case->op, op_ints(t, "x[batch 3, seq 67]", -9, 70000));
  op_out_const(t, y);
}

static void integers_2(op_test *t) {
  xlm_val in[2] = {op_ints(t, "x[batch 3, seq 67]", -900, 900)};
  in[1] = op_ints(t, "y[seq]", 1, 70);
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, NULL));
  in[1] = xlm_scalar(&t->b, 3);
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, NULL));
}

static void choose_integers(op_test *t) {
  xlm_val x = op_ints(t, "x[batch 3, seq 67]", 0, 4), y = op_ints(t, "y[seq]", 0, 4);
  op_out_const(t, xlm_op3(&t->b, XLM_OP_WHERE, xlm_op2(&t->b, XLM_OP_LT, x, y), x, xlm_scalar(&t->b, -1)));
}

static void of_integers(op_test *t) { // a real number
  op_out_const(t, xlm_op1(&t->b, t->the_case->op, op_ints(t, "x[batch 3, seq 67]", 1, 90)));
}

static void scaled_by_integers(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, seq 67]");
  op_out(t, xlm_op2(&t->b, XLM_OP_MUL, x, op_ints(t, "k[seq]", -5, 5)));
}

static void cast_down_up(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, seq 27]");
  op_out(t, xlm_cast_to(&t->b, xlm_cast_to(&t->b, x, XLM_BF16), XLM_F32));
}

static void cast_up(op_test *t) {
  op_out(t, xlm_cast_to(&t->b, op_leaf(t, "x[batch 3, seq 27]"), XLM_F32));
}

static void cast_integers(op_test *t) {
  op_out(t, xlm_op1(&t->b, XLM_OP_CAST, op_ints(t, "x[batch 3, seq 27]", -9, 70000)));
}

static void plain_sign(op_test *t) {
  op_out_const(t, xlm_op1(&t->b, XLM_OP_SIGN, op_leaf(t, "x[batch 3, seq 7]")));
}

static void functions_grad(op_test *t) { // silu_grad and the like, called directly
  xlm_val in[2] = {op_fixed(t, "dy[wide 150]", -1, 1), op_fixed(t, "x[wide]", -12, 12)};
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, NULL));
}

// ---- fused programs

static xlm_val fuse(op_test *t, const xlm_val *in, const xlm_code *code, const char *dims,
                    const int64_t *dtypes) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = code});
  op_put_dims(t, &l, XLM_A_dims, dims);
  xlm_attr_put_ints(&l, XLM_A_dtypes, dtypes, code->n_out);
  xlm_val y = xlm_emit(&t->b, XLM_OP_FUSED, in, code->n_in, &l);
  for (int i = 0; i < code->n_out; i++) op_out_const(t, y + (xlm_val)i);
  return y;
}

static void chain(op_test *t) { // silu(x) * y * 0.5 + bias, and its input doubled: two results, one of them
                                // an operand's place
  static const xlm_code_instr at[] = {
      {XLM_FN_SILU, {0}, 0},   {XLM_FN_MUL, {3, 1}, 0}, {XLM_FN_MUL, {4, XLM_CODE_IMM}, 0.5},
      {XLM_FN_ADD, {5, 2}, 0}, {XLM_FN_ADD, {0, 0}, 0},
  };
  static const xlm_code code = {.n_in = 3, .n = 5, .n_out = 3, .at = at, .out = {6, 7, 4}};
  xlm_val in[3] = {op_leaf(t, "x[batch 9, seq 3, hidden 611]"), op_leaf(t, "y[batch, seq, hidden]"),
                   op_leaf(t, "b[hidden]")};
  int64_t narrow = t->dtype == XLM_BF16 ? XLM_BF16 : XLM_F32;
  fuse(t, in, &code, "batch seq hidden", (int64_t[]){narrow, XLM_F32, narrow});
}

static void copy_operand(op_test *t) { // results that are operands, in another order and type
  static const xlm_code code = {.n_in = 2, .n = 0, .n_out = 2, .out = {1, 0}};
  xlm_val in[2] = {op_leaf(t, "x[batch 9, seq 130]"), op_leaf(t, "y[seq, batch]")};
  fuse(t, in, &code, "batch seq", (int64_t[]){XLM_BF16, XLM_F32});
}

static void many_registers(op_test *t) { // every operand lives to the end
  enum { N = XLM_CODE_MAX_IN };
  static xlm_code_instr at[N];
  static xlm_code code = {.n_in = N, .n = N - 1, .n_out = 1, .at = at, .out = {N + N - 2}};
  xlm_val in[N], x = op_leaf(t, "x[batch 3, seq 65]"), y = op_leaf(t, "y[seq]");
  for (int i = 0; i < N; i++) in[i] = i % 2 ? y : x;
  at[0] = (xlm_code_instr){XLM_FN_MUL, {N - 1, 0}, 0};
  for (int i = 1; i < N - 1; i++)
    at[i] = (xlm_code_instr){XLM_FN_ADD, {(uint16_t)(N + i - 1), (uint16_t)i}, 0};
  fuse(t, in, &code, "batch seq", (int64_t[]){XLM_F32});
}

static void reversed_immediate(op_test *t) { // the number is the first operand
  static const xlm_code_instr at[] = {{XLM_FN_SUB, {XLM_CODE_IMM, 0}, 1}, {XLM_FN_DIV, {XLM_CODE_IMM, 1}, 2}};
  static const xlm_code code = {.n_in = 1, .n = 2, .n_out = 1, .at = at, .out = {2}};
  fuse(t, (xlm_val[]){op_leaf_range(t, "x[batch 70]", 2, 3)}, &code, "batch", (int64_t[]){XLM_F32});
}

static void only_numbers(op_test *t) {
  static const xlm_code_instr at[] = {{XLM_FN_EXP, {XLM_CODE_IMM}, 1}};
  static const xlm_code code = {.n_in = 0, .n = 1, .n_out = 1, .at = at, .out = {0}};
  op_dim(t, "batch 70");
  fuse(t, NULL, &code, "batch", (int64_t[]){XLM_F32});
}

static void empty(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[none 0, seq 3]"), op_leaf(t, "y[seq]")}, 2);
}
static void rank_0(op_test *t) {
  emit_out(t, (xlm_val[]){op_leaf(t, "x[]"), op_leaf(t, "y[]")}, 2);
}

static const op_case table[] = {
    {"plain", XLM_OP_ADD, plain, .bf16 = true},
    {"inner_broadcast", XLM_OP_ADD, inner_broadcast, .bf16 = true},
    {"large", XLM_OP_ADD, large, .bf16 = true},
    {"short_rows", XLM_OP_ADD, short_rows, .bf16 = true},
    {"other_order", XLM_OP_ADD, other_order},
    {"rank_0", XLM_OP_ADD, rank_0},
    {"empty", XLM_OP_ADD, empty},
    {"plain", XLM_OP_SUB, plain, .bf16 = true},
    {"outer_broadcast", XLM_OP_SUB, outer_broadcast, .bf16 = true},
    {"plain", XLM_OP_MUL, plain, .bf16 = true},
    {"inner_broadcast", XLM_OP_MUL, inner_broadcast, .bf16 = true},
    {"outer_broadcast", XLM_OP_MUL, outer_broadcast, .bf16 = true},
    {"middle_broadcast", XLM_OP_MUL, middle_broadcast, .bf16 = true},
    {"other_order", XLM_OP_MUL, other_order, .bf16 = true},
    {"outer_product", XLM_OP_MUL, outer_product, .bf16 = true},
    {"scalar", XLM_OP_MUL, scalar, .bf16 = true},
    {"number", XLM_OP_MUL, number, .bf16 = true},
    {"twice", XLM_OP_MUL, twice, .bf16 = true},
    {"large", XLM_OP_MUL, large, .bf16 = true},
    {"plain", XLM_OP_DIV, divide, .bf16 = true},
    {"plain", XLM_OP_MIN, plain, .bf16 = true},
    {"equal", XLM_OP_MIN, equal_operands},
    {"plain", XLM_OP_MAX, plain, .bf16 = true},
    {"equal", XLM_OP_MAX, equal_operands},
    {"scalar", XLM_OP_MAX, scalar},
    {"plain", XLM_OP_NEG, plain, .bf16 = true},
    {"plain", XLM_OP_ABS, plain, .bf16 = true},
    {"plain", XLM_OP_SQUARE, plain, .bf16 = true},
    {"plain", XLM_OP_SQRT, positive, .bf16 = true},
    {"plain", XLM_OP_RSQRT, positive, .bf16 = true},
    {"plain", XLM_OP_RECIP, positive, .bf16 = true},
    {"plain", XLM_OP_EXP, plain, .bf16 = true},
    {"wide", XLM_OP_EXP, wide_range, .bf16 = true, .tol_bf16 = 4e-2},
    {"plain", XLM_OP_LOG, positive, .bf16 = true},
    {"plain", XLM_OP_TANH, plain, .bf16 = true},
    {"wide", XLM_OP_TANH, wide_range},
    {"plain", XLM_OP_SIGMOID, plain, .bf16 = true},
    {"wide", XLM_OP_SIGMOID, wide_range},
    {"plain", XLM_OP_SILU, plain, .bf16 = true},
    {"wide", XLM_OP_SILU, wide_range, .bf16 = true},
    {"large", XLM_OP_SILU, large},
    {"plain", XLM_OP_GELU, plain, .bf16 = true},
    {"wide", XLM_OP_GELU, wide_range, .bf16 = true},
    {"plain", XLM_OP_GELU_ERF, plain, .bf16 = true},
    {"wide", XLM_OP_GELU_ERF, wide_range, .bf16 = true},
    {"plain", XLM_OP_RELU, plain, .bf16 = true},
    {"plain", XLM_OP_SIGN, plain_sign, .no_grad = true},
    {"plain", XLM_OP_SIN, plain, .bf16 = true},
    {"wide", XLM_OP_SIN, wide_range},
    {"far", XLM_OP_SIN, far_out, .no_grad = true},
    {"integers", XLM_OP_SIN, of_integers, .no_grad = true},
    {"plain", XLM_OP_COS, plain, .bf16 = true},
    {"far", XLM_OP_COS, far_out, .no_grad = true},
    {"plain", XLM_OP_FLOOR, plain_const, .bf16 = true, .no_grad = true},
    {"halves", XLM_OP_FLOOR, halves, .no_grad = true},
    {"plain", XLM_OP_CEIL, plain_const, .bf16 = true, .no_grad = true},
    {"halves", XLM_OP_CEIL, halves, .no_grad = true},
    {"plain", XLM_OP_ROUND, plain_const, .bf16 = true, .no_grad = true},
    {"halves", XLM_OP_ROUND, halves, .no_grad = true},
    {"integers", XLM_OP_ROUND, integers_1, .no_grad = true},
    {"both_signs", XLM_OP_MOD, remainder_of},
    {"integers", XLM_OP_MOD, integers_2, .no_grad = true},
    {"plain", XLM_OP_I32, plain_const, .bf16 = true, .no_grad = true},
    {"ends", XLM_OP_I32, ends, .no_grad = true},
    {"integers", XLM_OP_ADD, integers_2, .no_grad = true},
    {"integers", XLM_OP_SUB, integers_2, .no_grad = true},
    {"integers", XLM_OP_MUL, integers_2, .no_grad = true},
    {"by_integers", XLM_OP_MUL, scaled_by_integers, .bf16 = true},
    {"integers", XLM_OP_DIV, integers_2, .no_grad = true},
    {"integers", XLM_OP_MIN, integers_2, .no_grad = true},
    {"integers", XLM_OP_MAX, integers_2, .no_grad = true},
    {"integers", XLM_OP_NEG, integers_1, .no_grad = true},
    {"integers", XLM_OP_ABS, integers_1, .no_grad = true},
    {"integers", XLM_OP_SIGN, integers_1, .no_grad = true},
    {"integers", XLM_OP_LOG, of_integers, .no_grad = true},
    {"integers", XLM_OP_WHERE, choose_integers, .no_grad = true},
    {"2", XLM_OP_POW, power_2, .bf16 = true},
    {"3", XLM_OP_POW, power_3, .bf16 = true},
    {"1", XLM_OP_POW, power_0},
    {"minus_2", XLM_OP_POW, power_minus_2, .bf16 = true},
    {"half", XLM_OP_POW, power_half},
    {"1.7", XLM_OP_POW, power_1_7},
    {"plain", XLM_OP_LT, compare, .no_grad = true},
    {"integers", XLM_OP_LT, compare_integers, .no_grad = true},
    {"plain", XLM_OP_LE, compare, .no_grad = true},
    {"integers", XLM_OP_LE, compare_integers, .no_grad = true},
    {"plain", XLM_OP_EQ, compare, .no_grad = true},
    {"integers", XLM_OP_EQ, compare_integers, .no_grad = true},
    {"plain", XLM_OP_WHERE, choose, .bf16 = true},
    {"by_integer", XLM_OP_WHERE, choose_by_integer, .bf16 = true},
    {"down_up", XLM_OP_CAST, cast_down_up, .tol = 5e-3},
    {"up", XLM_OP_CAST, cast_up, .bf16 = true},
    {"integers", XLM_OP_CAST, cast_integers, .no_grad = true},
    {"wide", XLM_OP_SILU_GRAD, functions_grad, .no_grad = true},
    {"wide", XLM_OP_GELU_GRAD, functions_grad, .no_grad = true},
    {"wide", XLM_OP_GELU_ERF_GRAD, functions_grad, .no_grad = true},
    {"chain", XLM_OP_FUSED, chain, .no_grad = true, .bf16 = true},
    {"copy_operand", XLM_OP_FUSED, copy_operand, .no_grad = true, .bf16 = true, .tol = 5e-3},
    {"many_registers", XLM_OP_FUSED, many_registers, .no_grad = true},
    {"reversed_immediate", XLM_OP_FUSED, reversed_immediate, .no_grad = true},
    {"only_numbers", XLM_OP_FUSED, only_numbers, .no_grad = true},
};
const op_cases cases_elementwise = {table, sizeof table / sizeof *table};
