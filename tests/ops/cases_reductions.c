// Cases of reductions, softmax, norms and the leaves' neighbours: each over the last, a middle, the first,
// several neighbouring and several scattered dimensions, and at sizes that need more than one block.
#include "tests/ops/run_op.h"

static void reduce(op_test *t, const char *decl, const char *over) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  if (over) op_put_dims(t, &l, XLM_A_over, over);
  op_out(t, xlm_emit(&t->b, t->the_case->op, &x, 1, &l));
}

static void last(op_test *t) {
  reduce(t, "x[batch 2, seq 3, hidden 37]", "hidden");
}
static void first(op_test *t) {
  reduce(t, "x[batch 5, seq 3, hidden 17]", "batch");
}
static void middle(op_test *t) {
  reduce(t, "x[batch 2, seq 5, hidden 7]", "seq");
}
static void neighbours(op_test *t) {
  reduce(t, "x[batch 4, seq 5, hidden 7]", "batch seq");
}
static void scattered(op_test *t) {
  reduce(t, "x[batch 3, seq 4, heads 2, head 5]", "batch heads");
}
static void ends(op_test *t) {
  reduce(t, "x[batch 3, seq 4, head 5]", "head batch");
}
static void unset(op_test *t) {
  reduce(t, "x[batch 3, seq 4, head 5]", NULL);
}
static void one(op_test *t) {
  reduce(t, "x[batch 3, single 1]", "single");
}
static void long_rows(op_test *t) {
  reduce(t, "x[batch 3, wide 5003]", "wide");
}
static void long_columns(op_test *t) {
  reduce(t, "x[batch 1203, wide 67]", "batch");
}
static void long_both(op_test *t) {
  reduce(t, "x[batch 7, seq 300, hidden 130]", "batch seq");
}
static void everything(op_test *t) {
  reduce(t, "x[batch 70, seq 301]", "batch seq");
}
static void nothing(op_test *t) {
  reduce(t, "x[batch 3, none 0]", "none");
}

// Sizes at which GPU kernels change their ways: whole 16-byte accesses, rows for a thread, a warp, a block,
// several parts; columns that fill tiles, several of them.
static void single(op_test *t) {
  reduce(t, "x[single 1]", "single");
}
static void short_rows(op_test *t) {
  reduce(t, "x[batch 300, hidden 16]", "hidden");
}
static void even_rows(op_test *t) {
  reduce(t, "x[batch 9, hidden 768]", "hidden");
}
static void wide_rows(op_test *t) {
  reduce(t, "x[batch 3, wide 4096]", "wide");
}
static void even_parts(op_test *t) {
  reduce(t, "x[batch 2, wide 20000]", "wide");
}
static void odd_parts(op_test *t) {
  reduce(t, "x[batch 2, wide 16411]", "wide");
}
static void even_columns(op_test *t) {
  reduce(t, "x[batch 300, hidden 64]", "batch");
}
static void wide_columns(op_test *t) {
  reduce(t, "x[batch 11, wide 1024]", "batch");
}
static void odd_columns(op_test *t) {
  reduce(t, "x[batch 131, wide 263]", "batch");
}
static void even_scattered(op_test *t) { // columns, then rows, with whole accesses
  reduce(t, "x[batch 3, heads 5, seq 40, head 16]", "batch seq");
}
static void even_ends(op_test *t) {
  reduce(t, "x[batch 3, seq 4, head 16]", "head batch");
}
static void largest_norm(op_test *t) { // longer than a block's registers
  reduce(t, "x[batch 2, wide 16640]", "wide");
}

static xlm_val
dispatched(op_test *t) { // [experts, routed, hidden]: rows packed by expert, one expert without rows
  op_dim(t, "experts 4");
  xlm_val x = op_leaf(t, "x[seq 5, hidden 7]");
  xlm_val e = op_int_data(t, "e[seq, active 2]", (int[]){0, 1, 3, 0, 1, 3, 0, 3, 1, 0});
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_experts, "experts");
  return xlm_emit(&t->b, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2, &l);
}

static void packed_rows(op_test *t) { // a bias inside the experts: its gradient sums all rows
  xlm_val bias = op_leaf(t, "bias[hidden 7]"), xs = dispatched(t);
  xlm_val y = xlm_op1(&t->b, XLM_OP_TANH, xlm_op2(&t->b, XLM_OP_ADD, xs, bias));
  xlm_type like = *xlm_val_type(t->b.g, bias);
  op_out(t, xlm_sum_to(&t->b, y, &like));
}

static void packed_all(op_test *t) {
  xlm_val xs = dispatched(t), y = xlm_op1(&t->b, XLM_OP_SQUARE, xs);
  op_out(t, xlm_emit(&t->b, XLM_OP_SUM, &y, 1, NULL));
}

static void packed_inner(op_test *t) { // [experts, routed]: still one number per row
  xlm_val xs = dispatched(t), y = xlm_op1(&t->b, XLM_OP_SQUARE, xs), s;
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  s = xlm_emit(&t->b, XLM_OP_SUM, &y, 1, &l);
  op_out(t, xlm_emit(&t->b, XLM_OP_SUM, &s, 1, NULL));
}

static void packed_norm(op_test *t) { // a norm inside the experts
  xlm_val y = xlm_op1(&t->b, XLM_OP_RMSNORM, dispatched(t));
  y = xlm_op1(&t->b, XLM_OP_TANH, y);
  op_out(t, xlm_emit(&t->b, XLM_OP_SUM, &y, 1, NULL));
}

static void equal_elements(op_test *t) { // the gradient goes to the first: checked against the reference
  static const double values[6] = {1, 4, 4, 2, 2, 2};
  xlm_val in[2] = {op_data(t, "x[batch 2, seq 3]", values), op_fixed(t, "dy[batch]", 1, 2)};
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "seq");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_AMAX_BWD, in, 2, &l));
}

// Gradients with a float dy where x may be bf16.
static void norm_bwd(op_test *t, const char *decl, const char *dy_decl) {
  xlm_val in[2] = {op_leaf(t, decl), op_fixed(t, dy_decl, -1, 1)};
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_float(&l, XLM_A_eps, 1e-3);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  op_out_const(t, xlm_emit(&t->b, t->the_case->op, in, 2, &l));
}
static void norm_bwd_odd(op_test *t) {
  norm_bwd(t, "x[batch 3, hidden 37]", "dy[batch, hidden]");
}
static void norm_bwd_warp(op_test *t) {
  norm_bwd(t, "x[batch 9, hidden 1024]", "dy[batch, hidden]");
}
static void norm_bwd_block(op_test *t) {
  norm_bwd(t, "x[batch 2, hidden 6000]", "dy[batch, hidden]");
}

static void repeat_to(op_test *t, const char *decl, const char *dims) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_dims, dims);
  op_out(t, xlm_emit(&t->b, XLM_OP_BROADCAST, &x, 1, &l));
}

static void repeat_rows(op_test *t) {
  repeat_to(t, "x[hidden 37]", "batch 3 seq 5 hidden");
}
static void repeat_elements(op_test *t) {
  repeat_to(t, "x[batch 3, seq 5]", "batch seq hidden 37");
}
static void repeat_even_rows(op_test *t) {
  repeat_to(t, "x[hidden 64]", "batch 3 seq 5 hidden");
}
static void repeat_even_elements(op_test *t) {
  repeat_to(t, "x[batch 3, seq 5]", "batch seq hidden 64");
}
static void repeat_scalar(op_test *t) {
  repeat_to(t, "x[]", "batch 3 seq 50");
}
static void repeat_reordered(op_test *t) {
  repeat_to(t, "x[seq 4, batch 3]", "batch heads 2 seq");
}

static void far_out(op_test *t) { // large numbers must not overflow
  xlm_val x = op_leaf_range(t, "x[batch 3, seq 20]", -200, 200);
  op_out(t, xlm_emit(&t->b, t->the_case->op, &x, 1, NULL));
}

static void offset_rows(op_test *t) { // a mean much larger than the spread
  xlm_val x = op_leaf_range(t, "x[batch 3, hidden 200]", 30, 31);
  op_out(t, xlm_emit(&t->b, t->the_case->op, &x, 1, NULL));
}

static void with_eps(op_test *t) {
  xlm_val x = op_leaf_range(t, "x[batch 3, hidden 20]", -0.2, 0.2);
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_float(&l, XLM_A_eps, 0.03);
  op_out(t, xlm_emit(&t->b, t->the_case->op, &x, 1, &l));
}

static void scaled_norm(op_test *t) { // as a model uses it
  xlm_val x = op_leaf(t, "x[batch 2, seq 3, hidden 20]"), scale = op_leaf(t, "scale[hidden]");
  op_out(t, xlm_op2(&t->b, XLM_OP_MUL, xlm_op1(&t->b, t->the_case->op, x), scale));
}

static void
stopped(op_test *t) { // x * stop(x): the derivative is stop(x), not 2x; so only values are compared
  xlm_val x = op_leaf(t, "x[batch 4]");
  xlm_val y = xlm_op1(&t->b, XLM_OP_STOP_GRADIENT, op_fixed(t, "y[batch]", -1, 1));
  op_out(t, xlm_op2(&t->b, XLM_OP_MUL, x, y));
}

static const op_case table[] = {
    {"last", XLM_OP_SUM, last, .bf16 = true},
    {"first", XLM_OP_SUM, first, .bf16 = true},
    {"middle", XLM_OP_SUM, middle, .bf16 = true},
    {"neighbours", XLM_OP_SUM, neighbours, .bf16 = true},
    {"scattered", XLM_OP_SUM, scattered, .bf16 = true},
    {"ends", XLM_OP_SUM, ends},
    {"unset", XLM_OP_SUM, unset},
    {"one", XLM_OP_SUM, one},
    {"long_rows", XLM_OP_SUM, long_rows, .bf16 = true},
    {"long_columns", XLM_OP_SUM, long_columns, .bf16 = true},
    {"long_both", XLM_OP_SUM, long_both},
    {"everything", XLM_OP_SUM, everything, .bf16 = true},
    {"nothing", XLM_OP_SUM, nothing, .no_grad = true},
    {"packed_rows", XLM_OP_SUM, packed_rows, .bf16 = true},
    {"packed_all", XLM_OP_SUM, packed_all},
    {"packed_inner", XLM_OP_SUM, packed_inner},
    {"single", XLM_OP_SUM, single, .bf16 = true},
    {"short_rows", XLM_OP_SUM, short_rows, .bf16 = true},
    {"even_rows", XLM_OP_SUM, even_rows, .bf16 = true},
    {"even_parts", XLM_OP_SUM, even_parts, .bf16 = true},
    {"odd_parts", XLM_OP_SUM, odd_parts, .bf16 = true},
    {"even_columns", XLM_OP_SUM, even_columns, .bf16 = true},
    {"wide_columns", XLM_OP_SUM, wide_columns, .bf16 = true},
    {"odd_columns", XLM_OP_SUM, odd_columns, .bf16 = true},
    {"even_scattered", XLM_OP_SUM, even_scattered, .bf16 = true},
    {"even_ends", XLM_OP_SUM, even_ends, .bf16 = true},
    {"packed", XLM_OP_RMSNORM, packed_norm},
    {"last", XLM_OP_MEAN, last, .bf16 = true},
    {"first", XLM_OP_MEAN, first},
    {"scattered", XLM_OP_MEAN, scattered},
    {"everything", XLM_OP_MEAN, everything, .bf16 = true},
    {"even_columns", XLM_OP_MEAN, even_columns, .bf16 = true},
    {"last", XLM_OP_AMAX, last, .bf16 = true},
    {"first", XLM_OP_AMAX, first, .bf16 = true},
    {"middle", XLM_OP_AMAX, middle},
    {"scattered", XLM_OP_AMAX, scattered},
    {"long_rows", XLM_OP_AMAX, long_rows},
    {"long_columns", XLM_OP_AMAX, long_columns},
    {"even_rows", XLM_OP_AMAX, even_rows, .bf16 = true},
    {"odd_parts", XLM_OP_AMAX, odd_parts},
    {"even_columns", XLM_OP_AMAX, even_columns, .bf16 = true},
    {"equal", XLM_OP_AMAX_BWD, equal_elements, .no_grad = true},
    {"rows", XLM_OP_BROADCAST, repeat_rows, .bf16 = true},
    {"elements", XLM_OP_BROADCAST, repeat_elements, .bf16 = true},
    {"even_rows", XLM_OP_BROADCAST, repeat_even_rows, .bf16 = true},
    {"even_elements", XLM_OP_BROADCAST, repeat_even_elements, .bf16 = true},
    {"scalar", XLM_OP_BROADCAST, repeat_scalar},
    {"reordered", XLM_OP_BROADCAST, repeat_reordered, .bf16 = true},
    {"last", XLM_OP_SOFTMAX, last, .bf16 = true},
    {"unset", XLM_OP_SOFTMAX, unset},
    {"middle", XLM_OP_SOFTMAX, middle, .bf16 = true},
    {"first", XLM_OP_SOFTMAX, first},
    {"scattered", XLM_OP_SOFTMAX, scattered, .bf16 = true},
    {"long_rows", XLM_OP_SOFTMAX, long_rows},
    {"far_out", XLM_OP_SOFTMAX, far_out, .tol = 1e-4},
    {"last", XLM_OP_LOGSUMEXP, last, .bf16 = true},
    {"middle", XLM_OP_LOGSUMEXP, middle},
    {"scattered", XLM_OP_LOGSUMEXP, scattered},
    {"long_rows", XLM_OP_LOGSUMEXP, long_rows},
    {"short_rows", XLM_OP_LOGSUMEXP, short_rows, .bf16 = true},
    {"even_rows", XLM_OP_LOGSUMEXP, even_rows, .bf16 = true},
    {"even_parts", XLM_OP_LOGSUMEXP, even_parts},
    {"even_columns", XLM_OP_LOGSUMEXP, even_columns, .bf16 = true},
    {"odd_columns", XLM_OP_LOGSUMEXP, odd_columns},
    {"far_out", XLM_OP_LOGSUMEXP, far_out, .tol = 1e-4},
    {"last", XLM_OP_RMSNORM, last, .bf16 = true},
    {"middle", XLM_OP_RMSNORM, middle, .bf16 = true},
    {"scattered", XLM_OP_RMSNORM, scattered},
    {"odd_columns", XLM_OP_RMSNORM, odd_columns, .bf16 = true},
    {"even_scattered", XLM_OP_RMSNORM, even_scattered},
    {"long_rows", XLM_OP_RMSNORM, long_rows},
    {"eps", XLM_OP_RMSNORM, with_eps},
    {"short_rows", XLM_OP_RMSNORM, short_rows, .bf16 = true},
    {"even_rows", XLM_OP_RMSNORM, even_rows, .bf16 = true},
    {"wide_rows", XLM_OP_RMSNORM, wide_rows, .bf16 = true},
    {"largest", XLM_OP_RMSNORM, largest_norm, .bf16 = true},
    {"odd", XLM_OP_RMSNORM_BWD, norm_bwd_odd, .bf16 = true, .no_grad = true},
    {"warp", XLM_OP_RMSNORM_BWD, norm_bwd_warp, .bf16 = true, .no_grad = true},
    {"block", XLM_OP_RMSNORM_BWD, norm_bwd_block, .bf16 = true, .no_grad = true},
    {"scaled", XLM_OP_RMSNORM, scaled_norm, .bf16 = true},
    {"last", XLM_OP_LAYERNORM, last, .bf16 = true},
    {"middle", XLM_OP_LAYERNORM, middle, .bf16 = true},
    {"scattered", XLM_OP_LAYERNORM, scattered},
    {"odd_columns", XLM_OP_LAYERNORM, odd_columns, .bf16 = true},
    {"even_scattered", XLM_OP_LAYERNORM, even_scattered},
    {"long_rows", XLM_OP_LAYERNORM, long_rows},
    {"eps", XLM_OP_LAYERNORM, with_eps},
    {"short_rows", XLM_OP_LAYERNORM, short_rows, .bf16 = true},
    {"even_rows", XLM_OP_LAYERNORM, even_rows, .bf16 = true},
    {"wide_rows", XLM_OP_LAYERNORM, wide_rows, .bf16 = true},
    {"largest", XLM_OP_LAYERNORM, largest_norm, .bf16 = true},
    {"odd", XLM_OP_LAYERNORM_BWD, norm_bwd_odd, .bf16 = true, .no_grad = true},
    {"warp", XLM_OP_LAYERNORM_BWD, norm_bwd_warp, .bf16 = true, .no_grad = true},
    {"block", XLM_OP_LAYERNORM_BWD, norm_bwd_block, .bf16 = true, .no_grad = true},
    {"offset", XLM_OP_LAYERNORM, offset_rows, .tol = 1e-4},
    {"scaled", XLM_OP_LAYERNORM, scaled_norm, .bf16 = true},
    {"values", XLM_OP_STOP_GRADIENT, stopped},
};
const op_cases cases_reductions = {table, sizeof table / sizeof *table};
