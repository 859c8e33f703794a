// Cases of the ops that only rearrange: rename, split, merge, permute, slice, pad, concat, shift.
//
// A view's gradient has nothing to get wrong in numbers but its dims; each view is followed by a product with
// a tensor of the new dims, so that a wrong order shows.
#include "tests/ops/run_op.h"

static xlm_val arrow(op_test *t, xlm_op_id op, const xlm_val *in, int n, const char *from, const char *to,
                     int64_t start) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_to, to);
  op_put_dims(t, &l, XLM_A_from, from);
  if (start) xlm_attr_put_int(&l, XLM_A_start, start);
  return xlm_emit(&t->b, op, in, n, &l);
}

static void weigh(op_test *t, xlm_val x, const char *weights) {
  op_out(t, xlm_op2(&t->b, XLM_OP_MUL, x, op_leaf(t, weights)));
}

// ---- views

static void rename_one(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 2, seq 5, hidden 3]");
  weigh(t, arrow(t, XLM_OP_RENAME, &x, 1, "seq", "kv_seq 5", 0), "w[batch, kv_seq, hidden]");
}

static void rename_swap(op_test *t) { // both names at once: a transposition without moving data
  xlm_val x = op_leaf(t, "x[row 4, column 4]");
  xlm_val y = arrow(t, XLM_OP_RENAME, &x, 1, "row column", "column row", 0);
  op_out(t, xlm_op2(&t->b, XLM_OP_MUL, y, x));
}

static void split_one(op_test *t) {
  xlm_val x = op_leaf(t, "x[seq 3, hidden 12, batch 2]");
  weigh(t, arrow(t, XLM_OP_SPLIT, &x, 1, "hidden", "heads 3 head 4", 0), "w[heads, seq, batch, head]");
}

static void split_three(op_test *t) {
  xlm_val x = op_leaf(t, "x[hidden 12]");
  weigh(t, arrow(t, XLM_OP_SPLIT, &x, 1, "hidden", "a 3 b 2 c 2", 0), "w[b, c, a]");
}

static void merge_two(op_test *t) {
  xlm_val x = op_leaf(t, "x[seq 3, heads 2, head 4]");
  weigh(t, arrow(t, XLM_OP_MERGE, &x, 1, "heads head", "hidden 8", 0), "w[seq, hidden]");
}

static void merge_all(op_test *t) {
  xlm_val x = op_leaf(t, "x[a 3, b 2, c 4]");
  weigh(t, arrow(t, XLM_OP_MERGE, &x, 1, "a b c", "all 24", 0), "w[all]");
}

// ---- permute

static void permute(op_test *t, const char *decl, const char *order) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_dims, order);
  op_out(t, xlm_emit(&t->b, XLM_OP_PERMUTE, &x, 1, &l));
}

static void permute_matrix(op_test *t) {
  permute(t, "x[a 7, b 5]", "b a");
}
static void permute_tiles(op_test *t) {
  permute(t, "x[a 70, b 2, c 101]", "c b a");
}
static void permute_rows(op_test *t) {
  permute(t, "x[a 5, b 6, c 40]", "b a c");
}
static void permute_outer(op_test *t) {
  permute(t, "x[a 3, b 33, c 2, d 65]", "a d c b");
}
static void permute_same(op_test *t) {
  permute(t, "x[a 3, b 4]", "a b");
}
static void permute_ones(op_test *t) {
  permute(t, "x[a 1, b 4, c 1, d 6]", "d a b c");
}
static void permute_middle(op_test *t) {
  permute(t, "x[a 4, b 5, c 6, d 3]", "c a d b");
}
static void permute_large(op_test *t) {
  permute(t, "x[a 200, b 300]", "b a");
}
static void permute_large_rows(op_test *t) {
  permute(t, "x[a 20, b 10, c 300]", "b a c");
}

// The operand's rows stay whole, in accesses of 16, 8, 4 and (bf16) 2 bytes.
static void permute_whole(op_test *t) {
  permute(t, "x[a 5, b 6, c 64]", "b a c");
}
static void permute_halves(op_test *t) {
  permute(t, "x[a 5, b 6, c 6]", "b a c");
}
static void permute_odd(op_test *t) {
  permute(t, "x[a 5, b 6, c 7]", "b a c");
}
static void permute_full_tiles(op_test *t) {
  permute(t, "x[a 128, b 3, c 64]", "c b a");
}
static void permute_one_more(op_test *t) {
  permute(t, "x[a 65, b 33]", "b a");
}

static void permute_ints(op_test *t) {
  xlm_val x = op_ints(t, "x[a 40, b 70]", 0, 1000);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_dims, "b a");
  op_out_const(t, xlm_emit(&t->b, XLM_OP_PERMUTE, &x, 1, &l));
}

// ---- slice, pad

static void cut(op_test *t, xlm_op_id op, const char *decl, const char *from, const char *to, int64_t start) {
  xlm_val x = op_leaf(t, decl);
  op_out(t, arrow(t, op, &x, 1, from, to, start));
}

static void slice_middle(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[a 3, long 7, b 4]", "long", "short 3", 2);
}
static void slice_first(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[long 7, b 4]", "long", "short 3", 0);
}
static void slice_last(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[b 4, long 7]", "long", "short 3", 4);
}
static void slice_all(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[b 4, long 7]", "long", "short 7", 0);
}
static void slice_large(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[b 40, long 900]", "long", "short 800", 33);
}
static void slice_even(op_test *t) {
  cut(t, XLM_OP_SLICE, "x[b 40, long 64]", "long", "short 16", 8);
}
static void slice_uneven(op_test *t) { // rows begin within an access
  cut(t, XLM_OP_SLICE, "x[b 40, long 64]", "long", "short 16", 3);
}
static void pad_even(op_test *t) {
  cut(t, XLM_OP_PAD, "x[b 40, short 16]", "short", "long 64", 8);
}
static void pad_middle(op_test *t) {
  cut(t, XLM_OP_PAD, "x[a 3, short 3, b 4]", "short", "long 7", 2);
}
static void pad_one_row(op_test *t) {
  cut(t, XLM_OP_PAD, "x[short 3]", "short", "long 20000", 11);
}
static void pad_end(op_test *t) {
  cut(t, XLM_OP_PAD, "x[b 50, short 300]", "short", "long 400", 100);
}

// ---- concat

static void concat_two(op_test *t) {
  xlm_val in[] = {op_leaf(t, "x[batch 2, a 3, hidden 4]"), op_leaf(t, "y[batch, b 5, hidden]")};
  op_out(t, arrow(t, XLM_OP_CONCAT, in, 2, "a b", "c 8", 0));
}

static void concat_same(op_test *t) { // one name for all three
  xlm_val in[] = {op_leaf(t, "x[a 3, hidden 4]"), op_leaf(t, "y[a, hidden]"), op_leaf(t, "z[a, hidden]")};
  op_out(t, arrow(t, XLM_OP_CONCAT, in, 3, "a", "c 9", 0));
}

static void concat_order(op_test *t) { // the operands store their dims differently
  xlm_val in[] = {op_leaf(t, "x[hidden 40, seq 3, a 37]"), op_leaf(t, "y[b 50, hidden, seq]")};
  op_out(t, arrow(t, XLM_OP_CONCAT, in, 2, "a b", "c 87", 0));
}

static void concat_even(op_test *t) {
  xlm_val in[] = {op_leaf(t, "x[batch 3, a 16]"), op_leaf(t, "y[batch, b 24]")};
  op_out(t, arrow(t, XLM_OP_CONCAT, in, 2, "a b", "c 40", 0));
}

// ---- shift

static void shift(op_test *t, const char *decl, const char *over, int64_t by) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, over);
  if (by != 1) xlm_attr_put_int(&l, XLM_A_start, by);
  op_out(t, xlm_emit(&t->b, XLM_OP_SHIFT, &x, 1, &l));
}

static void shift_one(op_test *t) {
  shift(t, "x[batch 2, seq 5, hidden 3]", "seq", 1);
}
static void shift_back(op_test *t) {
  shift(t, "x[batch 2, seq 5, hidden 3]", "seq", -2);
}
static void shift_none(op_test *t) {
  shift(t, "x[seq 5, hidden 3]", "seq", 0);
}
static void shift_out(op_test *t) {
  shift(t, "x[seq 5, hidden 3]", "seq", 5);
}
static void shift_far(op_test *t) {
  shift(t, "x[seq 5, hidden 3]", "seq", -99);
}
static void shift_last(op_test *t) {
  shift(t, "x[batch 30, seq 500]", "seq", 3);
}

static void shift_rows(op_test *t) {
  shift(t, "x[batch 3, seq 20, hidden 32]", "seq", 2);
}

static const op_case table[] = {
    {"one", XLM_OP_RENAME, rename_one, .bf16 = true},
    {"swap", XLM_OP_RENAME, rename_swap},
    {"one", XLM_OP_SPLIT, split_one, .bf16 = true},
    {"three", XLM_OP_SPLIT, split_three},
    {"two", XLM_OP_MERGE, merge_two, .bf16 = true},
    {"all", XLM_OP_MERGE, merge_all},
    {"matrix", XLM_OP_PERMUTE, permute_matrix, .bf16 = true},
    {"tiles", XLM_OP_PERMUTE, permute_tiles, .bf16 = true},
    {"rows", XLM_OP_PERMUTE, permute_rows, .bf16 = true},
    {"outer", XLM_OP_PERMUTE, permute_outer, .bf16 = true},
    {"same", XLM_OP_PERMUTE, permute_same},
    {"ones", XLM_OP_PERMUTE, permute_ones},
    {"middle", XLM_OP_PERMUTE, permute_middle},
    {"large", XLM_OP_PERMUTE, permute_large, .bf16 = true},
    {"large_rows", XLM_OP_PERMUTE, permute_large_rows},
    {"whole", XLM_OP_PERMUTE, permute_whole, .bf16 = true},
    {"halves", XLM_OP_PERMUTE, permute_halves, .bf16 = true},
    {"odd", XLM_OP_PERMUTE, permute_odd, .bf16 = true},
    {"full_tiles", XLM_OP_PERMUTE, permute_full_tiles, .bf16 = true},
    {"one_more", XLM_OP_PERMUTE, permute_one_more, .bf16 = true},
    {"ints", XLM_OP_PERMUTE, permute_ints, .no_grad = true},
    {"middle", XLM_OP_SLICE, slice_middle, .bf16 = true},
    {"first", XLM_OP_SLICE, slice_first},
    {"last", XLM_OP_SLICE, slice_last, .bf16 = true},
    {"all", XLM_OP_SLICE, slice_all},
    {"large", XLM_OP_SLICE, slice_large},
    {"even", XLM_OP_SLICE, slice_even, .bf16 = true},
    {"uneven", XLM_OP_SLICE, slice_uneven, .bf16 = true},
    {"middle", XLM_OP_PAD, pad_middle, .bf16 = true},
    {"one_row", XLM_OP_PAD, pad_one_row},
    {"end", XLM_OP_PAD, pad_end},
    {"even", XLM_OP_PAD, pad_even, .bf16 = true},
    {"two", XLM_OP_CONCAT, concat_two, .bf16 = true},
    {"same", XLM_OP_CONCAT, concat_same},
    {"even", XLM_OP_CONCAT, concat_even, .bf16 = true},
    {"order", XLM_OP_CONCAT, concat_order, .bf16 = true},
    {"one", XLM_OP_SHIFT, shift_one, .bf16 = true},
    {"back", XLM_OP_SHIFT, shift_back},
    {"none", XLM_OP_SHIFT, shift_none},
    {"out", XLM_OP_SHIFT, shift_out},
    {"far", XLM_OP_SHIFT, shift_far},
    {"last", XLM_OP_SHIFT, shift_last, .bf16 = true},
    {"rows", XLM_OP_SHIFT, shift_rows, .bf16 = true},
};
const op_cases cases_dims = {table, sizeof table / sizeof *table};
