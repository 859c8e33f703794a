// Cases of the mixture-of-experts ops. Packed rows are ragged and cannot be leaves: they are made by
// dispatch, and gradients flow back through combine.
#include <math.h>

#include "tests/ops/run_op.h"

static xlm_val emit_moe(op_test *t, xlm_op_id op, const xlm_val *in, int n) {
  xlm_attr_list l = op_attrs(t);
  if (op != XLM_OP_COMBINE) op_put_dims(t, &l, XLM_A_experts, "experts");
  return xlm_emit(&t->b, op, in, n, &l);
}

// ---- top_k

static void top_k(op_test *t, const char *decl, const char *experts, const char *active) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_experts, experts);
  op_put_dims(t, &l, XLM_A_active, active);
  xlm_val y = xlm_emit(&t->b, XLM_OP_TOP_K, &x, 1, &l);
  op_out(t, y);
  op_out_const(t, y + 1);
}

static void top_k_two(op_test *t) {
  top_k(t, "x[batch 2, seq 5, experts 8]", "experts", "active 2");
}
static void top_k_one(op_test *t) {
  top_k(t, "x[seq 5, experts 3]", "experts", "active 1");
}
static void top_k_all(op_test *t) {
  top_k(t, "x[seq 5, experts 6]", "experts", "active 6");
}
static void top_k_middle(op_test *t) {
  top_k(t, "x[batch 3, experts 5, seq 4]", "experts", "active 3");
}
static void top_k_many(op_test *t) {
  top_k(t, "x[seq 300, experts 64]", "experts", "active 8");
}

static void top_k_prime(op_test *t) {
  top_k(t, "x[seq 7, experts 131]", "experts", "active 5");
}

static void top_k_infinite(op_test *t) { // as a router's mask leaves them
  enum { N = 40 };
  double x[N];
  for (int i = 0; i < N; i++) x[i] = i == 35 ? INFINITY : i == 7 ? -3 : -INFINITY;
  xlm_val v = op_data(t, "x[experts 40]", x);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_active, "active 4");
  xlm_val y = xlm_emit(&t->b, XLM_OP_TOP_K, &v, 1, &l);
  op_out_const(t, y);
  op_out_const(t, y + 1);
}

static void top_k_ties(op_test *t) { // equal values: the lower index first
  xlm_val x = op_data(t, "x[seq 3, experts 5]", (double[]){1, 2, 2, 2, 1, 0, 0, 0, 0, 0, -1, -2, -1, -3, -1});
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_active, "active 3");
  xlm_val y = xlm_emit(&t->b, XLM_OP_TOP_K, &x, 1, &l);
  op_out_const(t, y);
  op_out_const(t, y + 1);
}

// ---- dispatch and combine

static void route(op_test *t, xlm_val x, xlm_val w, xlm_val e) { // y = combine(dispatch(x, e)^2, w, e)
  xlm_val xs = emit_moe(t, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2);
  xlm_val ys = xlm_op1(&t->b, XLM_OP_SQUARE, xs);
  op_out_const(t, xs);
  op_out_const(t, xs + 1);
  op_out(t, emit_moe(t, XLM_OP_COMBINE, (xlm_val[]){ys, w, e}, 3));
}

static void route_even(op_test *t) {
  op_dim(t, "experts 4");
  xlm_val x = op_leaf(t, "x[batch 2, seq 3, hidden 5]"), w = op_leaf(t, "w[batch, seq, active 2]");
  route(t, x, w, op_int_data(t, "e[batch, seq, active]", (int[]){0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3}));
}

static void route_empty(op_test *t) { // experts 0, 2 and 5 have no rows
  op_dim(t, "experts 6");
  xlm_val x = op_leaf(t, "x[seq 5, hidden 3]"), w = op_leaf(t, "w[seq, active 2]");
  route(t, x, w, op_int_data(t, "e[seq, active]", (int[]){4, 1, 4, 3, 1, 4, 4, 3, 4, 1}));
}

static void route_one(op_test *t) { // all to one expert
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 4, hidden 3]"), w = op_leaf(t, "w[seq, active 1]");
  route(t, x, w, op_int_data(t, "e[seq, active]", (int[]){1, 1, 1, 1}));
}

static void route_twice(op_test *t) { // a token may name one expert twice; each choice has its row
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 3, hidden 2]"), w = op_leaf(t, "w[seq, active 3]");
  route(t, x, w, op_int_data(t, "e[seq, active]", (int[]){2, 2, 0, 0, 0, 0, 1, 2, 1}));
}

static void route_missing(op_test *t) { // choices outside these experts have no rows and give nothing
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 4, hidden 3]"), w = op_leaf(t, "w[seq, active 2]");
  route(t, x, w, op_int_data(t, "e[seq, active]", (int[]){2, 7, -1, 0, 3, -5, 1, 2}));
}

static void
route_order(op_test *t) { // every operand stores its dims in an order of its own; rows of two dims
  op_dim(t, "experts 4");
  xlm_val x = op_leaf(t, "x[head 3, seq 4, heads 2, batch 2]"), w = op_leaf(t, "w[active 2, seq, batch]");
  route(t, x, w, op_ints(t, "e[batch, active, seq]", 0, 4));
}

static void route_large(op_test *t) {
  op_dim(t, "experts 16");
  xlm_val x = op_leaf(t, "x[seq 120, hidden 70]"), w = op_leaf(t, "w[seq, active 4]");
  route(t, x, w, op_ints(t, "e[seq, active]", 0, 16));
}

static void route_wide(op_test *t) { // rows longer than a chunk
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 6, hidden 1300]"), w = op_leaf(t, "w[seq, active 2]");
  route(t, x, w, op_ints(t, "e[seq, active]", 0, 3));
}

static void route_many(op_test *t) { // more choices than a block sorts
  op_dim(t, "experts 7");
  xlm_val x = op_leaf(t, "x[seq 1201, hidden 8]"), w = op_leaf(t, "w[seq, active 2]");
  route(t, x, w, op_ints(t, "e[seq, active]", -1, 7));
}

static void route_many_experts(op_test *t) { // more than a digit of a sort has values
  op_dim(t, "experts 600");
  xlm_val x = op_leaf(t, "x[seq 47, hidden 5]"), w = op_leaf(t, "w[seq, active 3]");
  route(t, x, w, op_ints(t, "e[seq, active]", 0, 601));
}

static void route_two_sizes(op_test *t) { // two token counts in one graph: two ragged dims
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 4, hidden 3]"), w = op_leaf(t, "w[seq, active 2]");
  route(t, x, w, op_ints(t, "e[seq, active]", 0, 3));
  xlm_val y = op_leaf(t, "y[batch 5, hidden]"), v = op_leaf(t, "v[batch, active]");
  route(t, y, v, op_ints(t, "f[batch, active]", 0, 3));
}

static void route_whole(op_test *t) { // the way of a model: choose, send, weigh
  xlm_val x = op_leaf(t, "x[seq 6, hidden 4]"), logits = op_leaf(t, "logits[seq, experts 5]");
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_active, "active 2");
  xlm_val top = xlm_emit(&t->b, XLM_OP_TOP_K, &logits, 1, &l);
  route(t, x, top, top + 1);
}

// ---- a value per expert in its rows

// The rows times a scale, plus a bias of two dimensions in either order.
static void per_expert(op_test *t, xlm_val x, xlm_val w, xlm_val e, const char *scale, const char *bias) {
  xlm_val xs = emit_moe(t, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2);
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_enum(&l, XLM_A_dtype, xlm_val_type(t->b.g, xs)->dtype);
  xlm_val ones = xlm_emit(&t->b, XLM_OP_ROW_ONES, &xs, 1, &l);
  xlm_val s = xlm_contract(&t->b, ones, op_leaf(t, scale), NULL, 0, NULL, -1);
  xlm_val b = xlm_contract(&t->b, ones, op_leaf(t, bias), NULL, 0, NULL, -1);
  xlm_val ys = xlm_op2(&t->b, XLM_OP_ADD, xlm_op2(&t->b, XLM_OP_MUL, xs, s), b);
  op_out(t, emit_moe(t, XLM_OP_COMBINE, (xlm_val[]){ys, w, e}, 3));
}

static void ones_even(op_test *t) {
  op_dim(t, "experts 4");
  xlm_val x = op_leaf(t, "x[batch 2, seq 3, hidden 5]"), w = op_leaf(t, "w[batch, seq, active 2]");
  xlm_val e = op_int_data(t, "e[batch, seq, active]", (int[]){0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3});
  per_expert(t, x, w, e, "scale[experts]", "bias[experts, hidden]");
}

static void ones_empty(op_test *t) { // experts 0, 2 and 5 have no rows, and no gradient; rows of two dims
  op_dim(t, "experts 6");
  xlm_val x = op_leaf(t, "x[seq 5, heads 2, head 3]"), w = op_leaf(t, "w[seq, active 2]");
  xlm_val e = op_int_data(t, "e[seq, active]", (int[]){4, 1, 4, 3, 1, 4, 4, 3, 4, 1});
  per_expert(t, x, w, e, "scale[experts, head]", "bias[head, experts, heads]");
}

static void ones_missing(op_test *t) { // more room than rows
  op_dim(t, "experts 3");
  xlm_val x = op_leaf(t, "x[seq 301, hidden 17]"), w = op_leaf(t, "w[seq, active 2]");
  per_expert(t, x, w, op_ints(t, "e[seq, active]", -2, 5), "scale[experts]", "bias[experts, hidden]");
}

static void ones_large(op_test *t) { // long rows, more of them than a tile
  op_dim(t, "experts 5");
  xlm_val x = op_leaf(t, "x[seq 130, hidden 530]"), w = op_leaf(t, "w[seq, active 2]");
  per_expert(t, x, w, op_ints(t, "e[seq, active]", 0, 5), "scale[experts]", "bias[experts, hidden]");
}

// ---- counts and balance

static void count_some(op_test *t) {
  op_dim(t, "experts 5");
  xlm_val e = op_int_data(t, "e[seq 4, active 2]", (int[]){0, 4, 4, 1, 4, 9, -1, 0});
  op_out_const(t, emit_moe(t, XLM_OP_EXPERT_COUNT, &e, 1));
}

static void count_many(op_test *t) {
  op_dim(t, "experts 3");
  xlm_val e = op_ints(t, "e[seq 1009, active 2]", -1, 4);
  op_out_const(t, emit_moe(t, XLM_OP_EXPERT_COUNT, &e, 1));
}

static void balance_small(op_test *t) {
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, experts 5]"),
          e = op_ints(t, "e[batch, seq, active 2]", 0, 5);
  op_out(t, emit_moe(t, XLM_OP_LOAD_BALANCE, (xlm_val[]){logits, e}, 2));
}

static void balance_order(op_test *t) {
  xlm_val logits = op_leaf_range(t, "logits[experts 20, seq 3]", -6, 6),
          e = op_ints(t, "e[active 4, seq]", 0, 20);
  op_out(t, emit_moe(t, XLM_OP_LOAD_BALANCE, (xlm_val[]){logits, e}, 2));
}

static void balance_large(op_test *t) {
  xlm_val logits = op_leaf(t, "logits[seq 64, experts 70]"), e = op_ints(t, "e[seq, active 2]", 0, 70);
  op_out(t, emit_moe(t, XLM_OP_LOAD_BALANCE, (xlm_val[]){logits, e}, 2));
}

static const op_case table[] = {
    {"two", XLM_OP_TOP_K, top_k_two, .bf16 = true},
    {"one", XLM_OP_TOP_K, top_k_one},
    {"all", XLM_OP_TOP_K, top_k_all},
    {"middle", XLM_OP_TOP_K, top_k_middle, .bf16 = true},
    {"many", XLM_OP_TOP_K, top_k_many, .bf16 = true},
    {"prime", XLM_OP_TOP_K, top_k_prime, .bf16 = true},
    {"infinite", XLM_OP_TOP_K, top_k_infinite, .no_grad = true},
    {"ties", XLM_OP_TOP_K, top_k_ties, .no_grad = true},
    {"even", XLM_OP_DISPATCH, route_even, .bf16 = true},
    {"empty", XLM_OP_DISPATCH, route_empty, .bf16 = true},
    {"one", XLM_OP_DISPATCH, route_one},
    {"twice", XLM_OP_DISPATCH, route_twice},
    {"missing", XLM_OP_DISPATCH, route_missing},
    {"order", XLM_OP_COMBINE, route_order, .bf16 = true},
    {"large", XLM_OP_COMBINE, route_large, .bf16 = true, .no_grad = true},
    {"wide", XLM_OP_COMBINE, route_wide, .bf16 = true},
    {"many", XLM_OP_COMBINE, route_many, .bf16 = true, .no_grad = true},
    {"many_experts", XLM_OP_COMBINE, route_many_experts, .bf16 = true},
    {"two_sizes", XLM_OP_COMBINE, route_two_sizes},
    {"whole", XLM_OP_COMBINE, route_whole},
    {"even", XLM_OP_ROW_ONES, ones_even, .bf16 = true},
    {"empty", XLM_OP_ROW_ONES, ones_empty, .bf16 = true},
    {"missing", XLM_OP_ROW_ONES, ones_missing, .no_grad = true},
    {"large", XLM_OP_ROW_ONES, ones_large, .bf16 = true, .no_grad = true},
    {"some", XLM_OP_EXPERT_COUNT, count_some, .no_grad = true},
    {"many", XLM_OP_EXPERT_COUNT, count_many, .no_grad = true},
    {"small", XLM_OP_LOAD_BALANCE, balance_small, .bf16 = true},
    {"order", XLM_OP_LOAD_BALANCE, balance_order, .bf16 = true},
    {"large", XLM_OP_LOAD_BALANCE, balance_large, .tol_grad = 1e-5},
};
const op_cases cases_moe = {table, sizeof table / sizeof *table};
