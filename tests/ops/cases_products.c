// Cases of contract, contract_acc and contract_bias: every role a dimension can have, ragged rows, sizes that
// cross kernel blocks.
#include "tests/ops/run_op.h"

static void shared_all(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 2, seq 3, hidden 5]"), w = op_leaf(t, "w[hidden, ffn 4]");
  op_out(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, w));
}

static void to_heads_and_back(op_test *t) {
  xlm_val x = op_leaf(t, "x[seq 3, hidden 6]"), wq = op_leaf(t, "wq[hidden, heads 2, head 3]");
  xlm_val wo = op_leaf(t, "wo[heads, head, hidden]");
  xlm_val q = xlm_op2(&t->b, XLM_OP_CONTRACT, x, wq);
  xlm_dim over[] = {op_dim(t, "heads"), op_dim(t, "head")};
  op_out(t, xlm_contract(&t->b, q, wo, over, 2, NULL, -1));
}

static void batch_dims(op_test *t) { // scores of attention written by hand: [batch, seq, heads, kv_seq]
  xlm_val q = op_leaf(t, "q[batch 2, seq 3, heads 2, head 4]"),
          k = op_leaf(t, "k[batch, kv_seq 5, heads, head]");
  xlm_dim over = op_dim(t, "head");
  op_out(t, xlm_contract(&t->b, q, k, &over, 1, NULL, -1));
}

static void other_order(op_test *t) {
  xlm_val x = op_leaf(t, "x[hidden 4, batch 2, seq 3]"), w = op_leaf(t, "w[ffn 5, batch, hidden]");
  xlm_dim over = op_dim(t, "hidden"), dims[] = {op_dim(t, "ffn"), op_dim(t, "seq"), op_dim(t, "batch")};
  op_out(t, xlm_contract(&t->b, x, w, &over, 1, dims, 3));
}

static void many_batch_dims(op_test *t) { // three that do not merge
  xlm_val x = op_leaf(t, "x[a 2, seq 3, b 2, c 3, hidden 4]"), w = op_leaf(t, "w[c, a, hidden, b, ffn 5]");
  xlm_dim over = op_dim(t, "hidden");
  op_out(t, xlm_contract(&t->b, x, w, &over, 1, NULL, -1));
}

static void summed_apart(op_test *t) { // two summed dimensions that do not merge
  xlm_val x = op_leaf(t, "x[seq 5, rows 4, batch 3]"), y = op_leaf(t, "y[seq, ffn 6, batch]");
  xlm_dim over[] = {op_dim(t, "batch"), op_dim(t, "seq")};
  op_out(t, xlm_contract(&t->b, x, y, over, 2, NULL, -1));
}

static void dot(op_test *t) {
  xlm_val x = op_leaf(t, "x[hidden 7]"), y = op_leaf(t, "y[hidden]");
  op_out(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, y));
}

static void matrix_vector(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, hidden 7]"), y = op_leaf(t, "y[hidden]");
  op_out(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, y));
}

static void outer(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, rows 4]"), y = op_leaf(t, "y[cols 5, batch]");
  op_out(t, xlm_contract(&t->b, x, y, NULL, 0, NULL, -1));
}

static void mixed_types(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, hidden 7]"), w = op_leaf_f32(t, "w[hidden, ffn 4]", -1, 1);
  op_out(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, w));
}

static void wide_result(op_test *t) { // bf16 operands, f32 result: weight gradients
  xlm_val x = op_leaf(t, "x[batch 9, hidden 7]"), w = op_leaf(t, "w[batch, ffn 4]");
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  xlm_val y = xlm_emit(&t->b, XLM_OP_CONTRACT, (xlm_val[]){x, w}, 2, &l);
  XLM_ASSERT(xlm_val_type(t->b.g, y)->dtype == XLM_F32, "the dtype attribute decides");
  op_out(t, y);
}

static void large(op_test *t) { // crosses tiles and k blocks
  xlm_val x = op_leaf(t, "x[batch 2, seq 37, hidden 530]"), w = op_leaf(t, "w[hidden, ffn 71]");
  op_out_const(t, xlm_op2(&t->b, XLM_OP_CONTRACT, x, w));
}

// A leaf [experts, routed `rows`, ..]; the first of a case gives the offsets.
static xlm_val ragged_by(op_test *t, const char *decl, int64_t rows, const char *offsets, const int *ends) {
  xlm_graph *g = t->b.g;
  if (!xlm_graph_dim_find(g, "routed", 0)) {
    xlm_graph_dim_add(g, (xlm_dim_info){.name = "routed", .size = rows, .full = rows, .ragged = true});
    (void)op_int_data(t, offsets, ends);
  }
  xlm_val v = op_leaf(t, decl);
  for (int i = 0; i < t->n_leaves; i++)
    if (xlm_val_type(g, t->leaf[i].val)->dtype == XLM_I32) xlm_val_at(g, v)->ragged_by = t->leaf[i].val;
  return v;
}

static xlm_val ragged(op_test *t, const char *decl) { // expert 0 owns 4 rows, 1 none, 2 the other 3
  return ragged_by(t, decl, 7, "offsets[ends 4]", (int[]){0, 4, 4, 7});
}

static void ragged_rows(op_test *t) { // x @ w per expert, then summed over rows: ragged m, then ragged k
  xlm_val x = ragged(t, "x[experts 3, routed, hidden 4]"), w = op_leaf(t, "w[experts, hidden, ffn 5]");
  xlm_val z = ragged(t, "z[experts, routed, out 2]");
  xlm_dim hidden = op_dim(t, "hidden"), routed = op_dim(t, "routed");
  xlm_val y = xlm_contract(&t->b, x, w, &hidden, 1, NULL, -1);
  op_out(t, xlm_contract(&t->b, y, z, &routed, 1, NULL, -1));
}

static void ragged_columns(op_test *t) { // the weight first: ragged n
  xlm_val x = ragged(t, "x[experts 3, routed, hidden 4]"), w = op_leaf(t, "w[experts, hidden, ffn 5]");
  xlm_val z = ragged(t, "z[experts, routed, out 2]");
  xlm_dim hidden = op_dim(t, "hidden"), routed = op_dim(t, "routed");
  xlm_dim dims[] = {op_dim(t, "experts"), routed, op_dim(t, "ffn")};
  xlm_val y = xlm_contract(&t->b, w, x, &hidden, 1, dims, 3);
  op_out(t, xlm_contract(&t->b, z, y, &routed, 1, NULL, -1));
}

// Rows that cross tiles: expert 0 owns 131 of them, 1 none, 2 nine, 3 the last 133.
static xlm_val ragged_tile(op_test *t, const char *decl) {
  return ragged_by(t, decl, 273, "offsets[ends 5]", (int[]){0, 131, 131, 140, 273});
}

static void ragged_tiles(
    op_test *t) { // ragged m; weights as stored and transposed, k shorter and longer than a ring of steps
  xlm_val x = ragged_tile(t, "x[experts 4, routed, hidden 72]"),
          w = op_leaf(t, "w[experts, hidden, ffn 264]");
  xlm_val dy = ragged_tile(t, "dy[experts, routed, ffn]");
  xlm_dim hidden = op_dim(t, "hidden"), ffn = op_dim(t, "ffn");
  op_out(t, xlm_contract(&t->b, x, w, &hidden, 1, NULL, -1));
  op_out(t, xlm_contract(&t->b, dy, w, &ffn, 1, NULL, -1));
}

static void ragged_sums(op_test *t) { // ragged k: also an expert without rows, whose sum is zero
  xlm_val x = ragged_tile(t, "x[experts 4, routed, hidden 136]"),
          dy = ragged_tile(t, "dy[experts, routed, ffn 72]");
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "routed");
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  op_out(t, xlm_emit(&t->b, XLM_OP_CONTRACT, (xlm_val[]){x, dy}, 2, &l));
}

static void ragged_bands(op_test *t) { // more tiles of rows than one band of them
  xlm_val x = ragged_by(t, "x[experts 2, routed, hidden 8]", 2200, "offsets[ends 3]", (int[]){0, 2110, 2200});
  xlm_val w = op_leaf(t, "w[experts, hidden, ffn 264]");
  xlm_dim hidden = op_dim(t, "hidden");
  op_out(t, xlm_contract(&t->b, x, w, &hidden, 1, NULL, -1));
}

static void loose(op_test *t, const char *x_decl,
                  const char *w_decl) { // three dimensions beside the matrices'
  xlm_val x = op_leaf(t, x_decl), w = op_leaf(t, w_decl);
  xlm_dim over = op_dim(t, "hidden");
  op_out(t, xlm_contract(&t->b, x, w, &over, 1, NULL, -1));
}

static void loose_rows(op_test *t) {
  loose(t, "x[a 2, seq 9, b 2, c 3, hidden 40]", "w[c, a, hidden, b, ffn 16]");
}

static void loose_odd_columns(op_test *t) {
  loose(t, "x[a 2, seq 9, b 2, c 3, hidden 40]", "w[c, a, ffn 13, b, hidden]");
}

static void loose_columns_of_both(op_test *t) {
  loose(t, "x[a 2, b 2, hidden 37, c 3, seq 24]", "w[c, a, hidden, b, ffn 16]");
}

static void loose_transposed(op_test *t) {
  loose(t, "x[a 2, b 2, hidden 160, c 3, seq 24]", "w[c, a, ffn 14, b, hidden]");
}

static void acc_emit(op_test *t, xlm_val acc, xlm_val x, xlm_val y, const char *over, bool store) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, over);
  if (store) xlm_attr_put_int(&l, XLM_A_store, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_ACC, (xlm_val[]){acc, x, y}, 3, &l));
}

static void acc_dense(op_test *t, bool store) {
  xlm_val x = op_leaf(t, "x[batch 2, seq 9, hidden 5]"), dy = op_leaf(t, "dy[batch, seq, ffn 3]");
  acc_emit(t, op_state(t, "acc[ffn, hidden]", -1, 1), x, dy, "batch seq", store);
}

static void acc_first(op_test *t) {
  acc_dense(t, true);
}

static void acc_next(op_test *t) {
  acc_dense(t, false);
}

static void acc_batches(op_test *t) { // two dimensions beside the matrices, which do not merge
  xlm_val x = op_leaf(t, "x[batch 2, heads 3, seq 7, hidden 5]"),
          dy = op_leaf(t, "dy[heads, seq, batch, ffn 3]");
  acc_emit(t, op_state(t, "acc[heads, ffn, batch, hidden]", -1, 1), x, dy, "seq", false);
}

static void acc_ragged(op_test *t) {
  xlm_val x = ragged(t, "x[experts 3, routed, hidden 4]"), dy = ragged(t, "dy[experts, routed, ffn 5]");
  acc_emit(t, op_state(t, "acc[experts, hidden, ffn]", -1, 1), x, dy, "routed", false);
}

static void acc_ragged_tiles(op_test *t) {
  xlm_val x = ragged_tile(t, "x[experts 4, routed, hidden 40]"),
          dy = ragged_tile(t, "dy[experts, routed, ffn 264]");
  acc_emit(t, op_state(t, "acc[experts, hidden, ffn]", -1, 1), x, dy, "routed", false);
}

// ---- with a bias ----

static void bias_emit(op_test *t, const char *x, const char *w, const char *bias) {
  const char *decl[] = {x, w, bias};
  xlm_val in[3];
  for (int i = 0; i < 3; i++) in[i] = op_leaf(t, decl[i]);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_BIAS, in, 3, &l));
}

static void bias_row(op_test *t) {
  bias_emit(t, "x[batch 2, seq 3, hidden 5]", "w[hidden, ffn 7]", "b[ffn]");
}

static void bias_heads(op_test *t) { // of several dimensions
  bias_emit(t, "x[batch 2, seq 3, hidden 6]", "w[hidden, heads 3, head 5]", "b[heads, head]");
}

static void bias_end(op_test *t) { // the same for every head
  bias_emit(t, "x[batch 2, seq 3, hidden 6]", "w[hidden, heads 3, head 5]", "b[head]");
}

static void bias_heads_apart(op_test *t) { // a matrix per head, each with its own piece of the bias
  bias_emit(t, "x[batch 2, seq 3, hidden 6]", "w[heads 3, hidden, head 5]", "b[heads, head]");
}

static void
bias_heads_and_batch(op_test *t) { // of two that do not merge, one is the library's batch, one a loop
  bias_emit(t, "x[batch 4, seq 3, hidden 6]", "w[heads 3, hidden, batch, head 5]", "b[heads, head]");
}

static void bias_vector(op_test *t) { // one row
  bias_emit(t, "x[hidden 33]", "w[hidden, ffn 1100]", "b[ffn]");
}

static void bias_other_order(op_test *t) { // the weight's summed dimension last
  bias_emit(t, "x[hidden 7, rows 13]", "w[ffn 19, hidden]", "b[ffn]");
}

static void bias_one(op_test *t) {
  bias_emit(t, "x[batch 3, hidden 4]", "w[hidden, ffn 1]", "b[ffn]");
}

static void bias_large(op_test *t) { // crosses tiles and k blocks: added once
  bias_emit(t, "x[batch 2, seq 37, hidden 1201]", "w[hidden, ffn 71]", "b[ffn]");
}

// A tensor of the result's type, last; its memory may be the result's.
static void residual_emit(op_test *t, const char *x, const char *w, const char *bias, const char *residual) {
  const char *decl[] = {x, w, bias, residual};
  xlm_val in[4];
  int n = 0;
  for (int i = 0; i < 4; i++)
    if (decl[i]) in[n++] = op_leaf(t, decl[i]);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, "hidden");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_BIAS, in, n, &l));
}

static void residual_loose(op_test *t) { // three dimensions beside the matrices'
  residual_emit(t, "x[a 2, seq 9, b 2, c 3, hidden 40]", "w[c, a, hidden, b, ffn 16]", NULL,
                "r[a, seq, b, c, ffn]");
}

static void residual_and_bias_loose(op_test *t) {
  residual_emit(t, "x[a 2, seq 9, b 2, c 3, hidden 40]", "w[c, a, ffn 13, b, hidden]", "bias[ffn]",
                "r[a, seq, b, c, ffn]");
}

static void residual_alone(op_test *t) {
  residual_emit(t, "x[batch 2, seq 3, hidden 5]", "w[hidden, ffn 7]", NULL, "r[batch, seq, ffn]");
}
static void residual_and_bias(op_test *t) {
  residual_emit(t, "x[batch 2, seq 3, hidden 6]", "w[hidden, heads 3, head 5]", "b[heads, head]",
                "r[batch, seq, heads, head]");
}
static void residual_large(op_test *t) { // crosses tiles and k blocks: both are added once
  residual_emit(t, "x[batch 2, seq 67, hidden 1201]", "w[hidden, ffn 150]", "b[ffn]", "r[batch, seq, ffn]");
}
static void residual_vector(op_test *t) { // one row
  residual_emit(t, "x[hidden 33]", "w[hidden, ffn 1100]", NULL, "r[ffn]");
}
static void residual_heads(op_test *t) { // the sum runs over two dimensions, a matrix per head
  residual_emit(t, "x[batch 2, seq 3, hidden 6]", "w[heads 3, hidden, head 5]", "b[heads, head]",
                "r[batch, seq, heads, head]");
}

static void bias_wide(op_test *t) { // bf16 operands, f32 result and bias
  xlm_val x = op_leaf(t, "x[batch 9, hidden 7]"), w = op_leaf(t, "w[hidden, ffn 4]");
  xlm_val b = op_leaf_f32(t, "b[ffn]", -1, 1);
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, b}, 3, &l));
}

static const op_case table[] = {
    {"shared_all", XLM_OP_CONTRACT, shared_all, .bf16 = true},
    {"heads", XLM_OP_CONTRACT, to_heads_and_back, .bf16 = true},
    {"batch_dims", XLM_OP_CONTRACT, batch_dims, .bf16 = true},
    {"other_order", XLM_OP_CONTRACT, other_order, .bf16 = true},
    {"many_batch_dims", XLM_OP_CONTRACT, many_batch_dims, .bf16 = true},
    {"summed_apart", XLM_OP_CONTRACT, summed_apart, .bf16 = true},
    {"dot", XLM_OP_CONTRACT, dot, .bf16 = true},
    {"matrix_vector", XLM_OP_CONTRACT, matrix_vector, .bf16 = true},
    {"outer", XLM_OP_CONTRACT, outer, .bf16 = true},
    {"mixed_types", XLM_OP_CONTRACT, mixed_types, .bf16 = true},
    {"wide_result", XLM_OP_CONTRACT, wide_result, .bf16 = true},
    {"large", XLM_OP_CONTRACT, large, .bf16 = true, .no_grad = true},
    {"ragged_rows", XLM_OP_CONTRACT, ragged_rows, .bf16 = true},
    {"ragged_columns", XLM_OP_CONTRACT, ragged_columns, .bf16 = true},
    {"ragged_tiles", XLM_OP_CONTRACT, ragged_tiles, .bf16 = true, .no_grad = true},
    {"ragged_sums", XLM_OP_CONTRACT, ragged_sums, .bf16 = true, .no_grad = true},
    {"ragged_bands", XLM_OP_CONTRACT, ragged_bands, .bf16 = true, .no_grad = true},
    {"loose_rows", XLM_OP_CONTRACT, loose_rows, .bf16 = true, .no_grad = true},
    {"loose_odd_columns", XLM_OP_CONTRACT, loose_odd_columns, .bf16 = true, .no_grad = true},
    {"loose_columns_of_both", XLM_OP_CONTRACT, loose_columns_of_both, .bf16 = true, .no_grad = true},
    {"loose_transposed", XLM_OP_CONTRACT, loose_transposed, .bf16 = true, .no_grad = true},
    {"first", XLM_OP_CONTRACT_ACC, acc_first, .bf16 = true, .no_grad = true},
    {"next", XLM_OP_CONTRACT_ACC, acc_next, .bf16 = true, .no_grad = true},
    {"batches", XLM_OP_CONTRACT_ACC, acc_batches, .bf16 = true, .no_grad = true},
    {"ragged", XLM_OP_CONTRACT_ACC, acc_ragged, .bf16 = true, .no_grad = true},
    {"ragged_tiles", XLM_OP_CONTRACT_ACC, acc_ragged_tiles, .bf16 = true, .no_grad = true},
    {"row", XLM_OP_CONTRACT_BIAS, bias_row, .bf16 = true, .no_grad = true},
    {"heads", XLM_OP_CONTRACT_BIAS, bias_heads, .bf16 = true, .no_grad = true},
    {"end", XLM_OP_CONTRACT_BIAS, bias_end, .bf16 = true, .no_grad = true},
    {"heads_apart", XLM_OP_CONTRACT_BIAS, bias_heads_apart, .bf16 = true, .no_grad = true},
    {"heads_and_batch", XLM_OP_CONTRACT_BIAS, bias_heads_and_batch, .bf16 = true, .no_grad = true},
    {"vector", XLM_OP_CONTRACT_BIAS, bias_vector, .bf16 = true, .no_grad = true},
    {"other_order", XLM_OP_CONTRACT_BIAS, bias_other_order, .bf16 = true, .no_grad = true},
    {"one", XLM_OP_CONTRACT_BIAS, bias_one, .bf16 = true, .no_grad = true},
    {"large", XLM_OP_CONTRACT_BIAS, bias_large, .bf16 = true, .no_grad = true},
    {"wide", XLM_OP_CONTRACT_BIAS, bias_wide, .bf16 = true, .no_grad = true},
    {"residual_loose", XLM_OP_CONTRACT_BIAS, residual_loose, .bf16 = true, .no_grad = true},
    {"residual_and_bias_loose", XLM_OP_CONTRACT_BIAS, residual_and_bias_loose, .bf16 = true, .no_grad = true},
    {"residual", XLM_OP_CONTRACT_BIAS, residual_alone, .bf16 = true, .no_grad = true},
    {"residual_and_bias", XLM_OP_CONTRACT_BIAS, residual_and_bias, .bf16 = true, .no_grad = true},
    {"residual_large", XLM_OP_CONTRACT_BIAS, residual_large, .bf16 = true, .no_grad = true},
    {"residual_vector", XLM_OP_CONTRACT_BIAS, residual_vector, .bf16 = true, .no_grad = true},
    {"residual_heads", XLM_OP_CONTRACT_BIAS, residual_heads, .bf16 = true, .no_grad = true},
};
const op_cases cases_products = {table, sizeof table / sizeof *table};
