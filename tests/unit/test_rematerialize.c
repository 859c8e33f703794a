// Rematerialization: the same bits, and clones only where they cost neither bytes nor lifetimes.
#include "tests/unit/same_step.h"

#include "tests/unit/matrix_graph.h"

static xlm_val y;

static int setup(void **state) {
  (void)state;
  if (matrix_open(3, 4)) return -1;
  y = matrix("y", XLM_F32);
  return 0;
}

static xlm_val op(xlm_op_id id, xlm_val v) {
  return xlm_op1(&s.b, id, v);
}
static xlm_val op2(xlm_op_id id, xlm_val v, xlm_val w) {
  return xlm_op2(&s.b, id, v, w);
}
// A kernel that is part of no program.
static xlm_val product(xlm_val v) {
  return xlm_contract(&s.b, v, v, (xlm_dim[]){d}, 1, NULL, -1);
}
// A value that is no function of elements of another.
static xlm_val source(void) {
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){d, e}, 2);
  xlm_val row = xlm_sum_over(&s.b, x, (xlm_dim[]){d}, 1);
  return xlm_emit(&s.b, XLM_OP_BROADCAST, &row, 1, &l);
}
static void read_in(xlm_phase phase, xlm_val v) { // by an elementwise node
  s.b.phase = phase;
  keep(op2(XLM_OP_MUL, v, y));
}
static void product_in(xlm_phase phase, xlm_val v) {
  s.b.phase = phase;
  keep(product(v));
}

static xlm_graph *rematerialized(void) {
  return verified(xlm_pass_rematerialize(s.g, s.g->arena));
}

static int clones(const xlm_graph *g, xlm_phase phase) {
  int n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) n += g->nodes[id].recompute && g->nodes[id].phase == phase;
  return n;
}

static void check_clones(int bwd, int wgt) {
  xlm_graph *g = rematerialized();
  assert_int_equal(clones(g, XLM_PHASE_BWD), bwd);
  assert_int_equal(clones(g, XLM_PHASE_WGT), wgt);
  assert_int_equal(g->n_nodes, s.g->n_nodes + (uint32_t)(bwd + wgt));
}

// ---- where ----

static void a_function_of_what_is_read_anyway(void **state) {
  (void)state;
  xlm_val a = source(), f = op(XLM_OP_SILU, a);
  read_in(XLM_PHASE_BWD, f);
  product_in(XLM_PHASE_BWD, a);
  check_clones(1, 0);
  xlm_graph *g = rematerialized();
  const xlm_node_info *clone = xlm_val_node(g, result(g, 0)->in[0]);
  assert_int_equal(clone->op, XLM_OP_SILU);
  assert_int_equal(xlm_val_node(g, clone->in[0])->phase, XLM_PHASE_FWD);
}

static void a_function_of_rows(void **state) {
  (void)state;
  xlm_val a = source();
  read_in(XLM_PHASE_WGT, op(XLM_OP_RMSNORM, a));
  product_in(XLM_PHASE_BWD, a);
  check_clones(0, 1);
}

static void the_argument_is_not_stored(void **state) {
  (void)state;
  read_in(XLM_PHASE_BWD, op(XLM_OP_TANH, source()));
  check_clones(0, 0);
}

static void a_product_reads_the_value(void **state) {
  (void)state;
  xlm_val a = source(), f = op(XLM_OP_SILU, a);
  read_in(XLM_PHASE_BWD, f);
  product_in(XLM_PHASE_WGT, f);
  product_in(XLM_PHASE_BWD, a);
  check_clones(0, 0);
}

static void the_argument_is_larger(void **state) {
  (void)state;
  xlm_val a = source(), narrow = xlm_cast_to(&s.b, a, XLM_BF16);
  read_in(XLM_PHASE_BWD, narrow);
  product_in(XLM_PHASE_BWD, a);
  check_clones(0, 0);
}

static void two_arguments(void **state) {
  (void)state;
  xlm_val a = source(), b = source();
  read_in(XLM_PHASE_BWD, op2(XLM_OP_ADD, a, b));
  product_in(XLM_PHASE_BWD, a);
  product_in(XLM_PHASE_BWD, b);
  check_clones(0, 0);
}

static void the_forward_alone_reads_it(void **state) {
  (void)state;
  xlm_val a = source();
  keep(op(XLM_OP_SILU, a));
  product_in(XLM_PHASE_BWD, a);
  check_clones(0, 0);
}

// ---- how ----

static xlm_val chain(xlm_val v, int n) {
  for (int i = 0; i < n; i++) v = op2(XLM_OP_ADD, op(XLM_OP_TANH, v), xlm_scalar(&s.b, 1));
  return v;
}

static void a_short_chain(void **state) {
  (void)state;
  xlm_val a = source();
  read_in(XLM_PHASE_BWD, chain(a, 2));
  product_in(XLM_PHASE_BWD, a);
  check_clones(4, 0);
}

static void a_long_chain(void **state) {
  (void)state;
  xlm_val a = source();
  read_in(XLM_PHASE_BWD, chain(a, 3));
  product_in(XLM_PHASE_BWD, a);
  check_clones(0, 0);
}

// f and a function of it, both read: the second is computed from the clone of the first.
static void a_function_of_a_function(void **state) {
  (void)state;
  xlm_val a = source(), f = op(XLM_OP_SILU, a), of_it = op(XLM_OP_SQUARE, f);
  read_in(XLM_PHASE_BWD, of_it);
  read_in(XLM_PHASE_BWD, f);
  product_in(XLM_PHASE_BWD, a);
  check_clones(2, 0);
}

static void readers_close_together_share_a_clone(void **state) {
  (void)state;
  xlm_val a = source(), f = op(XLM_OP_SILU, a);
  read_in(XLM_PHASE_WGT, f); // the clone is of the backward, for the other one
  read_in(XLM_PHASE_BWD, f);
  product_in(XLM_PHASE_BWD, a);
  check_clones(1, 0);
}

static void readers_far_apart_do_not(void **state) {
  (void)state;
  xlm_val a = source(), f = op(XLM_OP_SILU, a);
  read_in(XLM_PHASE_BWD, f);
  product_in(XLM_PHASE_BWD, a);
  read_in(XLM_PHASE_BWD, f);
  check_clones(2, 0);
}

// ---- a training step ----

static void results_are_the_same_bits(void **state) {
  (void)state;
  for (int64_t microbatches = 1; microbatches <= 2; microbatches++) {
    small_options o = {.batch = 2, .dropout = true, .recompute = true, .update = true, .moe = true};
    xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = microbatches};
    xlm_arena *a = s.g->arena;
    xlm_graph *g = xlm_pass_differentiate(xlm_pass_simplify(small_model(a, o), a), a, &t);
    g = xlm_pass_simplify(g, a);
    xlm_graph *again = verified(xlm_pass_rematerialize(g, a));
    assert_true(clones(again, XLM_PHASE_BWD) + clones(again, XLM_PHASE_WGT) > 0);
    same_step(g, again);
    same_step(g, verified(xlm_pass_recompute(again, a, XLM_RECOMPUTE_FULL)));
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(a_function_of_what_is_read_anyway),
                                     TEST(a_function_of_rows),
                                     TEST(the_argument_is_not_stored),
                                     TEST(a_product_reads_the_value),
                                     TEST(the_argument_is_larger),
                                     TEST(two_arguments),
                                     TEST(the_forward_alone_reads_it),
                                     TEST(a_short_chain),
                                     TEST(a_long_chain),
                                     TEST(a_function_of_a_function),
                                     TEST(readers_close_together_share_a_clone),
                                     TEST(readers_far_apart_do_not),
                                     TEST(results_are_the_same_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
