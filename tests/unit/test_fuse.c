// Fuse: what is fused, what must not be, and that the programs compute what the nodes did: small graphs are
// run by an interpreter of fused programs. Functions of rows and sums: test_fuse_rows.c.
#include "tests/unit/fused_graph.h"

// ---- clusters ----

static void a_chain_is_one_pass(void **state) {
  (void)state;
  xlm_val a = op2(XLM_OP_ADD, x, y), b = op(XLM_OP_SQUARE, a);
  keep(op2(XLM_OP_SUB, b, op(XLM_OP_NEG, x)));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(result(g, 0)->n_in, 2); // x once
  assert_int_equal(result(g, 0)->n_out, 1);
  check_value(g, 0, 1.1 * 1.1 + 1.7);
}

static void a_value_read_outside_is_a_result(void **state) {
  (void)state;
  xlm_val a = op2(XLM_OP_ADD, x, y), b = op(XLM_OP_SQUARE, a);
  keep(b);
  keep(a);
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(result(g, 0)->n_out, 2);
  check_value(g, 0, 1.1 * 1.1);
  check_value(g, 1, 1.1);
}

// a -> sum -> b, and b also reads a: if b joined a's cluster, there would be a cycle.
static void no_cycle_through_other_nodes(void **state) {
  (void)state;
  xlm_val a = op(XLM_OP_SQUARE, x), total = xlm_sum_over(&s.b, a, (xlm_dim[]){d}, 1);
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){d, e}, 2);
  keep(op2(XLM_OP_MUL, a, xlm_emit(&s.b, XLM_OP_BROADCAST, &total, 1, &l)));
  assert_int_equal(count(fused(), XLM_OP_FUSED), 2);
}

static void other_shapes_are_other_passes(void **state) {
  (void)state;
  xlm_val small_one = small_leaf(&s, XLM_OP_INPUT, "x2", XLM_F32, NULL, SMALL_DIMS(e));
  xlm_val a = op(XLM_OP_SQUARE, small_one);
  keep(op2(XLM_OP_ADD, x, a)); // broadcast: read as an operand
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 2);
  check_value(g, 0, 1.7 + 1.7 * 1.7);
}

static void other_phases_are_other_passes(void **state) {
  (void)state;
  xlm_val a = op(XLM_OP_SQUARE, x);
  s.b.phase = XLM_PHASE_BWD;
  keep(op(XLM_OP_NEG, a));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 2);
  assert_int_equal(result(g, 0)->phase, XLM_PHASE_BWD);
}

static void what_nobody_reads_is_dropped(void **state) {
  (void)state;
  op(XLM_OP_SQUARE, x);
  keep(op(XLM_OP_NEG, y));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(result(g, 0)->n_in, 1);
}

static void lone_nodes_are_fused_too(void **state) {
  (void)state;
  keep(op(XLM_OP_NEG, x));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(code_of(result(g, 0))->n, 1);
}

// ---- limits ----

static void long_chains_are_cut(void **state) {
  (void)state;
  xlm_val v = x;
  double want = 1.7;
  for (int i = 0; i < 500; i++) {
    v = i % 2 ? op2(XLM_OP_ADD, v, y) : op(XLM_OP_NEG, v);
    want = i % 2 ? want - 0.6 : -want;
  }
  keep(v);
  xlm_graph *g = fused();
  assert_true(count(g, XLM_OP_FUSED) >= 500 / XLM_CODE_MAX && count(g, XLM_OP_FUSED) < 40);
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_FUSED) assert_true(code_of(&g->nodes[n])->n <= XLM_CODE_MAX);
  check_value(g, 0, want);
}

// Every instruction of a bf16 chain has a rounding, and constants have registers: three times as long.
static void long_bf16_chains_are_cut(void **state) {
  (void)state;
  xlm_val v = h, zero = xlm_scalar(&s.b, 0), half = xlm_scalar(&s.b, 0.5);
  for (int i = 0; i < 200; i++) v = op2(XLM_OP_MUL, xlm_op3(&s.b, XLM_OP_WHERE, v, zero, half), v);
  keep(v);
  xlm_graph *g = fused();
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_FUSED) assert_true(code_of(&g->nodes[n])->n <= XLM_CODE_MAX);
}

static void many_operands_are_cut(void **state) {
  (void)state;
  xlm_val sum = x;
  double want = 1.7;
  for (int i = 0; i < 100; i++) {
    xlm_val more =
        small_leaf(&s, XLM_OP_INPUT, xlm_arena_printf(s.g->arena, "x%d", i), XLM_F32, NULL, SMALL_DIMS(d, e));
    sum = op2(XLM_OP_ADD, sum, more);
    want += 1.7;
  }
  keep(sum);
  xlm_graph *g = fused();
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_FUSED) assert_true(g->nodes[n].n_in <= XLM_CODE_MAX_IN);
  check_value(g, 0, want);
}

static void many_results_are_cut(void **state) {
  (void)state;
  xlm_val v = x;
  double want[20], w = 1.7;
  for (int i = 0; i < 20; i++) {
    v = op2(XLM_OP_ADD, v, y);
    want[i] = w -= 0.6;
    keep(v);
  }
  xlm_graph *g = fused();
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_FUSED) assert_true(g->nodes[n].n_out <= XLM_CODE_MAX_OUT);
  for (uint32_t i = 0; i < 20; i++) check_value(g, i, want[i]);
}

// ---- numbers ----

static void constants_are_immediates(void **state) {
  (void)state;
  keep(op2(XLM_OP_SUB, xlm_scalar(&s.b, 3), op2(XLM_OP_MUL, x, xlm_scalar(&s.b, 0.5))));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_CONST), 0);
  assert_int_equal(result(g, 0)->n_in, 1);
  assert_int_equal(code_of(result(g, 0))->n, 2);
  check_value(g, 0, 3 - 1.7 * 0.5);
}

static void two_constants_in_one_operation(void **state) {
  (void)state;
  keep(xlm_op3(&s.b, XLM_OP_WHERE, x, xlm_scalar(&s.b, 4), xlm_scalar(&s.b, 5)));
  keep(xlm_op3(&s.b, XLM_OP_WHERE, op2(XLM_OP_SUB, x, x), xlm_scalar(&s.b, 4), xlm_scalar(&s.b, 5)));
  xlm_graph *g = fused();
  check_value(g, 0, 4);
  check_value(g, 1, 5);
}

// The type of a cast stands where an immediate would.
static void a_cast_of_a_constant(void **state) {
  (void)state;
  xlm_val half = xlm_cast_to(&s.b, xlm_scalar(&s.b, 0.1), XLM_BF16);
  keep(op2(XLM_OP_MUL, xlm_cast_to(&s.b, half, XLM_F32), x));
  xlm_graph *g = fused();
  assert_true(count(g, XLM_OP_FUSED) >= 1);
  check_value(g, 0, rounded(0.1, XLM_BF16) * 1.7);
}

static void a_constant_that_others_read_becomes_a_tensor(void **state) {
  (void)state;
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){d, e}, 2);
  xlm_val two = xlm_scalar(&s.b, 2);
  keep(xlm_emit(&s.b, XLM_OP_BROADCAST, &two, 1, &l));
  keep(two);
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_CONST), 0);
  assert_int_equal(count(g, XLM_OP_FUSED), 1); // once
  check_value(g, 1, 2);
}

// Between two bf16 operations of one cluster the value is rounded as if it had been stored.
static void bf16_rounds_inside_a_pass(void **state) {
  (void)state;
  xlm_val a = op2(XLM_OP_MUL, h, xlm_scalar(&s.b, 1.01)), b = op2(XLM_OP_MUL, a, h);
  keep(b);
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  double first = rounded(2.25 * 1.01, XLM_BF16);
  assert_true(first != 2.25 * 1.01);
  check_value(g, 0, rounded(first * 2.25, XLM_BF16));
  assert_int_equal(xlm_val_type(g, g->outputs.at[0].val)->dtype, XLM_BF16);
}

static void results_keep_their_own_types(void **state) {
  (void)state;
  xlm_val wide = xlm_cast_to(&s.b, h, XLM_F32), sum = op2(XLM_OP_ADD, wide, x);
  keep(sum);
  keep(xlm_cast_to(&s.b, sum, XLM_BF16));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(xlm_val_type(g, g->outputs.at[0].val)->dtype, XLM_F32);
  assert_int_equal(xlm_val_type(g, g->outputs.at[1].val)->dtype, XLM_BF16);
  check_value(g, 0, 3.95);
  check_value(g, 1, rounded(3.95, XLM_BF16));
}

// ---- products ----

static xlm_val product_of(xlm_val v, xlm_val w) {
  return xlm_contract(&s.b, v, w, (xlm_dim[]){d}, 1, (xlm_dim[]){e, s.hidden}, 2);
}

static void an_accumulated_product_is_one_operation(void **state) {
  (void)state;
  s.hidden = xlm_graph_dim(s.g, "hidden", 5);
  xlm_val w = small_leaf(&s, XLM_OP_INPUT, "w", XLM_F32, NULL, SMALL_DIMS(d, s.hidden));
  xlm_val acc = small_leaf(&s, XLM_OP_STATE, "acc", XLM_F32, SMALL_INIT(ZEROS, 0), SMALL_DIMS(e, s.hidden));
  xlm_val sum = op2(XLM_OP_ACCUMULATE, acc, product_of(x, w));
  xlm_graph_update(s.g, acc, sum);
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_CONTRACT_ACC), 1);
  assert_int_equal(count(g, XLM_OP_CONTRACT) + count(g, XLM_OP_ACCUMULATE), 0);
  assert_int_equal(g->n_updates, 1);
  assert_int_equal(xlm_val_node(g, g->updates[0].val)->op, XLM_OP_CONTRACT_ACC);
}

static void a_product_that_others_read_is_not_swallowed(void **state) {
  (void)state;
  s.hidden = xlm_graph_dim(s.g, "hidden", 5);
  xlm_val w = small_leaf(&s, XLM_OP_INPUT, "w", XLM_F32, NULL, SMALL_DIMS(d, s.hidden));
  xlm_val acc = small_leaf(&s, XLM_OP_STATE, "acc", XLM_F32, SMALL_INIT(ZEROS, 0), SMALL_DIMS(e, s.hidden));
  xlm_val product = product_of(x, w);
  xlm_graph_update(s.g, acc, op2(XLM_OP_ACCUMULATE, acc, product));
  keep(product);
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_CONTRACT_ACC), 0);
  assert_int_equal(count(g, XLM_OP_CONTRACT), 1);
}

// The whole model keeps its losses, metrics, outputs and updates, and every operation finds its operands.
static void a_whole_training_step(void **state) {
  (void)state;
  for (int i = 0; i < 8; i++) {
    small_options o = {
        .batch = 2, .dtype = i & 1 ? XLM_BF16 : XLM_F32, .update = i & 2, .moe = i & 4, .dropout = true};
    xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = 1 + (i & 1)};
    xlm_graph *model = xlm_pass_simplify(small_model(s.g->arena, o), s.g->arena);
    xlm_graph *train = xlm_pass_simplify(xlm_pass_differentiate(model, s.g->arena, &t), s.g->arena);
    xlm_graph *g = xlm_pass_fuse(train, s.g->arena, NULL, false);
    const char *wrong = xlm_graph_verify(g, s.g->arena);
    if (wrong) fail_msg("%s", wrong);
    assert_int_equal(g->n_updates, train->n_updates);
    assert_int_equal(g->outputs.n, train->outputs.n);
    for (uint32_t k = 0; k < g->outputs.n; k++)
      assert_int_equal(xlm_val_type(g, g->outputs.at[k].val)->dtype,
                       xlm_val_type(train, train->outputs.at[k].val)->dtype);
    for (xlm_node n = 1; n < g->n_nodes; n++)
      assert_false(xlm_op_at(g->nodes[n].op)->flags & XLM_OPF_ELEMENTWISE ||
                   xlm_node_is(&g->nodes[n], XLM_LEAF_CONSTANT));
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(a_chain_is_one_pass),
                                     TEST(a_value_read_outside_is_a_result),
                                     TEST(no_cycle_through_other_nodes),
                                     TEST(other_shapes_are_other_passes),
                                     TEST(other_phases_are_other_passes),
                                     TEST(what_nobody_reads_is_dropped),
                                     TEST(lone_nodes_are_fused_too),
                                     TEST(long_chains_are_cut),
                                     TEST(long_bf16_chains_are_cut),
                                     TEST(many_operands_are_cut),
                                     TEST(many_results_are_cut),
                                     TEST(constants_are_immediates),
                                     TEST(two_constants_in_one_operation),
                                     TEST(a_cast_of_a_constant),
                                     TEST(a_constant_that_others_read_becomes_a_tensor),
                                     TEST(bf16_rounds_inside_a_pass),
                                     TEST(results_keep_their_own_types),
                                     TEST(an_accumulated_product_is_one_operation),
                                     TEST(a_product_that_others_read_is_not_swallowed),
                                     TEST(a_whole_training_step)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
