// Cases of programs with rows: functions of rows among functions of elements, sums of what they give,
// operands of all kinds. A case whose build function is `forward`, `backward` or `sums` has its function and
// size in its name: "layernorm 65x768" is 65 rows of 768.
#include <stdio.h>
#include <string.h>

#include "runtime/plan/code.h"
#include "tests/ops/run_op.h"

enum { MOST = 16 };

typedef struct program {
  op_test *t;
  xlm_code code;
  xlm_code_instr at[MOST];
  xlm_val in[XLM_CODE_MAX_IN];
  int64_t dtypes[XLM_CODE_MAX_OUT];
} program;

static program *begin(op_test *t, int row) {
  program *p = XLM_NEW(t->b.g->arena, program);
  p->t = t;
  p->code.row = (uint16_t)row;
  p->code.at = p->at;
  return p;
}

// Operands come before instructions.
static uint16_t operand(program *p, xlm_val v) {
  XLM_ASSERT(!p->code.n, "an operand after an instruction");
  p->in[p->code.n_in] = v;
  return p->code.n_in++;
}

static uint16_t push(program *p, xlm_code_instr i) {
  XLM_ASSERT(p->code.n < MOST, "more than %d instructions", (int)MOST);
  p->at[p->code.n] = i;
  return (uint16_t)(p->code.n_in + p->code.n++);
}

static uint16_t f1(program *p, xlm_fn fn, uint16_t a) {
  return push(p, (xlm_code_instr){.fn = (uint16_t)fn, .a = {a}});
}
static uint16_t f2(program *p, xlm_fn fn, uint16_t a, uint16_t b) {
  return push(p, (xlm_code_instr){.fn = (uint16_t)fn, .a = {a, b}});
}
static uint16_t times(program *p, uint16_t a, double number) {
  return push(p, (xlm_code_instr){.fn = XLM_FN_MUL, .a = {a, XLM_CODE_IMM}, .imm = number});
}
static uint16_t norm(program *p, xlm_fn fn, uint16_t x, uint16_t dy) { // dy: of gradients
  return push(p, (xlm_code_instr){.fn = (uint16_t)fn, .a = {x, dy}, .imm = 1e-3});
}
static uint16_t rounded(program *p, uint16_t a) { // what a bf16 result would be
  if (p->t->dtype != XLM_BF16) return a;
  return push(p, (xlm_code_instr){.fn = XLM_FN_CAST, .a = {a}, .imm = XLM_BF16});
}

static void whole_as(program *p, uint16_t reg, xlm_dtype dtype) {
  p->dtypes[p->code.n_out] = dtype;
  p->code.out[p->code.n_out++] = reg;
}
static void whole(program *p, uint16_t reg) {
  whole_as(p, reg, p->t->dtype);
}
static void summed(program *p, uint16_t reg) {
  whole_as(p, reg, XLM_F32);
  p->code.n_summed++;
}

static void emit(program *p, const char *dims) {
  op_test *t = p->t;
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = &p->code});
  op_put_dims(t, &l, XLM_A_dims, dims);
  xlm_attr_put_ints(&l, XLM_A_dtypes, p->dtypes, p->code.n_out);
  xlm_val y = xlm_emit(&t->b, XLM_OP_FUSED, p->in, p->code.n_in, &l);
  for (int i = 0; i < p->code.n_out; i++) op_out_const(t, y + (xlm_val)i);
}

// ---- at many sizes

static void sizes(op_test *t, char *function) { // "FUNCTION ROWSxLEN" becomes dims `batch` and `hidden`
  long rows, len;
  int got = sscanf(t->the_case->name, "%31s %ldx%ld", function, &rows, &len);
  XLM_ASSERT(got == 3, "the name of the case: %s", t->the_case->name);
  op_dim(t, xlm_arena_printf(t->b.g->arena, "batch %ld", rows));
  op_dim(t, xlm_arena_printf(t->b.g->arena, "hidden %ld", len));
}

static void forward(op_test *t) { // of a residual block: x + branch, and that normalised, scaled, shifted
  char function[32];
  sizes(t, function);
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch, hidden]")),
           branch = operand(p, op_leaf(t, "branch[batch, hidden]"));
  uint16_t scale = operand(p, op_leaf(t, "scale[hidden]")), shift = operand(p, op_leaf(t, "shift[hidden]"));
  uint16_t h = rounded(p, f2(p, XLM_FN_ADD, x, branch));
  uint16_t y = norm(p, strcmp(function, "rmsnorm") ? XLM_FN_LAYERNORM : XLM_FN_RMSNORM, h, 0);
  y = f2(p, XLM_FN_ADD, f2(p, XLM_FN_MUL, y, scale), shift);
  whole(p, h);
  whole(p, y);
  emit(p, "batch hidden");
}

static void backward(op_test *t) { // the gradient to x + the residual's, to shift and to scale; and its sum
  char function[32];
  sizes(t, function);
  bool rms = !strcmp(function, "rmsnorm");
  program *p = begin(t, 1);
  uint16_t dy = operand(p, op_leaf(t, "dy[batch, hidden]")), x = operand(p, op_leaf(t, "x[batch, hidden]"));
  uint16_t dh = operand(p, op_leaf(t, "dh[batch, hidden]")), scale = operand(p, op_leaf(t, "scale[hidden]"));
  uint16_t hat = norm(p, rms ? XLM_FN_RMSNORM : XLM_FN_LAYERNORM, x, 0);
  uint16_t dscale = f2(p, XLM_FN_MUL, dy, hat), dhat = f2(p, XLM_FN_MUL, dy, scale);
  uint16_t dx = norm(p, rms ? XLM_FN_RMSNORM_BWD : XLM_FN_LAYERNORM_BWD, x, dhat);
  dx = rounded(p, f2(p, XLM_FN_ADD, dx, dh));
  whole(p, dx);
  summed(p, dy);
  summed(p, dscale);
  summed(p, dx);
  emit(p, "batch hidden");
}

static void sums(op_test *t) { // no function of rows: rows need not be whole; all results are summed
  char function[32];
  sizes(t, function);
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch, hidden]")), bias = operand(p, op_leaf(t, "bias[hidden]"));
  uint16_t y = f1(p, XLM_FN_SILU, f2(p, XLM_FN_ADD, x, bias));
  summed(p, y);
  summed(p, x);
  summed(p, f2(p, XLM_FN_MUL, rounded(p, times(p, y, 0.3)), x));
  emit(p, "batch hidden");
}

static void mixed(op_test *t) { // a result that is stored and summed
  char function[32];
  sizes(t, function);
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch, hidden]")), y = operand(p, op_leaf(t, "y[batch, hidden]"));
  uint16_t z = f2(p, XLM_FN_MUL, x, y);
  whole_as(p, z, XLM_F32);
  whole(p, z);
  summed(p, z);
  emit(p, "batch hidden");
}

// ---- operands and dims of all kinds

static void operands(op_test *t) { // in other orders, of every broadcast; rows of two dims
  program *p = begin(t, 2);
  uint16_t x = operand(p, op_leaf(t, "x[batch 3, seq 5, heads 4, head 6]"));
  uint16_t turned = operand(p, op_leaf(t, "turned[head, seq, heads, batch]"));
  uint16_t scale = operand(p, op_leaf(t, "scale[head, heads]")), bias = operand(p, op_leaf(t, "bias[head]"));
  uint16_t gate = operand(p, op_leaf(t, "gate[seq]")),
           per_head = operand(p, op_leaf(t, "per_head[batch, heads]"));
  uint16_t number = operand(p, op_leaf_f32(t, "number[]", 0.5, 1.5));
  uint16_t mask = operand(p, op_ints(t, "mask[batch, seq]", 0, 2));
  uint16_t y = norm(p, XLM_FN_LAYERNORM, f2(p, XLM_FN_ADD, x, turned), 0);
  y = f2(p, XLM_FN_ADD, f2(p, XLM_FN_MUL, y, scale), bias);
  uint16_t z = f2(p, XLM_FN_MUL, f2(p, XLM_FN_ADD, gate, per_head), number);
  uint16_t chosen = push(p, (xlm_code_instr){.fn = XLM_FN_WHERE, .a = {mask, y, z}});
  whole(p, chosen);
  whole_as(p, y, XLM_F32);
  summed(p, chosen);
  summed(p, turned);
  summed(p, number);
  emit(p, "batch seq heads head");
}

static void heads(op_test *t) { // a norm of each head (rows of one dim), by itself
  program *p = begin(t, 1);
  uint16_t q = operand(p, op_leaf(t, "q[batch 2, heads 5, seq 33, head 64]"));
  uint16_t scale = operand(p, op_leaf(t, "scale[head]"));
  whole(p, f2(p, XLM_FN_MUL, norm(p, XLM_FN_RMSNORM, q, 0), scale));
  emit(p, "batch heads seq head");
}

static void turned_heads(op_test *t) { // stored in another order than it is read
  program *p = begin(t, 1);
  uint16_t q = operand(p, op_leaf(t, "q[batch 2, seq 33, heads 5, head 64]"));
  uint16_t dy = operand(p, op_leaf(t, "dy[batch, heads, seq, head]"));
  uint16_t dx = norm(p, XLM_FN_RMSNORM_BWD, q, dy);
  whole(p, dx);
  summed(p, dx);
  emit(p, "batch heads seq head");
}

static void one_row(op_test *t) { // the row is the whole space
  program *p = begin(t, 2);
  uint16_t x = operand(p, op_leaf(t, "x[seq 7, hidden 90]"));
  uint16_t y = norm(p, XLM_FN_LAYERNORM, x, 0);
  whole(p, y);
  summed(p, y);
  emit(p, "seq hidden");
}

static void single_dims(op_test *t) { // of size 1, among the rows' dims and the others
  program *p = begin(t, 2);
  uint16_t x = operand(p, op_leaf(t, "x[one 1, batch 70, single 1, hidden 20]"));
  uint16_t y = norm(p, XLM_FN_RMSNORM, x, 0);
  whole(p, y);
  summed(p, f2(p, XLM_FN_MUL, y, y));
  emit(p, "one batch single hidden");
}

static void norms_of_repeated(op_test *t) { // rows that are one number, or all the same
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch 9, hidden 40]")), bias = operand(p, op_leaf(t, "bias[hidden]"));
  uint16_t weight = operand(p, op_leaf_range(t, "weight[batch]", 0.5, 1));
  uint16_t number = operand(p, op_leaf_range(t, "number[]", 0.5, 1));
  uint16_t a = norm(p, XLM_FN_RMSNORM, number, 0), b = norm(p, XLM_FN_RMSNORM, weight, 0);
  uint16_t c = norm(p, XLM_FN_LAYERNORM, bias, 0), d = norm(p, XLM_FN_RMSNORM_BWD, x, number);
  whole(p, f2(p, XLM_FN_ADD, f2(p, XLM_FN_ADD, a, b), f2(p, XLM_FN_ADD, c, d)));
  summed(p, a);
  summed(p, d);
  emit(p, "batch hidden");
}

static void norm_of_norm(op_test *t) { // registers are used again while rows of both are live
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch 37, hidden 50]")), y = x;
  for (int i = 0; i < 4; i++)
    y = f2(p, XLM_FN_ADD, x, f1(p, XLM_FN_GELU, norm(p, i % 2 ? XLM_FN_RMSNORM : XLM_FN_LAYERNORM, y, 0)));
  whole(p, y);
  emit(p, "batch hidden");
}

static void different_norms(op_test *t) { // with one sum over the row at a time and with several
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch 7, hidden 3000]")), dy = operand(p, op_leaf(t, "dy[batch, hidden]"));
  uint16_t a = norm(p, XLM_FN_RMSNORM_BWD, x, dy), b = norm(p, XLM_FN_LAYERNORM_BWD, a, x);
  whole(p, f2(p, XLM_FN_ADD, norm(p, XLM_FN_RMSNORM, b, 0), norm(p, XLM_FN_LAYERNORM, x, 0)));
  emit(p, "batch hidden");
}

static void sums_of_operands(op_test *t) { // no instruction
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch 131, hidden 70]")),
           y = operand(p, op_leaf(t, "y[hidden, batch]"));
  summed(p, x);
  summed(p, y);
  emit(p, "batch hidden");
}

static void in_place_of_sum(op_test *t) { // the operand with the type of the sum is read for every row
  program *p = begin(t, 1);
  uint16_t bias = operand(p, op_fixed(t, "bias[hidden 70]", -1, 1)),
           x = operand(p, op_leaf(t, "x[batch 300, hidden]"));
  summed(p, f1(p, XLM_FN_TANH, f2(p, XLM_FN_ADD, x, bias)));
  emit(p, "batch hidden");
}

static void no_rows(op_test *t) { // sums of nothing are zero
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[none 0, hidden 20]"));
  uint16_t y = norm(p, XLM_FN_RMSNORM, x, 0);
  whole(p, y);
  summed(p, y);
  emit(p, "none hidden");
}

static void no_columns(op_test *t) {
  program *p = begin(t, 1);
  uint16_t x = operand(p, op_leaf(t, "x[batch 20, none 0]"));
  uint16_t y = norm(p, XLM_FN_RMSNORM, x, 0);
  whole(p, y);
  summed(p, y);
  emit(p, "batch none");
}

#define ROWS(name, build)                                                                                    \
  { name, XLM_OP_FUSED, build, .no_grad = true, .bf16 = true }

static const op_case table[] = {
    ROWS("rmsnorm 5x1", forward),
    ROWS("rmsnorm 65x17", forward),
    ROWS("rmsnorm 1000x64", forward),
    ROWS("rmsnorm 63x768", forward),
    ROWS("rmsnorm 3x16384", forward),
    ROWS("layernorm 1x768", forward),
    ROWS("layernorm 64x64", forward),
    ROWS("layernorm 257x31", forward),
    ROWS("layernorm 17x768", forward),
    ROWS("layernorm 9x4099", forward),
    ROWS("rmsnorm 64x64", backward),
    ROWS("rmsnorm 1000x17", backward),
    ROWS("rmsnorm 65x4099", backward),
    ROWS("rmsnorm 63x600", backward),
    ROWS("layernorm 1x17", backward),
    ROWS("layernorm 63x127", backward),
    ROWS("layernorm 65x768", backward),
    ROWS("layernorm 1000x64", backward),
    ROWS("layernorm 2x16384", backward),
    ROWS("sums 1x1", sums),
    ROWS("sums 1x700", sums),
    ROWS("sums 63x1", sums),
    ROWS("sums 20000x1", sums),
    ROWS("sums 64x64", sums),
    ROWS("sums 65x700", sums),
    ROWS("sums 1000x17", sums),
    ROWS("sums 130x768", sums),
    ROWS("sums 67x4099", sums),
    ROWS("sums 3x65536", sums),
    ROWS("mixed 65x64", mixed),
    ROWS("mixed 131x1109", mixed),
    ROWS("operands", operands),
    ROWS("heads", heads),
    ROWS("turned_heads", turned_heads),
    ROWS("one_row", one_row),
    ROWS("single_dims", single_dims),
    ROWS("norms_of_repeated", norms_of_repeated),
    ROWS("norm_of_norm", norm_of_norm),
    ROWS("different_norms", different_norms),
    ROWS("sums_of_operands", sums_of_operands),
    ROWS("in_place_of_sum", in_place_of_sum),
    ROWS("no_rows", no_rows),
    ROWS("no_columns", no_columns),
};
const op_cases cases_rows = {table, sizeof table / sizeof *table};
