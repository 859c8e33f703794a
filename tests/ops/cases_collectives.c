// Cases of the collectives in a group of one: types, attributes, strides. tests/layouts/test_collectives.c
// tests them on several ranks.
#include "tests/ops/run_op.h"

// The piece of dimension `name` that one rank of a group holds.
static xlm_dim piece(op_test *t, const char *name, int64_t size, int64_t full, int64_t offset) {
  xlm_dim_info d = {.name = name, .size = size, .full = full, .offset = offset, .axes = 1};
  return xlm_graph_dim_add(t->b.g, d);
}

static void put_sizes(xlm_attr_list *l, int64_t size, int64_t second) { // of a group of one; 0: one list
  xlm_attr_put_int(l, XLM_A_axes, 1);
  xlm_attr_put_ints(l, XLM_A_sizes, (int64_t[]){size, second}, second ? 2 : 1);
}

static void reduce(op_test *t, const char *decl, xlm_reduction kind) {
  xlm_val x = op_leaf(t, decl);
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_axes, 1);
  if (kind) xlm_attr_put_enum(&l, XLM_A_kind, kind);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ALL_REDUCE, &x, 1, &l));
}

static void reduce_sum(op_test *t) {
  reduce(t, "x[batch 3, hidden 70]", XLM_REDUCTION_NONE);
}
static void reduce_max(op_test *t) {
  reduce(t, "x[]", XLM_REDUCTION_MAX);
}
static void reduce_lse(op_test *t) {
  reduce(t, "x[seq 5]", XLM_REDUCTION_LSE);
}

static void along(op_test *t, xlm_op_id op, const char *decl, xlm_dim from, xlm_dim to, int64_t size) {
  xlm_attr_list l = op_attrs(t);
  if (size) put_sizes(&l, size, 0);
  xlm_attr_put_int(&l, XLM_A_axes, 1);
  xlm_attr_put_dims(&l, XLM_A_from, &from, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  xlm_val x;
  if (op == XLM_OP_ALL_GATHER) { // the operand has the piece, which a declaration cannot name
    xlm_val whole = op_leaf(t, decl);
    xlm_attr_list back = op_attrs(t);
    xlm_attr_put_int(&back, XLM_A_axes, 1);
    xlm_attr_put_dims(&back, XLM_A_from, &to, 1);
    xlm_attr_put_dims(&back, XLM_A_to, &from, 1);
    x = xlm_emit(&t->b, XLM_OP_LOCAL_SLICE, &whole, 1, &back);
  } else {
    x = op_leaf(t, decl);
  }
  op_out_const(t, xlm_emit(&t->b, op, &x, 1, &l));
}

static void scatter_middle(op_test *t) {
  xlm_dim whole = op_dim(t, "heads 5");
  along(t, XLM_OP_REDUCE_SCATTER, "x[batch 3, heads, hidden 4]", whole, piece(t, "heads", 5, 5, 0), 5);
}

static void scatter_first(op_test *t) {
  xlm_dim whole = op_dim(t, "seq 33");
  along(t, XLM_OP_REDUCE_SCATTER, "x[seq, hidden 7]", whole, piece(t, "seq", 33, 33, 0), 33);
}

static void gather_last(op_test *t) {
  xlm_dim whole = op_dim(t, "hidden 9");
  along(t, XLM_OP_ALL_GATHER, "x[batch 3, hidden]", piece(t, "hidden", 9, 9, 0), whole, 9);
}

static void gather_first(op_test *t) {
  xlm_dim whole = op_dim(t, "hidden 9");
  along(t, XLM_OP_ALL_GATHER, "x[hidden, batch 3]", piece(t, "hidden", 9, 9, 0), whole, 9);
}

static void exchange(op_test *t) {
  xlm_dim seq = op_dim(t, "seq 6"), heads = op_dim(t, "heads 5");
  xlm_dim seq_piece = piece(t, "seq", 6, 6, 0), heads_piece = piece(t, "heads", 5, 5, 0);
  xlm_val x = op_leaf(t, "x[seq, batch 2, heads, head 3]");
  xlm_attr_list to_piece = op_attrs(t), l = op_attrs(t);
  put_sizes(&l, 6, 5);
  xlm_attr_put_int(&to_piece, XLM_A_axes, 1);
  xlm_attr_put_dims(&to_piece, XLM_A_from, &seq, 1);
  xlm_attr_put_dims(&to_piece, XLM_A_to, &seq_piece, 1);
  x = xlm_emit(&t->b, XLM_OP_LOCAL_SLICE, &x, 1, &to_piece);
  xlm_attr_put_dims(&l, XLM_A_from, (xlm_dim[]){seq_piece, heads}, 2);
  xlm_attr_put_dims(&l, XLM_A_to, (xlm_dim[]){seq, heads_piece}, 2);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ALL_TO_ALL, &x, 1, &l));
}

static void take(op_test *t, const char *decl, int64_t size, int64_t offset) {
  xlm_dim whole = op_dim(t, "heads 25");
  along(t, XLM_OP_LOCAL_SLICE, decl, whole, piece(t, "heads", size, 25, offset), 0);
}

static void take_first(op_test *t) {
  take(t, "x[heads, hidden 30]", 7, 0);
}
static void take_middle(op_test *t) {
  take(t, "x[batch 2, heads, hidden 3]", 6, 13);
}
static void take_last(op_test *t) {
  take(t, "x[batch 3, heads]", 6, 19);
}

static void take_both_ends(op_test *t) {
  xlm_dim whole = op_dim(t, "heads 25"), part = piece(t, "heads", 8, 25, 3);
  t->b.g->dims[part].tail = 3, t->b.g->dims[part].tail_offset = 20, t->b.g->dims[part].mirrored = 1;
  along(t, XLM_OP_LOCAL_SLICE, "x[batch 2, heads, hidden 3]", whole, part, 0);
}

static void take_of_rows(op_test *t) { // of packed rows: those in use, zeros behind
  xlm_dim whole = op_dim(t, "hidden 8"), part = piece(t, "hidden", 4, 8, 4);
  op_dim(t, "experts 4");
  xlm_val x = op_leaf(t, "x[seq 5, hidden]");
  xlm_val e = op_int_data(t, "e[seq, active 2]", (int[]){0, 1, 3, 9, 1, 3, 0, 9, 1, 0}); // no expert 9: rows not in use
  xlm_attr_list d = op_attrs(t), l = op_attrs(t);
  op_put_dims(t, &d, XLM_A_experts, "experts");
  xlm_val rows = xlm_emit(&t->b, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2, &d);
  xlm_attr_put_int(&l, XLM_A_axes, 1);
  xlm_attr_put_dims(&l, XLM_A_from, &whole, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &part, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LOCAL_SLICE, &rows, 1, &l));
}

// dispatch, to the owners and back; expert 2 has no rows.
static void there_and_back(op_test *t) {
  xlm_dim experts = op_dim(t, "experts 4"), here = piece(t, "experts", 4, 4, 0);
  xlm_val x = op_leaf(t, "x[seq 5, hidden 3]");
  xlm_val e = op_int_data(t, "e[seq, active 2]", (int[]){3, 1, 1, 0, 0, 3, 7, 1, 3, 0});
  xlm_attr_list l = op_attrs(t);
  xlm_val xs = xlm_emit(&t->b, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2, &l), home = xs + 1;
  xlm_dim routed = xlm_val_type(t->b.g, xs)->dim[1];
  xlm_dim_info most = t->b.g->dims[routed];
  most.axes = 1, most.name = "routed.here";
  xlm_dim routed_here = xlm_graph_dim_add(t->b.g, most);
  put_sizes(&l, 4, 0);
  xlm_attr_put_dims(&l, XLM_A_from, (xlm_dim[]){routed, experts}, 2);
  xlm_attr_put_dims(&l, XLM_A_to, (xlm_dim[]){routed_here, here}, 2);
  xlm_val ys = xlm_emit(&t->b, XLM_OP_SEND_ROWS, &xs, 1, &l);
  xlm_attr_list back = op_attrs(t);
  put_sizes(&back, 4, 0);
  xlm_attr_put_dims(&back, XLM_A_from, (xlm_dim[]){here, routed_here}, 2);
  xlm_attr_put_dims(&back, XLM_A_to, (xlm_dim[]){experts, routed}, 2);
  op_out_const(t, ys);
  op_out_const(t, ys + 1);
  xlm_attr_list group = op_attrs(t);
  xlm_attr_put_int(&group, XLM_A_axes, 1);
  xlm_val sum = xlm_emit(&t->b, XLM_OP_ALL_REDUCE, &ys, 1, &group); // of ragged rows
  op_out_const(t, sum);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_COLLECT_ROWS, (xlm_val[]){sum, ys + 1, home}, 3, &back));
}

static void message(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 2, hidden 3]");
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_peer, 1);
  xlm_attr_put_int(&l, XLM_A_tag, 7);
  xlm_emit(&t->b, XLM_OP_SEND, &x, 1, &l);
  op_put_dims(t, &l, XLM_A_dims, "batch hidden");
  xlm_attr_put_enum(&l, XLM_A_dtype, t->dtype);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_RECV, NULL, 0, &l));
}

static const op_case table[] = {
    {"sum", XLM_OP_ALL_REDUCE, reduce_sum, .bf16 = true, .no_grad = true},
    {"max", XLM_OP_ALL_REDUCE, reduce_max, .bf16 = true, .no_grad = true},
    {"lse", XLM_OP_ALL_REDUCE, reduce_lse, .bf16 = true, .no_grad = true},
    {"middle", XLM_OP_REDUCE_SCATTER, scatter_middle, .bf16 = true, .no_grad = true},
    {"first", XLM_OP_REDUCE_SCATTER, scatter_first, .bf16 = true, .no_grad = true},
    {"last", XLM_OP_ALL_GATHER, gather_last, .bf16 = true, .no_grad = true},
    {"first", XLM_OP_ALL_GATHER, gather_first, .bf16 = true, .no_grad = true},
    {"inner", XLM_OP_ALL_TO_ALL, exchange, .bf16 = true, .no_grad = true},
    {"first", XLM_OP_LOCAL_SLICE, take_first, .bf16 = true, .no_grad = true},
    {"middle", XLM_OP_LOCAL_SLICE, take_middle, .bf16 = true, .no_grad = true},
    {"last", XLM_OP_LOCAL_SLICE, take_last, .bf16 = true, .no_grad = true},
    {"both_ends", XLM_OP_LOCAL_SLICE, take_both_ends, .bf16 = true, .no_grad = true},
    {"of_rows", XLM_OP_LOCAL_SLICE, take_of_rows, .bf16 = true, .no_grad = true},
    {"there_and_back", XLM_OP_SEND_ROWS, there_and_back, .bf16 = true, .no_grad = true},
    {"pair", XLM_OP_SEND, message, .bf16 = true, .no_grad = true},
};
const op_cases cases_collectives = {table, sizeof table / sizeof *table};
