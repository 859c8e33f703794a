// Simplify: what folds, merges and disappears, and what must not.
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/matrix_graph.h"

static xlm_val y; // f32 [d, e]

static int setup(void **state) {
  (void)state;
  if (matrix_open(3, 4)) return -1;
  y = matrix("y", XLM_F32);
  return 0;
}

static xlm_graph *simplified(void) {
  return verified(xlm_pass_simplify(s.g, s.g->arena));
}

static const char *printed(const xlm_graph *g) {
  xlm_text t = xlm_text_new(s.g->arena);
  xlm_graph_print(g, &t);
  return t.data;
}

static xlm_val permuted(xlm_val v, xlm_dim a, xlm_dim b) {
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){a, b}, 2);
  return xlm_emit(&s.b, XLM_OP_PERMUTE, &v, 1, &l);
}

static void arithmetic_of_constants_folds(void **state) {
  (void)state;
  xlm_val two = xlm_scalar(&s.b, 2), three = xlm_scalar(&s.b, 3);
  xlm_val c =
      xlm_op2(&s.b, XLM_OP_SUB, xlm_op2(&s.b, XLM_OP_MUL, two, three), xlm_op1(&s.b, XLM_OP_SQUARE, two));
  keep(xlm_op2(&s.b, XLM_OP_MUL, x, c));
  xlm_graph *g = simplified();
  assert_int_equal(g->n_nodes - 1, 3); // x, 2, x * 2
  const xlm_node_info *number = xlm_val_node(g, result(g, 0)->in[1]);
  assert_int_equal(number->op, XLM_OP_CONST);
  assert_true(xlm_attr_float(&number->attrs, XLM_A_value, 0) == 2);
}

static void impossible_numbers_stay(void **state) {
  (void)state;
  keep(xlm_op2(&s.b, XLM_OP_DIV, xlm_scalar(&s.b, 1), xlm_scalar(&s.b, 0)));
  assert_int_equal(result(simplified(), 0)->op, XLM_OP_DIV);
}

static void neutral_operands_vanish(void **state) {
  (void)state;
  xlm_val one = xlm_scalar(&s.b, 1), zero = xlm_scalar(&s.b, 0);
  xlm_val v = xlm_op2(&s.b, XLM_OP_ADD, zero, xlm_op2(&s.b, XLM_OP_MUL, x, one));
  v = xlm_op2(&s.b, XLM_OP_DIV, xlm_op2(&s.b, XLM_OP_SUB, v, zero), one);
  keep(xlm_op2(&s.b, XLM_OP_POW, xlm_cast_to(&s.b, v, XLM_F32), one));
  keep(xlm_op2(&s.b, XLM_OP_SUB, zero, x));
  xlm_graph *g = simplified();
  assert_int_equal(result(g, 0)->op, XLM_OP_INPUT);
  assert_int_equal(result(g, 1)->op, XLM_OP_SUB);
}

static void powers_become_functions(void **state) {
  (void)state;
  keep(xlm_op2(&s.b, XLM_OP_POW, x, xlm_scalar(&s.b, 2)));
  keep(xlm_op2(&s.b, XLM_OP_POW, x, xlm_scalar(&s.b, -0.5)));
  keep(xlm_op2(&s.b, XLM_OP_POW, x, xlm_scalar(&s.b, 3)));
  xlm_graph *g = simplified();
  assert_int_equal(result(g, 0)->op, XLM_OP_SQUARE);
  assert_int_equal(result(g, 1)->op, XLM_OP_RSQRT);
  assert_int_equal(result(g, 2)->op, XLM_OP_POW);
}

// A number does not raise the precision of a bf16 operand, but a computed f32 scalar does; folding must keep
// that.
static void folding_keeps_precision(void **state) {
  (void)state;
  xlm_val half = xlm_cast_to(&s.b, x, XLM_BF16);
  xlm_val c = xlm_op2(&s.b, XLM_OP_MUL, xlm_scalar(&s.b, 2), xlm_scalar(&s.b, 3));
  keep(xlm_op2(&s.b, XLM_OP_MUL, half, c));
  keep(xlm_op2(&s.b, XLM_OP_MUL, half, xlm_scalar(&s.b, 6)));
  xlm_graph *g = simplified();
  assert_int_equal(xlm_val_type(g, g->outputs.at[0].val)->dtype, XLM_F32);
  assert_int_equal(xlm_val_type(g, g->outputs.at[1].val)->dtype, XLM_BF16);
}

static void orders_and_views_cancel(void **state) {
  (void)state;
  xlm_dim f = xlm_graph_dim(s.g, "f", 3);
  keep(permuted(permuted(x, e, d), d, e));
  keep(permuted(permuted(x, e, d), e, d));
  keep(small_rename(&s, small_rename(&s, y, d, f), f, d));
  keep(small_rename(&s, xlm_op1(&s.b, XLM_OP_STOP_GRADIENT, small_rename(&s, y, d, f)), f, d));
  xlm_graph *g = simplified();
  assert_int_equal(result(g, 0)->op, XLM_OP_INPUT);
  assert_int_equal(xlm_val_node(g, result(g, 1)->in[0])->op, XLM_OP_INPUT);
  assert_int_equal(result(g, 2)->op, XLM_OP_INPUT);
  assert_int_equal(count(g, XLM_OP_STOP_GRADIENT), 1);
  assert_int_equal(count(g, XLM_OP_PERMUTE), 1);
}

static void equal_nodes_merge(void **state) {
  (void)state;
  keep(xlm_op1(&s.b, XLM_OP_EXP, xlm_op2(&s.b, XLM_OP_ADD, x, y)));
  keep(xlm_op1(&s.b, XLM_OP_EXP, xlm_op2(&s.b, XLM_OP_ADD, x, y)));
  keep(xlm_op1(&s.b, XLM_OP_EXP, xlm_op2(&s.b, XLM_OP_ADD, y, x)));
  xlm_graph *g = simplified();
  assert_int_equal(g->outputs.at[0].val, g->outputs.at[1].val);
  assert_int_not_equal(g->outputs.at[0].val, g->outputs.at[2].val);
  assert_int_equal(count(g, XLM_OP_EXP), 2);
}

static void attributes_phase_and_round_tell_apart(void **state) {
  (void)state;
  keep(xlm_sum_over(&s.b, x, &d, 1));
  keep(xlm_sum_over(&s.b, x, &e, 1));
  s.b.round = 1;
  keep(xlm_sum_over(&s.b, x, &e, 1));
  s.b.phase = XLM_PHASE_BWD;
  keep(xlm_sum_over(&s.b, x, &e, 1));
  assert_int_equal(count(simplified(), XLM_OP_SUM), 4);
}

static void random_nodes_stay_apart(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    xlm_attr_list l = xlm_attr_list_new(s.g->arena);
    xlm_attr_put_float(&l, XLM_A_p, 0.5);
    xlm_attr_put_text(&l, XLM_A_name, "drop");
    keep(xlm_emit(&s.b, XLM_OP_DROPOUT, &x, 1, &l));
  }
  assert_int_equal(count(simplified(), XLM_OP_DROPOUT), 2);
}

static void merged_nodes_are_recomputed_only_if_both(void **state) {
  (void)state;
  s.b.recompute = true;
  keep(xlm_op1(&s.b, XLM_OP_EXP, x));
  keep(xlm_op1(&s.b, XLM_OP_LOG, x));
  s.b.recompute = false;
  keep(xlm_op1(&s.b, XLM_OP_EXP, x));
  xlm_graph *g = simplified();
  assert_false(result(g, 0)->recompute);
  assert_true(result(g, 1)->recompute);
}

static void dead_nodes_go(void **state) {
  (void)state;
  xlm_op1(&s.b, XLM_OP_EXP, y);
  keep(xlm_op1(&s.b, XLM_OP_LOG, x));
  xlm_graph *g = simplified();
  assert_int_equal(g->n_nodes - 1, 2);
  assert_string_equal(xlm_val_at(g, result(g, 0)->in[0])->name, "x");
}

static void twice_is_once(void **state) {
  (void)state;
  xlm_graph *m = small_model(s.g->arena,
                             (small_options){.batch = 2, .dtype = XLM_BF16, .update = true, .dropout = true});
  xlm_graph *once = xlm_pass_simplify(m, s.g->arena), *twice = xlm_pass_simplify(once, s.g->arena);
  assert_null(xlm_graph_verify(once, s.g->arena));
  assert_string_equal(printed(once), printed(twice));
  assert_string_equal(printed(once), printed(xlm_pass_simplify(m, s.g->arena)));
}

// Work is linear: 150,000 nodes, all of one shape, are folded, merged and chained.
static void large_graphs_pass(void **state) {
  (void)state;
  xlm_val v = x;
  for (int i = 0; i < 50000; i++) {
    xlm_val w = xlm_op2(&s.b, XLM_OP_ADD, v, y), again = xlm_op2(&s.b, XLM_OP_ADD, v, y);
    v = xlm_op2(&s.b, XLM_OP_MUL, w, again);
  }
  keep(v);
  xlm_graph *g = xlm_pass_simplify(s.g, s.g->arena);
  assert_int_equal(g->n_nodes - 1, 2 + 100000);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(arithmetic_of_constants_folds),
      TEST(impossible_numbers_stay),
      TEST(neutral_operands_vanish),
      TEST(powers_become_functions),
      TEST(folding_keeps_precision),
      TEST(orders_and_views_cancel),
      TEST(equal_nodes_merge),
      TEST(attributes_phase_and_round_tell_apart),
      TEST(random_nodes_stay_apart),
      TEST(merged_nodes_are_recomputed_only_if_both),
      TEST(dead_nodes_go),
      TEST(twice_is_once),
      TEST(large_graphs_pass),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
