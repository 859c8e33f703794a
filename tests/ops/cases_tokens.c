// Cases of lookup, cross_entropy and dropout.
#include "tests/ops/run_op.h"

// ---- lookup

static void lookup_rows(op_test *t) { // repeated tokens, first and last of the table
  xlm_val table = op_leaf(t, "table[vocab 7, hidden 37]");
  xlm_val tokens = op_int_data(t, "tokens[batch 2, seq 4]", (int[]){0, 6, 3, 3, 3, 0, 1, 5});
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, tokens));
}

static void lookup_in_second(op_test *t) { // a table that stores the vocabulary inside; rows of two dims
  xlm_val table = op_leaf(t, "table[heads 3, vocab 5, head 4]");
  xlm_val tokens = op_ints(t, "tokens[seq 6]", 0, 5);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_vocab, "vocab");
  op_out(t, xlm_emit(&t->b, XLM_OP_LOOKUP, (xlm_val[]){table, tokens}, 2, &l));
}

static void lookup_outside(op_test *t) { // tokens that no row has give zeros and no gradient
  xlm_val table = op_leaf(t, "table[vocab 4, hidden 5]");
  xlm_val tokens = op_int_data(t, "tokens[seq 5]", (int[]){-1, 3, 4, 0, 2147483647});
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, tokens));
}

static void lookup_part(op_test *t) { // rows 3 .. 6 of a vocabulary of 10: a shard
  xlm_graph_dim_add(t->b.g, (xlm_dim_info){.name = "vocab", .size = 4, .full = 10, .offset = 3, .axes = 1});
  xlm_dim d = xlm_graph_dim_find(t->b.g, "vocab", 1);
  xlm_attr_list l = op_attrs(t), at = op_attrs(t);
  xlm_val like = op_leaf(t, "table[rows 4, hidden 5]"),
          tokens = op_int_data(t, "tokens[seq 6]", (int[]){2, 3, 4, 6, 7, 6});
  xlm_attr_put_dims(&l, XLM_A_from, &xlm_val_type(t->b.g, like)->dim[0], 1);
  xlm_attr_put_dims(&l, XLM_A_to, &d, 1);
  xlm_val table = xlm_emit(&t->b, XLM_OP_RENAME, &like, 1, &l);
  xlm_attr_put_dims(&at, XLM_A_vocab, &d, 1);
  op_out(t, xlm_emit(&t->b, XLM_OP_LOOKUP, (xlm_val[]){table, tokens}, 2, &at));
}

static xlm_val lookup_along(op_test *t, xlm_val table, xlm_val tokens, const char *dim) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_vocab, dim);
  return xlm_emit(&t->b, XLM_OP_LOOKUP, (xlm_val[]){table, tokens}, 2, &l);
}

static void lookup_of_each(op_test *t) { // a table per sample
  xlm_val table = op_leaf(t, "table[batch 3, seq 5, hidden 37]"),
          index = op_ints(t, "index[batch, chosen 4]", 0, 5);
  op_out(t, lookup_along(t, table, index, "seq"));
}

static void lookup_of_each_inside(op_test *t) { // shared dimensions in any place of both
  xlm_val table = op_leaf(t, "table[heads 2, vocab 5, batch 3, head 8]");
  xlm_val index = op_ints(t, "index[chosen 4, batch, places 2, heads]", -1, 6);
  op_out(t, lookup_along(t, table, index, "vocab"));
}

static void lookup_one_of_each(op_test *t) { // an element per row: no dimension is left
  xlm_val table = op_leaf(t, "table[batch 31, vocab 67]"), index = op_ints(t, "index[batch]", 0, 67);
  op_out(t, lookup_along(t, table, index, "vocab"));
}

static void lookup_of_each_often(op_test *t) { // many tokens per row, over several tiles
  xlm_val table = op_leaf(t, "table[batch 2, vocab 3, hidden 12]"),
          index = op_ints(t, "index[seq 300, batch]", 0, 3);
  op_out(t, lookup_along(t, table, index, "vocab"));
}

static xlm_val scatter(op_test *t, xlm_val x, xlm_val index, const char *to, const char *over) {
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_vocab, to);
  if (over) op_put_dims(t, &l, XLM_A_over, over);
  return xlm_emit(&t->b, XLM_OP_SCATTER, (xlm_val[]){x, index}, 2, &l);
}

static void scatter_all(op_test *t) {
  xlm_val x = op_leaf(t, "x[hidden 7, batch 3, seq 5]"), index = op_ints(t, "index[batch, seq]", -1, 5);
  op_out(t, scatter(t, x, index, "slots 4", NULL));
}

static void scatter_of_each(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 3, seq 5, hidden 7]"), index = op_ints(t, "index[batch, seq]", 0, 4);
  op_out(t, scatter(t, x, index, "slots 4", "seq"));
}

static void lookup_large(op_test *t) { // enough for every worker to have a part
  xlm_val table = op_leaf(t, "table[vocab 300, hidden 100]"), tokens = op_ints(t, "tokens[seq 400]", 0, 300);
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, tokens));
}

static void lookup_scalar_rows(op_test *t) { // a table of numbers
  xlm_val table = op_leaf(t, "table[vocab 9]"), tokens = op_ints(t, "tokens[batch 3, seq 3]", 0, 9);
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, tokens));
}

static void often(op_test *t, const char *decl) { // a sum of many rows, over several tiles of sorted tokens
  enum { N = 2500 };
  int ids[N];
  for (int i = 0; i < N; i++) ids[i] = i % 10 == 0 ? i * 7919 % 700 : i % 3 == 0 ? 699 : i > 2000 ? -1 : 13;
  xlm_val table = op_leaf(t, decl);
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, op_int_data(t, "tokens[seq 2500]", ids)));
}

static void often_ids(int *ids, int n) { // tokens that repeat over several tiles, that no row has
  for (int i = 0; i < n; i++) ids[i] = i % 5 == 0 ? i * 7919 % 90 : i > 500 ? -1 : 13;
}

static void gradient_alone(op_test *t) {
  int ids[600];
  often_ids(ids, 600);
  xlm_val in[] = {op_leaf(t, "dy[seq 600, hidden 40]"), op_int_data(t, "tokens[seq 600]", ids)};
  xlm_dim vocab = xlm_graph_dim_add(t->b.g, (xlm_dim_info){.name = "vocab", .size = 90, .full = 90});
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_dims(&l, XLM_A_vocab, &vocab, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LOOKUP_BWD, in, 2, &l));
}

// The gradient added to an accumulator; rows without tokens.
static void gradient_acc(op_test *t, const char *acc, const char *rows, bool store) {
  int ids[600];
  often_ids(ids, 600);
  xlm_val in[] = {op_state(t, acc, -1, 1), op_leaf(t, rows), op_int_data(t, "tokens[seq 600]", ids)};
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_vocab, "vocab");
  if (store) xlm_attr_put_int(&l, XLM_A_store, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_LOOKUP_BWD_ACC, in, 3, &l));
}

static void acc_next(op_test *t) {
  gradient_acc(t, "acc[vocab 90, hidden 40]", "dy[seq 600, hidden 40]", false);
}
static void acc_first(op_test *t) {
  gradient_acc(t, "acc[vocab 90, hidden 40]", "dy[seq 600, hidden 40]", true);
}
static void acc_odd(op_test *t) { // more rows than tokens name, and no wide access
  gradient_acc(t, "acc[vocab 97, heads 3, head 11]", "dy[seq 600, heads 3, head 11]", false);
}

static void lookup_often(op_test *t) {
  often(t, "table[vocab 700, hidden 8]");
}
static void lookup_often_odd(op_test *t) { // rows that no wide access reaches
  often(t, "table[vocab 700, hidden 3]");
}

static void lookup_even_rows(op_test *t) { // rows of 8 or 16 bytes that begin at 4 or 8
  xlm_val table = op_leaf(t, "table[vocab 11, hidden 34]"), tokens = op_ints(t, "tokens[seq 13]", -1, 12);
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, tokens));
}

static void lookup_tied(op_test *t) { // one table read twice: the gradients add
  xlm_val table = op_leaf(t, "table[vocab 6, hidden 8]");
  xlm_val a = op_ints(t, "a[seq 5]", 0, 6), b = op_ints(t, "b[seq 5]", 0, 6);
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, a));
  op_out(t, xlm_op2(&t->b, XLM_OP_LOOKUP, table, b));
}

// ---- cross_entropy

static void loss_of(op_test *t, xlm_val logits, xlm_val targets, xlm_val valid, const xlm_attr_list *l) {
  xlm_val in[] = {logits, targets, valid};
  op_out(t, xlm_emit(&t->b, XLM_OP_CROSS_ENTROPY, in, valid ? 3 : 2, l));
}

static void loss_simple(op_test *t) {
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, vocab 11]");
  loss_of(t, logits, op_ints(t, "targets[batch, seq]", 0, 11), 0, NULL);
}

static void loss_valid(op_test *t) { // the count comes from outside
  xlm_val logits = op_leaf_range(t, "logits[batch 2, seq 3, vocab 5]", -8, 8);
  xlm_val targets = op_ints(t, "targets[batch, seq]", 0, 5), valid = op_fixed(t, "valid[]", 7, 9);
  loss_of(t, logits, targets, valid, NULL);
}

static void loss_ignore(op_test *t) { // ignored, negative and too large targets do not count
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_ignore, 2);
  xlm_val logits = op_leaf(t, "logits[seq 7, vocab 5]");
  loss_of(t, logits, op_int_data(t, "targets[seq]", (int[]){2, 1, -1, 4, 5, 0, 2}), 0, &l);
}

static void loss_none(op_test *t) { // nothing counts: zero, and no gradient
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 5]");
  loss_of(t, logits, op_int_data(t, "targets[seq]", (int[]){-1, -1, -1}), 0, NULL);
}

static void loss_order(op_test *t) { // the vocabulary in the middle, the targets in another order
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 70, batch 2]");
  loss_of(t, logits, op_ints(t, "targets[batch, seq]", 0, 70), 0, NULL);
}

static void loss_large(op_test *t) { // several chunks per row, a ragged end, large logits
  xlm_val logits = op_leaf_range(t, "logits[seq 5, vocab 2500]", -60, 60);
  loss_of(t, logits, op_ints(t, "targets[seq]", 0, 2500), 0, NULL);
}

static void loss_prime(op_test *t) { // rows longer than a block, that begin anywhere
  xlm_val logits = op_leaf(t, "logits[seq 7, vocab 2053]");
  loss_of(t, logits, op_ints(t, "targets[seq]", 0, 2053), 0, NULL);
}

static void loss_odd(op_test *t) { // short rows that begin anywhere
  xlm_val logits = op_leaf(t, "logits[seq 13, vocab 37]");
  loss_of(t, logits, op_ints(t, "targets[seq]", -1, 38), 0, NULL);
}

static void loss_of_one(op_test *t) { // a vocabulary of one
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 1]");
  loss_of(t, logits, op_ints(t, "targets[seq]", 0, 1), 0, NULL);
}

static void loss_many_tokens(op_test *t) {
  xlm_val logits = op_leaf(t, "logits[batch 3, seq 401, vocab 3]");
  loss_of(t, logits, op_ints(t, "targets[seq, batch]", -1, 4), op_fixed(t, "valid[]", 900, 901), NULL);
}

static void loss_rising(op_test *t) { // the maximum moves from chunk to chunk
  enum { V = 3000 };
  double x[V];
  for (int i = 0; i < V; i++) x[i] = i / 1000 * 90.0 + i % 7;
  xlm_val logits = op_data(t, "logits[seq 1, vocab 3000]", x);
  loss_of(t, logits, op_int_data(t, "targets[seq]", (int[]){1500}), 0, NULL);
}

static void loss_blocks(op_test *t) { // rows of whole vectors: read and overwritten where they lie
  xlm_val logits = op_leaf(t, "logits[seq 40, vocab 256]");
  loss_of(t, logits, op_ints(t, "targets[seq]", 0, 256), 0, NULL);
}

static void loss_and_lse(op_test *t) { // both results have gradients
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, vocab 6]"),
          targets = op_ints(t, "targets[batch, seq]", -1, 6);
  xlm_val loss = xlm_op2(&t->b, XLM_OP_CROSS_ENTROPY, logits, targets);
  op_out(t, loss);
  op_out(t, loss + 1);
}

// ---- a loss for each token

static void each_of(op_test *t, xlm_val logits, xlm_val targets, const xlm_attr_list *l) {
  xlm_val losses = xlm_emit(&t->b, XLM_OP_TOKEN_CROSS_ENTROPY, (xlm_val[]){logits, targets}, 2, l);
  op_out(t, losses);
}

static void each_simple(op_test *t) {
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, vocab 11]");
  each_of(t, logits, op_ints(t, "targets[batch, seq]", 0, 11), NULL);
}

static void each_ignore(op_test *t) { // ignored, negative and too large targets: zero, and no gradient
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_ignore, 2);
  xlm_val logits = op_leaf_range(t, "logits[seq 7, vocab 5]", -8, 8);
  each_of(t, logits, op_int_data(t, "targets[seq]", (int[]){2, 1, -1, 4, 5, 0, 2}), &l);
}

static void each_order(op_test *t) { // the vocabulary in the middle, the targets in another order
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 70, batch 2]");
  each_of(t, logits, op_ints(t, "targets[batch, seq]", -1, 70), NULL);
}

static void each_prime(op_test *t) { // rows longer than a block, that begin anywhere
  xlm_val logits = op_leaf(t, "logits[seq 7, vocab 2053]");
  each_of(t, logits, op_ints(t, "targets[seq]", -1, 2053), NULL);
}

static void each_and_lse(op_test *t) { // both results have gradients
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, vocab 6]"),
          targets = op_ints(t, "targets[batch, seq]", -1, 6);
  xlm_val losses = xlm_op2(&t->b, XLM_OP_TOKEN_CROSS_ENTROPY, logits, targets);
  op_out(t, losses);
  op_out(t, losses + 1);
}

// ---- the loss and its gradient at once

static void grad_of_loss(op_test *t, xlm_val logits, xlm_val targets, xlm_val valid, const char *vocab,
                         xlm_attr_list *l) {
  xlm_val in[] = {logits, targets, op_fixed(t, "dloss[]", 0.5, 2), valid};
  op_put_dims(t, l, XLM_A_vocab, vocab);
  xlm_val both = xlm_emit(&t->b, XLM_OP_CROSS_ENTROPY_GRAD, in, valid ? 4 : 3, l);
  op_out_const(t, both);
  op_out_const(t, both + 1);
}

static void grad_simple(op_test *t) {
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[batch 2, seq 3, vocab 11]");
  grad_of_loss(t, logits, op_ints(t, "targets[batch, seq]", 0, 11), 0, "vocab", &l);
}

static void grad_valid(op_test *t) { // the count comes from outside; some targets do not count
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_ignore, 2);
  xlm_val logits = op_leaf_range(t, "logits[seq 7, vocab 37]", -8, 8);
  xlm_val targets = op_int_data(t, "targets[seq]", (int[]){2, 1, -1, 4, 37, 0, 36});
  grad_of_loss(t, logits, targets, op_fixed(t, "valid[]", 7, 9), "vocab", &l);
}

static void grad_none(op_test *t) { // nothing counts: zero, and no gradient
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 5]");
  grad_of_loss(t, logits, op_int_data(t, "targets[seq]", (int[]){-1, -1, -1}), 0, "vocab", &l);
}

static void grad_order(op_test *t) { // the vocabulary in the middle, the targets in another order
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[seq 3, vocab 70, batch 2]");
  grad_of_loss(t, logits, op_ints(t, "targets[batch, seq]", -1, 70), 0, "vocab", &l);
}

static void grad_large(op_test *t) { // several chunks per row, large logits
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf_range(t, "logits[seq 5, vocab 2500]", -60, 60);
  grad_of_loss(t, logits, op_ints(t, "targets[seq]", 0, 2500), 0, "vocab", &l);
}

static void grad_prime(op_test *t) { // rows longer than a block, that begin anywhere
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[seq 7, vocab 2053]");
  grad_of_loss(t, logits, op_ints(t, "targets[seq]", -1, 2053), 0, "vocab", &l);
}

static void grad_longer_than_room(op_test *t) { // not all of a row waits in a block's memory
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[seq 2, vocab 51001]");
  grad_of_loss(t, logits, op_int_data(t, "targets[seq]", (int[]){51000, 3}), 0, "vocab", &l);
}

static void grad_blocks(op_test *t) { // rows of whole vectors
  xlm_attr_list l = op_attrs(t);
  xlm_val logits = op_leaf(t, "logits[seq 40, vocab 256]");
  grad_of_loss(t, logits, op_ints(t, "targets[seq]", 0, 256), 0, "vocab", &l);
}

// ---- a split vocabulary

// logits over elements 3 .. 6 of a vocabulary of 10.
static xlm_val split_logits(op_test *t, xlm_dim *vocab) {
  xlm_graph_dim_add(t->b.g, (xlm_dim_info){.name = "vocab", .size = 4, .full = 10, .offset = 3, .axes = 1});
  *vocab = xlm_graph_dim_find(t->b.g, "vocab", 1);
  xlm_val like = op_leaf(t, "logits[batch 2, seq 3, rows 4]");
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_dims(&l, XLM_A_from, &xlm_val_type(t->b.g, like)->dim[2], 1);
  xlm_attr_put_dims(&l, XLM_A_to, vocab, 1);
  return xlm_emit(&t->b, XLM_OP_RENAME, &like, 1, &l);
}

static void stats_part(op_test *t) {
  xlm_dim vocab;
  xlm_val logits = split_logits(t, &vocab),
          targets = op_int_data(t, "targets[batch 2, seq 3]", (int[]){2, 3, 6, 7, -1, 5});
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_dims(&l, XLM_A_vocab, &vocab, 1);
  xlm_val stats = xlm_emit(&t->b, XLM_OP_TOKEN_STATS, (xlm_val[]){logits, targets}, 2, &l);
  op_out(t, stats);
  op_out(t, stats + 1);
}

static void token_loss(op_test *t, bool counted) {
  xlm_val lse = op_leaf(t, "lse[batch 2, seq 3]"), logit = op_leaf(t, "logit[batch 2, seq 3]");
  xlm_val targets = op_int_data(t, "targets[batch 2, seq 3]", (int[]){2, 3, 9, 10, -1, 5});
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_k, 10);
  xlm_val in[] = {lse, logit, targets, counted ? op_leaf(t, "valid[]") : 0};
  op_out(t, xlm_emit(&t->b, XLM_OP_TOKEN_LOSS, in, counted ? 4 : 3, &l));
}

static void token_loss_counts(op_test *t) {
  token_loss(t, false);
}
static void token_loss_valid(op_test *t) {
  token_loss(t, true);
}

// ---- dropout

static void drop(op_test *t, const char *decl, double p) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_float(&l, XLM_A_p, p);
  xlm_attr_put_text(&l, XLM_A_name, "layers.0.drop");
  t->env.first_row = 6;
  xlm_val x = op_leaf(t, decl);
  op_out(t, xlm_emit(&t->b, XLM_OP_DROPOUT, &x, 1, &l));
}

static void drop_some(op_test *t) {
  drop(t, "x[batch 2, seq 5, hidden 7]", 0.25);
}
static void drop_none(op_test *t) {
  drop(t, "x[batch 2, seq 5]", 0);
}
static void drop_most(op_test *t) {
  drop(t, "x[seq 9, hidden 9]", 0.999);
}
static void drop_batch_inside(op_test *t) {
  drop(t, "x[seq 5, batch 3, hidden 6]", 0.5);
}
static void drop_batch_last(op_test *t) {
  drop(t, "x[seq 5, batch 3]", 0.5);
}
static void drop_large(op_test *t) {
  drop(t, "x[batch 3, seq 50, hidden 101]", 0.1);
}
static void drop_even(op_test *t) { // whole accesses
  drop(t, "x[batch 3, seq 4, hidden 32]", 0.3);
}
static void drop_even_inside(op_test *t) {
  drop(t, "x[seq 5, batch 3, hidden 8]", 0.3);
}
static void drop_scalar(op_test *t) {
  drop(t, "x[]", 0.5);
}

static void drop_of(op_test *t, xlm_dim_info seq) { // of `seq` three elements: rows of memory with gaps
  xlm_graph_dim_add(t->b.g, seq);
  xlm_dim d = xlm_graph_dim_find(t->b.g, "seq", 1), part = op_dim(t, "part 3");
  xlm_val x = op_leaf(t, "x[batch 2, part, hidden 6]");
  xlm_attr_list l = op_attrs(t), drop_attrs = op_attrs(t);
  xlm_attr_put_dims(&l, XLM_A_from, &part, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &d, 1);
  x = xlm_emit(&t->b, XLM_OP_RENAME, &x, 1, &l);
  xlm_attr_put_float(&drop_attrs, XLM_A_p, 0.5);
  op_out(t, xlm_emit(&t->b, XLM_OP_DROPOUT, &x, 1, &drop_attrs));
}

static void drop_part(op_test *t) {
  drop_of(t, (xlm_dim_info){.name = "seq", .size = 3, .full = 10, .offset = 4, .axes = 1});
}

static void drop_both_ends(op_test *t) {
  drop_of(t, (xlm_dim_info){.name = "seq",
                            .size = 3,
                            .full = 10,
                            .offset = 1,
                            .tail = 1,
                            .tail_offset = 7,
                            .axes = 1,
                            .mirrored = 1});
}

static const op_case table[] = {
    {"rows", XLM_OP_LOOKUP, lookup_rows, .bf16 = true},
    {"in_second", XLM_OP_LOOKUP, lookup_in_second, .bf16 = true},
    {"outside", XLM_OP_LOOKUP, lookup_outside},
    {"part", XLM_OP_LOOKUP, lookup_part},
    {"large", XLM_OP_LOOKUP, lookup_large, .bf16 = true},
    {"scalar_rows", XLM_OP_LOOKUP, lookup_scalar_rows},
    {"of_each", XLM_OP_LOOKUP, lookup_of_each, .bf16 = true},
    {"of_each_inside", XLM_OP_LOOKUP, lookup_of_each_inside, .bf16 = true},
    {"one_of_each", XLM_OP_LOOKUP, lookup_one_of_each, .bf16 = true},
    {"of_each_often", XLM_OP_LOOKUP, lookup_of_each_often, .bf16 = true},
    {"all", XLM_OP_SCATTER, scatter_all, .bf16 = true},
    {"of_each", XLM_OP_SCATTER, scatter_of_each, .bf16 = true},
    {"often", XLM_OP_LOOKUP, lookup_often, .bf16 = true},
    {"often_odd", XLM_OP_LOOKUP, lookup_often_odd, .bf16 = true},
    {"even_rows", XLM_OP_LOOKUP, lookup_even_rows, .bf16 = true},
    {"tied", XLM_OP_LOOKUP, lookup_tied},
    {"alone", XLM_OP_LOOKUP_BWD, gradient_alone, .bf16 = true, .no_grad = true},
    {"next", XLM_OP_LOOKUP_BWD_ACC, acc_next, .bf16 = true, .no_grad = true},
    {"first", XLM_OP_LOOKUP_BWD_ACC, acc_first, .bf16 = true, .no_grad = true},
    {"odd", XLM_OP_LOOKUP_BWD_ACC, acc_odd, .bf16 = true, .no_grad = true},
    {"simple", XLM_OP_CROSS_ENTROPY, loss_simple, .bf16 = true},
    {"valid", XLM_OP_CROSS_ENTROPY, loss_valid, .bf16 = true},
    {"ignore", XLM_OP_CROSS_ENTROPY, loss_ignore, .bf16 = true},
    {"none", XLM_OP_CROSS_ENTROPY, loss_none},
    {"order", XLM_OP_CROSS_ENTROPY, loss_order, .bf16 = true},
    {"large", XLM_OP_CROSS_ENTROPY, loss_large, .bf16 = true},
    {"prime", XLM_OP_CROSS_ENTROPY, loss_prime, .bf16 = true},
    {"odd", XLM_OP_CROSS_ENTROPY, loss_odd, .bf16 = true},
    {"of_one", XLM_OP_CROSS_ENTROPY, loss_of_one},
    {"many_tokens", XLM_OP_CROSS_ENTROPY, loss_many_tokens, .bf16 = true},
    {"rising", XLM_OP_CROSS_ENTROPY, loss_rising, .no_grad = true},
    {"blocks", XLM_OP_CROSS_ENTROPY, loss_blocks, .bf16 = true},
    {"and_lse", XLM_OP_CROSS_ENTROPY, loss_and_lse},
    {"simple", XLM_OP_TOKEN_CROSS_ENTROPY, each_simple, .bf16 = true},
    {"ignore", XLM_OP_TOKEN_CROSS_ENTROPY, each_ignore, .bf16 = true},
    {"order", XLM_OP_TOKEN_CROSS_ENTROPY, each_order, .bf16 = true},
    {"prime", XLM_OP_TOKEN_CROSS_ENTROPY, each_prime, .bf16 = true},
    {"and_lse", XLM_OP_TOKEN_CROSS_ENTROPY, each_and_lse},
    {"simple", XLM_OP_CROSS_ENTROPY_GRAD, grad_simple, .bf16 = true, .no_grad = true},
    {"valid", XLM_OP_CROSS_ENTROPY_GRAD, grad_valid, .bf16 = true, .no_grad = true},
    {"none", XLM_OP_CROSS_ENTROPY_GRAD, grad_none, .no_grad = true},
    {"order", XLM_OP_CROSS_ENTROPY_GRAD, grad_order, .bf16 = true, .no_grad = true},
    {"large", XLM_OP_CROSS_ENTROPY_GRAD, grad_large, .bf16 = true, .no_grad = true},
    {"prime", XLM_OP_CROSS_ENTROPY_GRAD, grad_prime, .bf16 = true, .no_grad = true},
    {"longer_than_room", XLM_OP_CROSS_ENTROPY_GRAD, grad_longer_than_room, .bf16 = true, .no_grad = true},
    {"blocks", XLM_OP_CROSS_ENTROPY_GRAD, grad_blocks, .bf16 = true, .no_grad = true},
    {"part", XLM_OP_TOKEN_STATS, stats_part, .no_grad = true},
    {"counts", XLM_OP_TOKEN_LOSS, token_loss_counts, .no_grad = true},
    {"valid", XLM_OP_TOKEN_LOSS, token_loss_valid, .no_grad = true},
    {"some", XLM_OP_DROPOUT, drop_some, .bf16 = true},
    {"none", XLM_OP_DROPOUT, drop_none},
    {"most", XLM_OP_DROPOUT, drop_most},
    {"batch_inside", XLM_OP_DROPOUT, drop_batch_inside},
    {"batch_last", XLM_OP_DROPOUT, drop_batch_last},
    {"large", XLM_OP_DROPOUT, drop_large, .bf16 = true},
    {"even", XLM_OP_DROPOUT, drop_even, .bf16 = true},
    {"even_inside", XLM_OP_DROPOUT, drop_even_inside, .bf16 = true},
    {"scalar", XLM_OP_DROPOUT, drop_scalar},
    {"part", XLM_OP_DROPOUT, drop_part},
    {"both_ends", XLM_OP_DROPOUT, drop_both_ends},
};
const op_cases cases_tokens = {table, sizeof table / sizeof *table};
