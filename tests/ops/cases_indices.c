// Cases of iota, stack and argmax.
#include <math.h>

#include "tests/ops/run_op.h"

static void indices_of(op_test *t, xlm_dim d) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_dims(&l, XLM_A_dims, &d, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_IOTA, NULL, 0, &l));
}

static void indices(op_test *t) {
  indices_of(t, op_dim(t, "seq 1030"));
}

static void indices_part(op_test *t, xlm_dim_info seq) {
  xlm_graph_dim_add(t->b.g, seq);
  indices_of(t, xlm_graph_dim_find(t->b.g, "seq", 1));
}

static void later_indices(op_test *t) {
  indices_part(t, (xlm_dim_info){.name = "seq", .size = 4, .full = 10, .offset = 3, .axes = 1});
}

static void indices_both_ends(op_test *t) {
  indices_part(t, (xlm_dim_info){.name = "seq",
                                 .size = 5,
                                 .full = 12,
                                 .offset = 2,
                                 .tail = 2,
                                 .tail_offset = 8,
                                 .axes = 1,
                                 .mirrored = 1});
}

static void stacked(op_test *t, const xlm_val *in, int n, const char *dim) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_over, dim);
  op_out(t, xlm_emit(&t->b, XLM_OP_STACK, in, n, &l));
}

static void stack_tensors(op_test *t) { // of different dimensions
  xlm_val in[3] = {op_leaf(t, "x[batch 3, seq 7]")};
  in[1] = op_leaf(t, "y[seq]"), in[2] = op_leaf(t, "z[]");
  stacked(t, in, 3, "kinds 3");
}

static void stack_one(op_test *t) {
  stacked(t, (xlm_val[]){op_leaf(t, "x[batch 3]")}, 1, "kinds 1");
}

static void stack_numbers(op_test *t) {
  stacked(t, (xlm_val[]){xlm_scalar(&t->b, 1), xlm_scalar(&t->b, -2.5), xlm_scalar(&t->b, 4)}, 3, "kinds 3");
}

static void largest(op_test *t, xlm_val x, const char *over) {
  xlm_attr_list l = op_attrs(t);
  if (over) op_put_dims(t, &l, XLM_A_over, over);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ARGMAX, &x, 1, &l));
}

static void largest_last(op_test *t) {
  largest(t, op_leaf(t, "x[batch 3, seq 5, vocab 37]"), NULL);
}
static void largest_middle(op_test *t) {
  largest(t, op_leaf(t, "x[batch 3, seq 19, hidden 5]"), "seq");
}
static void largest_long(op_test *t) { // a warp, a block per row
  largest(t, op_leaf(t, "x[batch 3, vocab 500]"), NULL);
}
static void largest_very_long(op_test *t) {
  largest(t, op_leaf(t, "x[batch 5, vocab 3001]"), NULL);
}

static void largest_equal(op_test *t) { // the first of equal ones; what is not a number is never chosen
  static const double x[] = {1, 3, 3, NAN, 3, 2, -4, NAN, -4, NAN, NAN, NAN};
  largest(t, op_data(t, "x[batch 4, vocab 3]", x), NULL);
}

static const op_case table[] = {
    {"whole", XLM_OP_IOTA, indices, .no_grad = true},
    {"later_part", XLM_OP_IOTA, later_indices, .no_grad = true},
    {"both_ends", XLM_OP_IOTA, indices_both_ends, .no_grad = true},
    {"tensors", XLM_OP_STACK, stack_tensors, .bf16 = true},
    {"one", XLM_OP_STACK, stack_one},
    {"numbers", XLM_OP_STACK, stack_numbers, .no_grad = true},
    {"last", XLM_OP_ARGMAX, largest_last, .bf16 = true, .no_grad = true},
    {"middle", XLM_OP_ARGMAX, largest_middle, .bf16 = true, .no_grad = true},
    {"long", XLM_OP_ARGMAX, largest_long, .bf16 = true, .no_grad = true},
    {"very_long", XLM_OP_ARGMAX, largest_very_long, .no_grad = true},
    {"equal", XLM_OP_ARGMAX, largest_equal, .no_grad = true},
};
const op_cases cases_indices = {table, sizeof table / sizeof *table};
