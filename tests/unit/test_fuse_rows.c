// Fuse: functions of rows and sums over the leading dims in programs: what joins, what stays apart, and that
// the programs compute what the nodes did.
#include "tests/unit/fused_graph.h"

static xlm_val v, w; // f32 [d, e], elements differ

static int setup_rows(void **state) {
  if (setup(state)) return -1;
  v = matrix("v1", XLM_F32);
  w = matrix("v2", XLM_F32);
  return 0;
}

static const double epsilon = 0.25;

static xlm_val norm_op(xlm_op_id id, const xlm_val *in, int n, xlm_dim over) {
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, &over, 1);
  xlm_attr_put_float(&l, XLM_A_eps, epsilon);
  return xlm_emit(&s.b, id, in, n, &l);
}
static xlm_val norm(xlm_val of) {
  return norm_op(XLM_OP_LAYERNORM, &of, 1, e);
}
static xlm_val norm_bwd(xlm_val of, xlm_val dy) {
  return norm_op(XLM_OP_LAYERNORM_BWD, (xlm_val[]){of, dy}, 2, e);
}
static xlm_val sum(xlm_val of) {
  return xlm_sum_over(&s.b, of, &d, 1);
}
static xlm_val vector(const char *name) {
  return small_leaf(&s, XLM_OP_INPUT, name, XLM_F32, NULL, SMALL_DIMS(e));
}
// A kernel that is part of no program.
static xlm_val product(xlm_val of) {
  return xlm_contract(&s.b, of, of, &d, 1, NULL, -1);
}

static tensor input(const char *name) {
  tensor t;
  EACH(i, j) t.at[i][j] = input_at(name, i, j);
  return t;
}
static tensor normed(const tensor *of) {
  tensor t;
  for (int i = 0; i < ROWS; i++) normalise(of->at[i], epsilon, t.at[i]);
  return t;
}
static tensor normed_bwd(const tensor *of, const tensor *dy) {
  tensor t;
  for (int i = 0; i < ROWS; i++) layernorm_bwd_row(of->at[i], dy->at[i], epsilon, t.at[i]);
  return t;
}
static tensor times(const tensor *a, const tensor *b) {
  tensor t;
  EACH(i, j) t.at[i][j] = a->at[i][j] * b->at[i][j];
  return t;
}
static tensor plus(const tensor *a, const tensor *b) {
  tensor t;
  EACH(i, j) t.at[i][j] = a->at[i][j] + b->at[i][j];
  return t;
}

// ---- one program each way ----

static void a_norm_with_residual_scale_and_shift(void **state) {
  (void)state;
  xlm_val sum_of = op2(XLM_OP_ADD, v, w), scale = vector("y2"), shift = vector("x2");
  keep(sum_of);
  keep(op2(XLM_OP_ADD, op2(XLM_OP_MUL, norm(sum_of), scale), shift));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(count(g, XLM_OP_LAYERNORM), 0);
  assert_int_equal(code_of(result(g, 0))->row, 1);
  assert_int_equal(result(g, 0)->n_out, 2);
  tensor a = input("v1"), b = input("v2"), c = input("y2"), f = input("x2"), both = plus(&a, &b);
  tensor hat = normed(&both), scaled = times(&hat, &c), want = plus(&scaled, &f);
  check_tensor(g, 0, &both);
  check_tensor(g, 1, &want);
}

// x = v, dy = w; the sum of dy comes before its other readers, the others behind what they are of.
static void a_norm_backward_with_all_its_sums(void **state) {
  (void)state;
  xlm_val scale = vector("y2"), residual = matrix("v3", XLM_F32);
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(w));
  s.b.phase = XLM_PHASE_BWD;
  xlm_val dy = op2(XLM_OP_MUL, w, scale);
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(op2(XLM_OP_MUL, w, norm(v))));
  s.b.phase = XLM_PHASE_BWD;
  xlm_val dx = op2(XLM_OP_ADD, residual, norm_bwd(v, dy));
  keep(dx);
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(dx));
  keep(product(dx));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(count(g, XLM_OP_SUM) + count(g, XLM_OP_LAYERNORM) + count(g, XLM_OP_LAYERNORM_BWD), 0);
  const xlm_node_info *n = result(g, 0);
  assert_int_equal(n->phase, XLM_PHASE_BWD);
  assert_int_equal(n->n_in, 4);
  assert_int_equal(n->n_out, 4);
  assert_int_equal(code_of(n)->n_summed, 3);
  assert_int_equal(g->outputs.at[2].val, n->out); // the only one that is whole is the first
  tensor a = input("v1"), b = input("v2"), c = input("y2"), f = input("v3");
  tensor hat = normed(&a), weighted = times(&b, &hat), scaled = times(&b, &c), back = normed_bwd(&a, &scaled),
         want = plus(&f, &back), sums[] = {summed(&b), summed(&weighted), summed(&want)};
  check_tensor(g, 0, &sums[0]);
  check_tensor(g, 1, &sums[1]);
  check_tensor(g, 2, &want);
  check_tensor(g, 3, &sums[2]);
}

static void all_results_may_be_sums(void **state) {
  (void)state;
  keep(sum(op2(XLM_OP_MUL, v, w)));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(code_of(result(g, 0))->n_summed, 1);
  assert_int_equal(xlm_val_type(g, g->outputs.at[0].val)->rank, 1);
  tensor a = input("v1"), b = input("v2"), t = times(&a, &b), want = summed(&t);
  check_tensor(g, 0, &want);
}

static void a_bf16_norm_rounds_inside(void **state) {
  (void)state;
  xlm_val narrow = xlm_cast_to(&s.b, v, XLM_BF16);
  keep(norm(narrow));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  tensor t = input("v1");
  EACH(i, j) t.at[i][j] = rounded(t.at[i][j], XLM_BF16);
  t = normed(&t);
  EACH(i, j) t.at[i][j] = rounded(t.at[i][j], XLM_BF16);
  check_tensor(g, 0, &t);
}

static void a_sum_over_ranks_stays_partial(void **state) {
  (void)state;
  xlm_val total = sum(op(XLM_OP_NEG, v));
  xlm_val_at(s.g, total)->partial = 2;
  keep(total);
  xlm_graph *g = fused();
  assert_int_equal(xlm_val_at(g, g->outputs.at[0].val)->partial, 2);
}

// ---- what stays as it is ----

static void check_apart(xlm_op_id id) { // one program, and one node of this op
  xlm_graph *g = fused();
  assert_int_equal(count(g, id), 1);
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
}

static void lone_functions_of_rows_and_sums_stay(void **state) {
  (void)state;
  keep(norm(v));
  keep(sum(w));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 0);
  assert_int_equal(count(g, XLM_OP_LAYERNORM), 1);
  assert_int_equal(count(g, XLM_OP_SUM), 1);
}

static void rows_are_the_last_dims(void **state) {
  (void)state;
  xlm_val a = op(XLM_OP_NEG, v);
  keep(norm_op(XLM_OP_LAYERNORM, &a, 1, d));
  check_apart(XLM_OP_LAYERNORM);
}

static void sums_are_over_the_first_dims(void **state) {
  (void)state;
  keep(xlm_sum_over(&s.b, op(XLM_OP_NEG, v), &e, 1));
  check_apart(XLM_OP_SUM);
}

static void a_sum_of_everything_stays(void **state) {
  (void)state;
  keep(xlm_sum_over(&s.b, op(XLM_OP_NEG, v), (xlm_dim[]){d, e}, 2));
  check_apart(XLM_OP_SUM);
}

static xlm_val of_size(int64_t rows, int64_t columns) {
  xlm_arena_free(s.g->arena);
  assert_int_equal(matrix_open(rows, columns), 0);
  return op(XLM_OP_NEG, x);
}

static void rows_have_at_most_some_elements(void **state) {
  (void)state;
  keep(norm(of_size(2, XLM_CODE_MAX_ROW)));
  assert_int_equal(count(fused(), XLM_OP_LAYERNORM), 0);
  keep(norm(of_size(2, XLM_CODE_MAX_ROW + 1)));
  check_apart(XLM_OP_LAYERNORM);
}

static void summed_rows_have_at_most_some_elements(void **state) {
  (void)state;
  keep(sum(of_size(2, XLM_CODE_MAX_SUMMED)));
  assert_int_equal(count(fused(), XLM_OP_SUM), 0);
  keep(sum(of_size(2, XLM_CODE_MAX_SUMMED + 1)));
  check_apart(XLM_OP_SUM);
}

static void a_summed_row_has_several_elements(void **state) {
  (void)state;
  keep(sum(of_size(2, 1)));
  check_apart(XLM_OP_SUM);
}

// The pieces of 3 over 2 ranks are 2 and 1, and both ranks decide by the smaller.
static void ranks_sum_the_same_rows(void **state) {
  (void)state;
  const xlm_mesh two = {.n = 1, .axis = {"tp"}, .size = {2}};
  keep(sum(of_size(2, 2)));
  s.g->dims[e].axes = 1;
  s.g->dims[e].full = 4;
  assert_int_equal(count(fused_on(&two, false), XLM_OP_SUM), 0);
  s.g->dims[e].full = 3;
  assert_int_equal(count(fused_on(&two, false), XLM_OP_SUM), 1);
}

// [d, e, k]: a norm over k, and a sum over d whose rows are [e, k].
static void rows_of_a_program_are_alike(void **state) {
  (void)state;
  xlm_dim k = xlm_graph_dim(s.g, "k", 5);
  xlm_val cube = small_leaf(&s, XLM_OP_INPUT, "c", XLM_F32, NULL, SMALL_DIMS(d, e, k)),
          a = op(XLM_OP_NEG, cube);
  keep(norm_op(XLM_OP_LAYERNORM, &a, 1, k));
  keep(sum(a));
  check_apart(XLM_OP_SUM);
}

// The sum is complete only after the program.
static void a_reader_of_a_sum_is_another_program(void **state) {
  (void)state;
  xlm_val a = op(XLM_OP_NEG, v);
  keep(op2(XLM_OP_MUL, a, sum(a)));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 2);
  assert_int_equal(count(g, XLM_OP_SUM), 0);
}

static void more_results_than_a_program_has(void **state) {
  (void)state;
  xlm_val a = v;
  for (int i = 0; i < XLM_CODE_MAX_OUT + 1; i++) keep(a = op(XLM_OP_NEG, a));
  keep(sum(a));
  keep(norm(a));
  xlm_graph *g = fused();
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_FUSED) assert_true(g->nodes[n].n_out <= XLM_CODE_MAX_OUT);
}

// ---- phases ----

static void of_the_backward_and_of_weights(void) {
  s.b.phase = XLM_PHASE_BWD;
  xlm_val a = op(XLM_OP_NEG, v);
  keep(a);
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(op2(XLM_OP_MUL, a, norm(w))));
}

static void gradients_of_weights_run_with_the_backward(void **state) {
  (void)state;
  of_the_backward_and_of_weights();
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(result(g, 0)->phase, XLM_PHASE_BWD);
}

static void gradients_of_weights_in_segments_of_their_own(void **state) {
  (void)state;
  of_the_backward_and_of_weights();
  xlm_graph *g = fused_with(true);
  assert_int_equal(count(g, XLM_OP_FUSED), 2);
  assert_int_equal(count(g, XLM_OP_SUM) + count(g, XLM_OP_LAYERNORM), 0);
  assert_int_equal(result(g, 0)->phase, XLM_PHASE_BWD);
  assert_int_equal(result(g, 1)->phase, XLM_PHASE_WGT);
}

static void programs_of_weights_alone_stay_movable(void **state) {
  (void)state;
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(v));
  keep(sum(op2(XLM_OP_MUL, w, norm(w))));
  xlm_graph *g = fused();
  assert_int_equal(result(g, 0)->op, XLM_OP_SUM);
  assert_int_equal(result(g, 0)->phase, XLM_PHASE_WGT);
  assert_int_equal(result(g, 1)->op, XLM_OP_FUSED);
  assert_int_equal(result(g, 1)->phase, XLM_PHASE_WGT);
}

// ---- order ----

// The sum is added to an accumulator before the next member comes.
static void what_reads_a_sum_waits_for_the_program(void **state) {
  (void)state;
  xlm_val acc = small_leaf(&s, XLM_OP_STATE, "acc", XLM_F32, SMALL_INIT(ZEROS, 0), SMALL_DIMS(e));
  s.b.phase = XLM_PHASE_WGT;
  xlm_graph_update(s.g, acc, op2(XLM_OP_ACCUMULATE, acc, sum(v)));
  s.b.phase = XLM_PHASE_BWD;
  xlm_val dx = op2(XLM_OP_MUL, v, w);
  keep(dx);
  keep(product(dx));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(count(g, XLM_OP_SUM), 0);
  assert_int_equal(count(g, XLM_OP_ACCUMULATE), 1);
  assert_int_equal(result(g, 0)->n_out, 2);
}

// a is read by the product and summed after it; b has one reader, which comes after it, too.
static void readers_move_up_to_what_they_read(void **state) {
  (void)state;
  s.b.phase = XLM_PHASE_BWD;
  xlm_val a = op2(XLM_OP_MUL, v, w), b = op2(XLM_OP_ADD, v, w);
  keep(product(a));
  keep(op(XLM_OP_NEG, b));
  s.b.phase = XLM_PHASE_WGT;
  keep(sum(a));
  xlm_graph *g = fused();
  assert_int_equal(count(g, XLM_OP_FUSED), 1);
  assert_int_equal(count(g, XLM_OP_SUM), 0);
  assert_int_equal(result(g, 1)->n_out, 3); // a, -b, the sum; b is in a register
}

// To move it up would mean to keep both b and -b meanwhile.
static void a_reader_of_what_is_needed_later_stays(void **state) {
  (void)state;
  xlm_val a = op2(XLM_OP_MUL, v, w), b = op2(XLM_OP_ADD, v, w);
  keep(product(a));
  keep(op(XLM_OP_NEG, b));
  keep(b);
  assert_int_equal(count(fused(), XLM_OP_FUSED), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_rows, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(a_norm_with_residual_scale_and_shift),
                                     TEST(a_norm_backward_with_all_its_sums),
                                     TEST(all_results_may_be_sums),
                                     TEST(a_bf16_norm_rounds_inside),
                                     TEST(a_sum_over_ranks_stays_partial),
                                     TEST(lone_functions_of_rows_and_sums_stay),
                                     TEST(rows_are_the_last_dims),
                                     TEST(sums_are_over_the_first_dims),
                                     TEST(a_sum_of_everything_stays),
                                     TEST(rows_have_at_most_some_elements),
                                     TEST(summed_rows_have_at_most_some_elements),
                                     TEST(ranks_sum_the_same_rows),
                                     TEST(a_summed_row_has_several_elements),
                                     TEST(rows_of_a_program_are_alike),
                                     TEST(a_reader_of_a_sum_is_another_program),
                                     TEST(more_results_than_a_program_has),
                                     TEST(gradients_of_weights_run_with_the_backward),
                                     TEST(gradients_of_weights_in_segments_of_their_own),
                                     TEST(programs_of_weights_alone_stay_movable),
                                     TEST(what_reads_a_sum_waits_for_the_program),
                                     TEST(readers_move_up_to_what_they_read),
                                     TEST(a_reader_of_what_is_needed_later_stays)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
