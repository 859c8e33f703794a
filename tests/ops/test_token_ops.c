// What the op cases cannot say of the token, dimension and mixture-of-experts ops: properties over several
// layouts of one computation, numbers that are not finite, and what inference refuses.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/run_graph.h"
#include "tests/ops/run_op.h"

static xlm_arena *arena;

static int setup(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

static op_test new_test(void) {
  return (op_test){.b = xlm_build_new(xlm_graph_new(arena, NULL, "test")),
                   .dtype = XLM_F32,
                   .env = {.seed = 5, .step = 3}};
}

static double *values_of(op_test *t, xlm_val v) { // runs the graph on the CPU
  run_options o = {.backend = xlm_backend_find("cpu"), .threads = 2, .env = t->env};
  run_graph *r = run_graph_new(t->b.g, o);
  for (int i = 0; i < t->n_leaves; i++) run_graph_set(r, t->leaf[i].val, t->leaf[i].values);
  run_graph_run(r, 1, t->b.g->n_nodes);
  assert_null(run_graph_error(r));
  double *values = XLM_NEW_N(arena, double, run_graph_elements(r, v) + 1);
  run_graph_get(r, v, values);
  run_graph_free(r);
  return values;
}

static xlm_dim part_of(op_test *t, const char *name, int64_t size, int64_t full, int64_t offset) {
  xlm_dim_info info = {.name = name, .size = size, .full = full, .offset = offset, .axes = size != full};
  return xlm_graph_dim_add(t->b.g, info);
}

static xlm_val ones(op_test *t, const xlm_dim *dims, int n) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_text(&l, XLM_A_name, "x");
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  xlm_attr_put_dims(&l, XLM_A_dims, dims, n);
  op_leaf_info *leaf = &t->leaf[t->n_leaves++];
  leaf->val = xlm_emit(&t->b, XLM_OP_INPUT, NULL, 0, &l);
  int64_t count = xlm_type_elements(xlm_val_type(t->b.g, leaf->val), t->b.g->dims);
  leaf->values = XLM_NEW_N(arena, double, count);
  for (int64_t i = 0; i < count; i++) leaf->values[i] = 1;
  return leaf->val;
}

// ---- dropout

enum { B = 6, S = 8, H = 5 };

// The mask of samples [b0, b0 + nb) and positions [s0, s0 + ns), where a microbatch begins at sample `row`.
static double *mask(int64_t row, int64_t b0, int64_t nb, int64_t s0, int64_t ns, const char *name,
                    int64_t step) {
  op_test t = new_test();
  t.env.first_row = row;
  t.env.step = step;
  xlm_dim dims[] = {part_of(&t, "batch", nb, B, b0), part_of(&t, "seq", ns, S, s0),
                    part_of(&t, "hidden", H, H, 0)};
  xlm_val x = ones(&t, dims, 3);
  xlm_attr_list l = op_attrs(&t);
  xlm_attr_put_float(&l, XLM_A_p, 0.5);
  xlm_attr_put_text(&l, XLM_A_name, name);
  return values_of(&t, xlm_emit(&t.b, XLM_OP_DROPOUT, &x, 1, &l));
}

static void assert_part(const double *whole, const double *part, int64_t b0, int64_t nb, int64_t s0,
                        int64_t ns) {
  for (int64_t b = 0; b < nb; b++)
    for (int64_t s = 0; s < ns; s++)
      for (int64_t h = 0; h < H; h++)
        assert_true(part[(b * ns + s) * H + h] == whole[((b0 + b) * S + s0 + s) * H + h]);
}

static void dropout_is_the_same_in_every_layout(void **state) {
  (void)state;
  double *whole = mask(0, 0, B, 0, S, "drop", 3);
  assert_part(whole, mask(0, 0, B, 3, 5, "drop", 3), 0, B, 3, 5); // a part of the sequence
  assert_part(whole, mask(0, 4, 2, 0, S, "drop", 3), 4, 2, 0, S); // a part of the batch on another rank
  assert_part(whole, mask(4, 0, 2, 0, S, "drop", 3), 4, 2, 0, S); // a later microbatch
  assert_part(whole, mask(2, 1, 1, 1, 3, "drop", 3), 3, 1, 1, 3); // all at once
}

static int64_t differing(const double *a, const double *b) {
  int64_t n = 0;
  for (int64_t i = 0; i < B * S * H; i++) n += a[i] != b[i];
  return n;
}

static void dropout_differs_by_name_and_step(void **state) {
  (void)state;
  double *whole = mask(0, 0, B, 0, S, "drop", 3);
  assert_true(differing(whole, mask(0, 0, B, 0, S, "drop2", 3)) > B * S * H / 3);
  assert_true(differing(whole, mask(0, 0, B, 0, S, "drop", 4)) > B * S * H / 3);
  assert_true(differing(whole, mask(6, 0, B, 0, S, "drop", 3)) > B * S * H / 3);
}

static void dropout_keeps_the_mean(void **state) {
  (void)state;
  op_test t = new_test();
  xlm_val x = ones(&t, (xlm_dim[]){part_of(&t, "hidden", 100000, 100000, 0)}, 1);
  xlm_attr_list l = op_attrs(&t);
  xlm_attr_put_float(&l, XLM_A_p, 0.2);
  double *y = values_of(&t, xlm_emit(&t.b, XLM_OP_DROPOUT, &x, 1, &l)), sum = 0;
  for (int i = 0; i < 100000; i++) {
    assert_true(y[i] == 0 || y[i] == (double)1.25f);
    sum += y[i];
  }
  assert_true(fabs(sum / 100000 - 1) < 0.01); // eight standard deviations
}

// ---- lookup over a split vocabulary

static void split_vocabulary_adds_up(void **state) {
  (void)state;
  static const int tokens[] = {0, 9, 4, 3, 7, 4, 5};
  double sum[7] = {0};
  for (int part = 0; part < 3; part++) { // rows 0..3, 4..6, 7..9 of a table whose row v holds v + 1
    static const int64_t offset[] = {0, 4, 7, 10};
    op_test t = new_test();
    xlm_dim d = part_of(&t, "vocab", offset[part + 1] - offset[part], 10, offset[part]);
    xlm_val table = ones(&t, &d, 1), ids = op_int_data(&t, "ids[seq 7]", tokens);
    for (int64_t i = 0; i < offset[part + 1] - offset[part]; i++)
      t.leaf[0].values[i] = (double)(offset[part] + i + 1);
    double *y = values_of(&t, xlm_op2(&t.b, XLM_OP_LOOKUP, table, ids));
    for (int i = 0; i < 7; i++) sum[i] += y[i];
  }
  for (int i = 0; i < 7; i++) assert_true(sum[i] == tokens[i] + 1);
}

// ---- numbers that are not finite must reach the loss, where the training loop looks for them

static double loss_with(double bad) {
  op_test t = new_test();
  xlm_val logits = op_leaf(&t, "logits[seq 3, vocab 100]"), targets = op_ints(&t, "targets[seq]", 0, 100);
  t.leaf[0].values[150] = bad;
  return values_of(&t, xlm_op2(&t.b, XLM_OP_CROSS_ENTROPY, logits, targets))[0];
}

static void loss_shows_bad_numbers(void **state) {
  (void)state;
  assert_true(isfinite(loss_with(1)));
  assert_false(isfinite(loss_with(NAN)));
  assert_false(isfinite(loss_with(INFINITY)));
  assert_true(isfinite(loss_with(-INFINITY))); // a masked logit
}

// ---- the loss and its gradient at once: the bits of the two

static void same_bits(op_test *t, xlm_val x, xlm_val y) {
  const double *a = values_of(t, x), *b = values_of(t, y);
  int64_t n = xlm_type_elements(xlm_val_type(t->b.g, x), t->b.g->dims);
  for (int64_t i = 0; i < n; i++) assert_true(a[i] == b[i]);
}

static void loss_and_gradient_at_once(void **state) {
  (void)state;
  for (int k = 0; k < 4; k++) {
    op_test t = new_test();
    t.dtype = k & 1 ? XLM_BF16 : XLM_F32;
    xlm_val logits = op_leaf_range(&t, "logits[seq 9, vocab 1201]", -20, 20),
            targets = op_ints(&t, "targets[seq]", -1, 1201), dloss = op_fixed(&t, "dloss[]", 0.1, 3),
            valid = op_fixed(&t, "valid[]", 7, 9);
    int counted = k >> 1;
    xlm_attr_list l = op_attrs(&t);
    op_put_dims(&t, &l, XLM_A_vocab, "vocab");
    xlm_val loss =
        xlm_emit(&t.b, XLM_OP_CROSS_ENTROPY, (xlm_val[]){logits, targets, valid}, 2 + counted, NULL);
    xlm_val in[] = {logits, targets, loss + 1, dloss, valid};
    xlm_val gradient = xlm_emit(&t.b, XLM_OP_CROSS_ENTROPY_BWD, in, 4 + counted, &l);
    xlm_val of_both[] = {logits, targets, dloss, valid};
    xlm_val both = xlm_emit(&t.b, XLM_OP_CROSS_ENTROPY_GRAD, of_both, 3 + counted, &l);
    same_bits(&t, gradient, both);
    same_bits(&t, loss, both + 1);
  }
}

static void
top_k_of_bad_numbers_chooses_k(void **state) { // whatever it chooses, the indices are valid and differ
  (void)state;
  op_test t = new_test();
  xlm_val x = op_data(&t, "x[seq 2, experts 4]", (double[]){NAN, NAN, NAN, NAN, 1, NAN, INFINITY, -INFINITY});
  xlm_attr_list l = op_attrs(&t);
  op_put_dims(&t, &l, XLM_A_active, "active 3");
  double *e = values_of(&t, xlm_emit(&t.b, XLM_OP_TOP_K, &x, 1, &l) + 1);
  for (int i = 0; i < 6; i++) {
    assert_true(e[i] >= 0 && e[i] < 4);
    for (int k = i / 3 * 3; k < i; k++) assert_true(e[i] != e[k]);
  }
}

// ---- the loss of even routing is one

static void even_routing_balances_to_one(void **state) {
  (void)state;
  op_test t = new_test();
  op_dim(&t, "experts 4");
  xlm_val logits = op_data(&t, "logits[seq 4, experts]", (double[16]){0});
  xlm_val e = op_int_data(&t, "e[seq, active 2]", (int[]){0, 1, 2, 3, 0, 1, 2, 3});
  assert_true(fabs(values_of(&t, xlm_op2(&t.b, XLM_OP_LOAD_BALANCE, logits, e))[0] - 1) < 1e-6);
}

// ---- what inference refuses

typedef struct refusal {
  xlm_op_id op;
  const char *in[4];      // leaves; "#" before the name: integers
  const char *attr[3][2]; // key, dims (or a number)
  xlm_fault fault;
  const char *says; // a part of the message
} refusal;

static const refusal refusals[] = {
    {XLM_OP_LOOKUP,
     {"t[vocab 4, hidden 3]", "x[seq 2]"},
     {{0}},
     XLM_FAULT_DTYPE,
     "the tokens must be integers"},
    {XLM_OP_LOOKUP, {"#t[vocab 4, hidden 3]", "#x[seq 2]"}, {{0}}, XLM_FAULT_DTYPE, "real numbers"},
    {XLM_OP_LOOKUP, {"t[vocab 4, seq 2]", "#x[vocab]"}, {{0}}, XLM_FAULT_EXTRA_DIM, "choose along `vocab`"},
    {XLM_OP_ROPE, {"x[seq 4, head 6]", "p[head]"}, {{0}}, XLM_FAULT_EXTRA_DIM, "whole vectors along `head`"},
    {XLM_OP_ROPE, {"x[seq 4, head 6]", "p[batch 2]"}, {{0}}, XLM_FAULT_MISSING_DIM, "`batch`"},
    {XLM_OP_SCATTER,
     {"x[seq 4, head 6]", "#i[seq]"},
     {{"vocab", "bins 3"}, {"over", "head"}},
     XLM_FAULT_MISSING_DIM,
     "no dimension `head` to sum over"},
    {XLM_OP_LOOKUP, {"t[]", "#x[seq 2]"}, {{0}}, XLM_FAULT_MISSING_DIM, "no dimension to look up in"},
    {XLM_OP_LOOKUP, {"t[vocab 4]", "#x[seq 2]"}, {{"vocab", "other 3"}}, XLM_FAULT_MISSING_DIM, "`other`"},
    {XLM_OP_CROSS_ENTROPY,
     {"l[seq 2, vocab 4]", "#t[batch 3]"},
     {{0}},
     XLM_FAULT_DIM_MISMATCH,
     "exactly one dimension more"},
    {XLM_OP_CROSS_ENTROPY,
     {"l[seq 2, vocab 4]", "#t[seq, batch 3]"},
     {{0}},
     XLM_FAULT_DIM_MISMATCH,
     "[seq, batch]"},
    {XLM_OP_CROSS_ENTROPY,
     {"l[seq 2, vocab 4]", "t[seq]"},
     {{0}},
     XLM_FAULT_DTYPE,
     "the targets must be integers"},
    {XLM_OP_CROSS_ENTROPY,
     {"l[seq 2, vocab 4]", "#t[seq]", "v[seq]"},
     {{0}},
     XLM_FAULT_DIM_MISMATCH,
     "scalar"},
    {XLM_OP_TOKEN_CROSS_ENTROPY,
     {"l[seq 2, vocab 4]", "#t[seq, batch 3]"},
     {{0}},
     XLM_FAULT_DIM_MISMATCH,
     "[seq, batch]"},
    {XLM_OP_DROPOUT, {"x[seq 2]"}, {{"p", "1"}}, XLM_FAULT_ATTR, "below 1, not 1"},
    {XLM_OP_DROPOUT, {"x[seq 2]"}, {{"p", "-0.5"}}, XLM_FAULT_ATTR, "at least 0"},
    {XLM_OP_RENAME, {"x[a 2]"}, {{"from", "b 2"}, {"to", "c 2"}}, XLM_FAULT_MISSING_DIM, "`b`"},
    {XLM_OP_RENAME,
     {"x[a 2]"},
     {{"from", "a"}, {"to", "c 3"}},
     XLM_FAULT_SIZE,
     "`a` has 2 elements but `c` has 3"},
    {XLM_OP_RENAME,
     {"x[a 2, b 2]"},
     {{"from", "a"}, {"to", "b"}},
     XLM_FAULT_EXTRA_DIM,
     "already has a dimension `b`"},
    {XLM_OP_RENAME, {"x[a 2, b 2]"}, {{"from", "a a"}, {"to", "c 2 d 2"}}, XLM_FAULT_ATTR, "renamed twice"},
    {XLM_OP_RENAME, {"x[a 2]"}, {{"from", "a"}, {"to", "c 2 d 1"}}, XLM_FAULT_ATTR, "as many new names"},
    {XLM_OP_SPLIT,
     {"x[a 12]"},
     {{"from", "a"}, {"to", "b 5 c 2"}},
     XLM_FAULT_SIZE,
     "12 elements, which is not b 5 x c 2"},
    {XLM_OP_SPLIT, {"x[a 4, b 2]"}, {{"from", "a"}, {"to", "b c 2"}}, XLM_FAULT_EXTRA_DIM, "`b` twice"},
    {XLM_OP_SPLIT, {"x[a 4, b 2]"}, {{"from", "a b"}, {"to", "c 4"}}, XLM_FAULT_ATTR, "one dimension"},
    {XLM_OP_MERGE, {"x[a 4, b 2]"}, {{"from", "b a"}, {"to", "c 8"}}, XLM_FAULT_ATTR, "does not follow"},
    {XLM_OP_MERGE, {"x[a 4, b 2]"}, {{"from", "a b"}, {"to", "c 9"}}, XLM_FAULT_SIZE, "9 elements"},
    {XLM_OP_PERMUTE, {"x[a 4, b 2]"}, {{"dims", "a"}}, XLM_FAULT_ATTR, "not an order"},
    {XLM_OP_PERMUTE, {"x[a 4, b 2]"}, {{"dims", "a a"}}, XLM_FAULT_ATTR, "not an order"},
    {XLM_OP_SLICE,
     {"x[a 4]"},
     {{"from", "a"}, {"to", "b 3"}, {"start", "2"}},
     XLM_FAULT_SIZE,
     "do not lie within"},
    {XLM_OP_SLICE,
     {"x[a 4]"},
     {{"from", "a"}, {"to", "b 3"}, {"start", "-1"}},
     XLM_FAULT_SIZE,
     "from index -1"},
    {XLM_OP_SLICE, {"x[a 4]"}, {{"from", "a"}, {"to", "b 5"}}, XLM_FAULT_SIZE, "do not lie within"},
    {XLM_OP_PAD, {"x[a 4]"}, {{"from", "a"}, {"to", "b 3"}}, XLM_FAULT_SIZE, "do not lie within"},
    {XLM_OP_CONCAT, {"x[a 4]", "y[b 3]"}, {{"from", "a b"}, {"to", "c 8"}}, XLM_FAULT_SIZE, "have 7"},
    {XLM_OP_CONCAT,
     {"x[a 4, h 2]", "y[b 3]"},
     {{"from", "a b"}, {"to", "c 7"}},
     XLM_FAULT_DIM_MISMATCH,
     "[h]"},
    {XLM_OP_CONCAT,
     {"x[a 4]", "#y[b 3]"},
     {{"from", "a b"}, {"to", "c 7"}},
     XLM_FAULT_DTYPE,
     "different types"},
    {XLM_OP_CONCAT,
     {"x[a 4]", "y[a]", "z[a]"},
     {{"from", "a a"}, {"to", "c 12"}},
     XLM_FAULT_ATTR,
     "3 dimensions"},
    {XLM_OP_SHIFT, {"x[a 4, b 2]"}, {{"seq", "a b"}}, XLM_FAULT_ATTR, "one dimension, not 2"},
    {XLM_OP_LOOKUP, {"t[a 4, b 2]", "#x[seq 2]"}, {{"vocab", "a b"}}, XLM_FAULT_ATTR, "one dimension, not 2"},
    {XLM_OP_SHIFT, {"x[a 4]"}, {{0}}, XLM_FAULT_MISSING_DIM, "`seq`"},
    {XLM_OP_TOP_K, {"x[seq 2, experts 4]"}, {{0}}, XLM_FAULT_ATTR, "the dimension of the chosen ones"},
    {XLM_OP_TOP_K, {"x[seq 2, experts 4]"}, {{"active", "active 5"}}, XLM_FAULT_SIZE, "cannot choose"},
    {XLM_OP_TOP_K, {"x[seq 2, experts 4]"}, {{"active", "seq"}}, XLM_FAULT_EXTRA_DIM, "`seq` twice"},
    {XLM_OP_DISPATCH,
     {"x[seq 2, hidden 3]", "#e[seq, active 2]"},
     {{0}},
     XLM_FAULT_ATTR,
     "which dimension the experts are"},
    {XLM_OP_DISPATCH,
     {"x[seq 2, hidden 3]", "e[seq, active 2]"},
     {{"experts", "experts 4"}},
     XLM_FAULT_DTYPE,
     "integers"},
    {XLM_OP_DISPATCH,
     {"x[seq 2, hidden 3]", "#e[batch 2, active 2]"},
     {{"experts", "experts 4"}},
     XLM_FAULT_DIM_MISMATCH,
     "one more"},
    {XLM_OP_COMBINE,
     {"y[experts 4, hidden 3]", "w[seq 2, active 2]", "#e[seq, active]"},
     {{0}},
     XLM_FAULT_MISSING_DIM,
     "`dispatch`"},
    {XLM_OP_EXPERT_COUNT, {"#e[seq 2, experts 4]"}, {{0}}, XLM_FAULT_EXTRA_DIM, "not choices"},
    {XLM_OP_LOAD_BALANCE,
     {"l[seq 2, experts 4]", "#e[batch 2, active 2]"},
     {{0}},
     XLM_FAULT_DIM_MISMATCH,
     "one more"},
};

static void put(op_test *t, xlm_attr_list *l, const char *name, const char *value) {
  xlm_attr_key key;
  assert_true(xlm_attr_parse(name, &key));
  double number = strtod(value, NULL);
  if (xlm_attr_kind_of(key) == XLM_ATTR_FLOAT) xlm_attr_put_float(l, key, number);
  if (xlm_attr_kind_of(key) == XLM_ATTR_INT) xlm_attr_put_int(l, key, (int64_t)number);
  if (xlm_attr_kind_of(key) == XLM_ATTR_DIMS) op_put_dims(t, l, key, value);
}

static void check_refusal(const refusal *r) {
  op_test t = new_test();
  xlm_val in[4];
  int n = 0;
  for (; n < 4 && r->in[n]; n++)
    in[n] = r->in[n][0] == '#' ? op_ints(&t, r->in[n] + 1, 0, 2) : op_leaf(&t, r->in[n]);
  xlm_attr_list l = op_attrs(&t);
  for (int i = 0; i < 3 && r->attr[i][0]; i++) put(&t, &l, r->attr[i][0], r->attr[i][1]);
  xlm_infer x;
  xlm_val v = xlm_emit_checked(&t.b, r->op, in, n, &l, &x);
  if (v || x.fault != r->fault || !strstr(x.fault_text, r->says))
    fail_msg("refusal %d of `%s`: %s", (int)(r - refusals), xlm_op_at(r->op)->name,
             v ? "accepted" : x.fault_text);
}

static void mistakes_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) check_refusal(&refusals[i]);
}

static void
ragged_rows_are_guarded(void **state) { // between dispatch and combine the rows cannot be cut or reordered
  (void)state;
  op_test t = new_test();
  op_dim(&t, "experts 4");
  xlm_val x = op_leaf(&t, "x[seq 3, hidden 6]"), e = op_ints(&t, "e[seq, active 2]", 0, 4);
  xlm_val xs = xlm_op2(&t.b, XLM_OP_DISPATCH, x, e);
  assert_int_equal(xlm_val_at(t.b.g, xs)->ragged_by, xs + 1);
  xlm_infer fault;
  xlm_attr_list drop = op_attrs(&t), order = op_attrs(&t), cut = op_attrs(&t);
  xlm_attr_put_float(&drop, XLM_A_p, 0.5);
  assert_int_equal(xlm_emit_checked(&t.b, XLM_OP_DROPOUT, &xs, 1, &drop, &fault), 0);
  op_put_dims(&t, &order, XLM_A_dims, "routed experts hidden");
  assert_int_equal(xlm_emit_checked(&t.b, XLM_OP_PERMUTE, &xs, 1, &order, &fault), 0);
  op_put_dims(&t, &cut, XLM_A_from, "experts");
  op_put_dims(&t, &cut, XLM_A_to, "few 2");
  assert_int_equal(xlm_emit_checked(&t.b, XLM_OP_SLICE, &xs, 1, &cut, &fault), 0);
  xlm_val other = op_ints(&t, "f[batch 9, active]", 0, 4), w = op_leaf(&t, "w[batch, active]");
  assert_int_equal(xlm_emit_checked(&t.b, XLM_OP_COMBINE, (xlm_val[]){xs, w, other}, 3, NULL, &fault), 0);
  assert_non_null(strstr(fault.fault_text, "another choice"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(dropout_is_the_same_in_every_layout, setup, teardown),
      cmocka_unit_test_setup_teardown(dropout_differs_by_name_and_step, setup, teardown),
      cmocka_unit_test_setup_teardown(dropout_keeps_the_mean, setup, teardown),
      cmocka_unit_test_setup_teardown(split_vocabulary_adds_up, setup, teardown),
      cmocka_unit_test_setup_teardown(loss_shows_bad_numbers, setup, teardown),
      cmocka_unit_test_setup_teardown(loss_and_gradient_at_once, setup, teardown),
      cmocka_unit_test_setup_teardown(top_k_of_bad_numbers_chooses_k, setup, teardown),
      cmocka_unit_test_setup_teardown(even_routing_balances_to_one, setup, teardown),
      cmocka_unit_test_setup_teardown(mistakes_are_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(ragged_rows_are_guarded, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
