// The train graph: its gradients are the derivatives of its loss, microbatches do not change results, and it
// has the structure on which schedules and memory planning rely.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/base/philox.h"
#include "tests/ops/run_graph.h"
#include "compiler/pass/global_batch.h"
#include "tests/unit/small_graph.h"

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

static const xlm_train_options defaults = {
    .optimizer = "adamw", .weight_decay = 0.1, .grad_clip = 1, .microbatches = 1};

static void assert_sound(const xlm_graph *g) {
  const char *wrong = xlm_graph_verify(g, arena);
  if (wrong) fail_msg("%s", wrong);
}

static xlm_graph *train_graph(const xlm_graph *model, int64_t microbatches) {
  assert_sound(model);
  xlm_train_options o = defaults;
  o.microbatches = microbatches;
  xlm_batch_fault fault = {0};
  const xlm_graph *whole = xlm_pass_global_batch(model, arena, microbatches, &fault);
  if (!whole) fail_msg("%s", fault.text);
  assert_sound(whole);
  xlm_graph *g = xlm_pass_differentiate(whole, arena, &o);
  assert_sound(g);
  g = xlm_pass_simplify(g, arena);
  assert_sound(g);
  return g;
}

// ---- looking into a graph ----

static const char *leaf_name(const xlm_graph *g, xlm_val v) {
  return xlm_attr_text(&xlm_val_node(g, v)->attrs, XLM_A_name, "");
}

static xlm_val find_leaf(const xlm_graph *g, const char *name) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_op_is_leaf(g->nodes[n].op) && !strcmp(leaf_name(g, g->nodes[n].out), name))
      return g->nodes[n].out;
  return 0;
}

static xlm_val find_output(const xlm_graph *g, const char *name) {
  for (uint32_t i = 0; i < g->outputs.n; i++)
    if (!strcmp(g->outputs.at[i].name, name)) return g->outputs.at[i].val;
  fail_msg("no output %s", name);
  return 0;
}

static int count_ops(const xlm_graph *g, xlm_op_id op) {
  int n = 0;
  for (xlm_node i = 1; i < g->n_nodes; i++) n += g->nodes[i].op == op;
  return n;
}

// The gradient passed to the optimizer for a parameter.
static xlm_val gradient_of(const xlm_graph *g, const char *param) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_ADAMW && !strcmp(leaf_name(g, g->nodes[n].in[0]), param))
      return g->nodes[n].in[3];
  fail_msg("%s is not trained", param);
  return 0;
}

static xlm_node first_of_phase(const xlm_graph *g, xlm_phase p) {
  xlm_node n = 1;
  while (n < g->n_nodes && (g->nodes[n].phase < p || g->nodes[n].phase == XLM_PHASE_PROLOGUE)) n++;
  return n;
}

// ---- running it in float64 ----

enum { SEQ = 5, VOCAB = 9 };

static double draw(const char *name, int64_t i) {
  uint32_t bits[4];
  xlm_philox_draw(xlm_philox_key(3, xlm_hash_text(name)), 0, (uint64_t)i, bits);
  return xlm_philox_unit(bits[0]);
}

typedef struct run {
  const xlm_graph *g;
  run_graph *r;
  int64_t batch;
} run;

// Leaves are functions of their name; token inputs of the sample's number in the global batch. A target of 0
// is ignored, and the second sample has many of them.
static void set_leaf(run *t, xlm_val v, int64_t first_row) {
  const xlm_node_info *n = xlm_val_node(t->g, v);
  const char *name = leaf_name(t->g, v);
  if (!strncmp(name, "step/", 5)) name += 5, first_row = 0; // of all microbatches
  int64_t count = run_graph_elements(t->r, v);
  double *x = calloc((size_t)count + 1, sizeof *x);
  for (int64_t i = 0; i < count; i++) {
    double u = draw(name, xlm_node_is(n, XLM_LEAF_INPUT) ? i + first_row * SEQ : i);
    x[i] = xlm_node_is(n, XLM_LEAF_PARAMETER) ? u - 0.5 : 0;
    if (xlm_node_is(n, XLM_LEAF_INPUT)) x[i] = floor(u * VOCAB);
    if (!strcmp(name, "targets") && (i / SEQ + first_row) == 1 && i % 2) x[i] = 0;
    if (!strcmp(name, "lr")) x[i] = 0.01;
    if (!strcmp(name, "step")) x[i] = 1;
  }
  run_graph_set(t->r, v, x);
  free(x);
}

static run run_new(const xlm_graph *g, int64_t batch, int64_t microbatch) {
  run_options o = {.backend = xlm_backend_find("ref"), .f64 = true, .threads = 1};
  o.env = (xlm_step_env){.seed = 7, .step = 0, .first_row = microbatch * batch};
  o.store = !microbatch;
  run t = {.g = g, .r = run_graph_new(g, o), .batch = batch};
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_op_is_leaf(g->nodes[n].op) && g->nodes[n].op != XLM_OP_CONST)
      set_leaf(&t, g->nodes[n].out, microbatch * batch);
  for (xlm_node n = 1; n < g->n_nodes; n++) // constants of all phases
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_CONSTANT)) run_graph_run(t.r, n, n + 1);
  return t;
}

static void go(run *t, xlm_node first, xlm_node end) {
  run_graph_run(t->r, first, end);
  if (run_graph_error(t->r)) fail_msg("%s", run_graph_error(t->r));
}

static double *get(const run *t, xlm_val v, int64_t *n) {
  *n = run_graph_elements(t->r, v);
  double *x = xlm_arena_alloc(arena, (size_t)(*n + 1) * sizeof *x);
  run_graph_get(t->r, v, x);
  return x;
}

static double get_scalar(const run *t, xlm_val v) {
  int64_t n;
  return get(t, v, &n)[0];
}

static void check_gradients(small_options o) {
  xlm_graph *g = train_graph(small_model(arena, o), 1);
  run t = run_new(g, 2, 0);
  xlm_val loss = find_output(g, "loss");
  xlm_node backward = first_of_phase(g, XLM_PHASE_BWD);
  go(&t, 1, g->n_nodes > backward ? first_of_phase(g, XLM_PHASE_STEP) : backward);
  int probes = 0;
  for (xlm_node id = 1; id < backward; id++) {
    if (g->nodes[id].op != XLM_OP_PARAM) continue;
    xlm_val p = g->nodes[id].out;
    int64_t n;
    double *got = get(&t, gradient_of(g, leaf_name(g, p)), &n), *x = get(&t, p, &n), eps = 1e-5;
    for (int64_t i = 0; i < n; i += n / 5 + 1, probes++) {
      double old = x[i], side[2];
      for (int k = 0; k < 2; k++) {
        x[i] = old + (k ? eps : -eps);
        run_graph_set(t.r, p, x);
        go(&t, 1, backward);
        side[k] = get_scalar(&t, loss);
      }
      x[i] = old;
      run_graph_set(t.r, p, x);
      double want = (side[1] - side[0]) / (2 * eps);
      if (fabs(want - got[i]) > 1e-7 * (1 + fabs(want)))
        fail_msg("gradient of %s at %lld is %.12g, not %.12g", leaf_name(g, p), (long long)i, got[i], want);
    }
  }
  assert_true(probes > 60);
  run_graph_free(t.r);
}

static void gradients_are_derivatives(void **state) {
  (void)state;
  check_gradients((small_options){.batch = 2, .dropout = true, .update = true});
  check_gradients((small_options){.batch = 2, .moe = true});
}

static void copy_states(const run *from, run *to) {
  for (xlm_node n = 1; n < from->g->n_nodes; n++)
    if (xlm_node_is(&from->g->nodes[n], XLM_LEAF_STATE)) {
      int64_t count;
      run_graph_set(to->r, from->g->nodes[n].out, get(from, from->g->nodes[n].out, &count));
    }
}

static void same_numbers(const run *a, xlm_val x, const run *b, xlm_val y, const char *what) {
  int64_t n, m;
  double *p = get(a, x, &n), *q = get(b, y, &m);
  assert_int_equal(n, m);
  for (int64_t i = 0; i < n; i++)
    if (!(fabs(p[i] - q[i]) <= 1e-12 * (1 + fabs(q[i]))))
      fail_msg("%s at %lld: %.15g, not %.15g", what, (long long)i, p[i], q[i]);
}

// One step on a batch of 4 equals one step on 2 microbatches of 2, unevenly filled with valid targets.
static void microbatches_change_nothing(void **state) {
  (void)state;
  small_options o = {.batch = 4, .update = true};
  xlm_graph *whole = train_graph(small_model(arena, o), 1);
  o.batch = 2;
  xlm_graph *parts = train_graph(small_model(arena, o), 2);
  run one = run_new(whole, 4, 0);
  go(&one, 1, whole->n_nodes);
  run first = run_new(parts, 2, 0), second = run_new(parts, 2, 1);
  go(&first, 1, first_of_phase(parts, XLM_PHASE_STEP));
  copy_states(&first, &second);
  go(&second, 1, parts->n_nodes);
  const char *outputs[] = {"loss", "grad_norm", "zloss"};
  for (int i = 0; i < 3; i++)
    same_numbers(&second, find_output(parts, outputs[i]), &one, find_output(whole, outputs[i]), outputs[i]);
  same_numbers(&second, find_leaf(parts, "running"), &one, find_leaf(whole, "running"), "running");
  for (xlm_node n = 1; n < whole->n_nodes; n++)
    if (whole->nodes[n].op == XLM_OP_PARAM) {
      const char *name = leaf_name(whole, whole->nodes[n].out);
      same_numbers(&second, find_leaf(parts, name), &one, whole->nodes[n].out, name);
    }
  run_graph_free(one.r), run_graph_free(first.r), run_graph_free(second.r);
}

// ---- structure ----

static void one_microbatch_has_no_accumulators(void **state) {
  (void)state;
  xlm_graph *g = train_graph(small_model(arena, (small_options){.batch = 2, .update = true}), 1);
  assert_int_equal(count_ops(g, XLM_OP_ACCUMULATE), 0);
  assert_int_equal(find_leaf(g, "grad/embed"), 0);
  assert_int_equal(count_ops(g, XLM_OP_ASSIGN), 1);
}

static void microbatches_have_accumulators(void **state) {
  (void)state;
  xlm_graph *g = train_graph(small_model(arena, (small_options){.batch = 2, .update = true}), 4);
  int params = count_ops(g, XLM_OP_PARAM);
  assert_int_equal(count_ops(g, XLM_OP_ADAMW), params);
  assert_int_equal(count_ops(g, XLM_OP_ACCUMULATE),
                   params + 3); // loss, metric, the sum that `running` is updated from
  xlm_val acc = find_leaf(g, "grad/layers.1.mlp.up");
  assert_true(acc);
  assert_int_equal(xlm_state_role(xlm_val_node(g, acc)), XLM_ROLE_GRADIENT);
  assert_int_equal(xlm_val_type(g, acc)->dtype, XLM_F32);
  for (xlm_node n = 1; n < g->n_nodes; n++) // once per step: from the sum, not once per microbatch
    if (g->nodes[n].op == XLM_OP_AMAX) assert_int_equal(g->nodes[n].phase, XLM_PHASE_STEP);
}

static void decay_is_for_random_matrices(void **state) {
  (void)state;
  xlm_graph *g = train_graph(small_model(arena, (small_options){.batch = 2}), 1);
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    if (g->nodes[n].op != XLM_OP_ADAMW) continue;
    bool scale = xlm_val_type(g, g->nodes[n].in[0])->rank == 1;
    assert_true(xlm_attr_float(&g->nodes[n].attrs, XLM_A_decay, -1) == (scale ? 0 : 0.1));
  }
  assert_true(find_leaf(g, "adam.v/layers.0.attention.pre"));
  assert_int_equal(xlm_state_role(xlm_val_node(g, find_leaf(g, "adam.m/embed"))), XLM_ROLE_OPTIMIZER);
}

// A weight's gradient is completed in its round: nothing of round 1 runs after the backward of round 0 has
// begun.
static void weight_gradients_arise_early(void **state) {
  (void)state;
  xlm_graph *g = train_graph(small_model(arena, (small_options){.batch = 2, .dtype = XLM_BF16}), 2);
  bool below = false;
  int weights = 0;
  for (xlm_node n = first_of_phase(g, XLM_PHASE_BWD); n < g->n_nodes && g->nodes[n].phase != XLM_PHASE_STEP;
       n++) {
    if (xlm_op_is_leaf(g->nodes[n].op)) continue;
    if (g->nodes[n].round == 0) below = true;
    if (below) assert_int_not_equal(g->nodes[n].round, 1);
    weights += g->nodes[n].phase == XLM_PHASE_WGT;
    if (g->nodes[n].op == XLM_OP_ACCUMULATE) assert_int_equal(g->nodes[n].phase, XLM_PHASE_WGT);
  }
  assert_true(weights > count_ops(g, XLM_OP_PARAM));
}

static bool reaches(const xlm_graph *g, xlm_val from, xlm_phase through, xlm_val *target) {
  bool *hit = calloc(g->n_values, sizeof *hit), found = false;
  hit[from] = true;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    for (int i = 0; i < g->nodes[n].n_in; i++)
      if (hit[g->nodes[n].in[i]] && g->nodes[n].phase == through)
        for (xlm_val v = g->nodes[n].out; v < g->nodes[n].out + g->nodes[n].n_out; v++) hit[v] = true;
  for (xlm_val v = 1; v < g->n_values; v++)
    if (v != from && hit[v] && g->nodes[g->values[v].def].phase == through) *target = v, found = true;
  free(hit);
  return found;
}

static void weight_products_are_wgt(void **state) {
  (void)state;
  xlm_graph *g = train_graph(small_model(arena, (small_options){.batch = 2}), 1);
  xlm_val product = gradient_of(g, "layers.1.mlp.down"), user = 0;
  assert_int_equal(xlm_val_node(g, product)->op, XLM_OP_CONTRACT);
  assert_int_equal(xlm_val_node(g, product)->phase, XLM_PHASE_WGT);
  assert_string_equal(xlm_val_node(g, product)->scope, "layers.1.mlp");
  assert_int_equal(xlm_val_node(g, product)->round, 1);
  assert_int_equal(xlm_val_node(g, product)->span.end, 20);
  assert_string_equal(xlm_val_at(g, product)->name, "d/layers.1.mlp.down");
  assert_false(reaches(g, product, XLM_PHASE_BWD, &user));
}

static void stop_gradient_stops(void **state) {
  (void)state;
  small s = {.g = xlm_graph_new(arena, NULL, "stop")};
  s.b = xlm_build_new(s.g);
  xlm_dim d = xlm_graph_dim(s.g, "d", 3);
  xlm_val w = small_leaf(&s, XLM_OP_PARAM, "w", XLM_F32, SMALL_INIT(NORMAL, 1), &d, 1);
  xlm_val u = small_leaf(&s, XLM_OP_PARAM, "u", XLM_F32, SMALL_INIT(NORMAL, 1), &d, 1);
  xlm_val x = xlm_op2(&s.b, XLM_OP_MUL, w, xlm_op1(&s.b, XLM_OP_STOP_GRADIENT, u));
  xlm_vals_add(s.g, &s.g->losses, NULL, xlm_sum_over(&s.b, x, &d, 1), (xlm_span){0, 0});
  xlm_graph *g = train_graph(xlm_pass_simplify(s.g, arena), 1);
  assert_int_equal(count_ops(g, XLM_OP_ADAMW), 1);
  assert_true(gradient_of(g, "w"));
}

static void sgd_has_one_moment(void **state) {
  (void)state;
  xlm_train_options o = defaults;
  o.optimizer = "sgd";
  o.grad_clip = 0;
  xlm_graph *g = xlm_pass_differentiate(small_model(arena, (small_options){.batch = 2}), arena, &o);
  assert_sound(g);
  assert_int_equal(count_ops(g, XLM_OP_SGD), count_ops(g, XLM_OP_PARAM));
  assert_true(find_leaf(g, "sgd.m/embed") && find_leaf(g, "lr") && !find_leaf(g, "step"));
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == XLM_OP_CLIP_SCALE) assert_null(xlm_attr_find(&g->nodes[n].attrs, XLM_A_value));
}

// The count of the step is computed before the first microbatch, in a state; with one microbatch, within it.
static void cross_entropy_counts_globally(void **state) {
  (void)state;
  xlm_graph *one = train_graph(small_model(arena, (small_options){.batch = 2}), 1),
            *two = train_graph(small_model(arena, (small_options){.batch = 2}), 2);
  assert_true(find_leaf(two, "step/targets") && find_leaf(two, "whole/valid"));
  assert_false(find_leaf(one, "step/targets") || find_leaf(one, "whole/valid"));
  for (xlm_node n = 1; n < two->n_nodes; n++)
    if (two->nodes[n].op == XLM_OP_CROSS_ENTROPY) {
      const xlm_node_info *per = xlm_val_node(two, two->nodes[n].in[2]);
      assert_int_equal(per->op, XLM_OP_DIV);
      assert_int_equal(xlm_val_node(two, per->in[0])->phase, XLM_PHASE_PROLOGUE);
    }
  for (xlm_node n = 1; n < one->n_nodes; n++)
    if (one->nodes[n].op == XLM_OP_CROSS_ENTROPY)
      assert_int_equal(xlm_val_node(one, one->nodes[n].in[2])->op, XLM_OP_SUM);
}

// Two states that swap values: both are read before either is written.
static void states_may_swap(void **state) {
  (void)state;
  small s = {.g = xlm_graph_new(arena, NULL, "swap")};
  s.b = xlm_build_new(s.g);
  xlm_dim d = xlm_graph_dim(s.g, "d", 2);
  xlm_val w = small_leaf(&s, XLM_OP_PARAM, "w", XLM_F32, SMALL_INIT(NORMAL, 1), &d, 1);
  xlm_val a = small_leaf(&s, XLM_OP_STATE, "a", XLM_F32, SMALL_INIT(ZEROS, 0), &d, 1);
  xlm_val b = small_leaf(&s, XLM_OP_STATE, "b", XLM_F32, SMALL_INIT(ONES, 0), &d, 1);
  xlm_graph_update(s.g, a, b);
  xlm_graph_update(s.g, b, a);
  xlm_vals_add(s.g, &s.g->losses, NULL, xlm_sum_over(&s.b, w, &d, 1), (xlm_span){0, 0});
  xlm_vals_add(s.g, &s.g->metrics, "first", a, (xlm_span){0, 0});
  xlm_graph *g = train_graph(s.g, 1);
  run t = run_new(g, 1, 0);
  run_graph_set(t.r, find_leaf(g, "a"), (double[]){1, 2});
  run_graph_set(t.r, find_leaf(g, "b"), (double[]){3, 4});
  go(&t, 1, g->n_nodes);
  assert_true(get_scalar(&t, find_leaf(g, "a")) == 3);
  assert_true(get_scalar(&t, find_leaf(g, "b")) == 1);
  assert_true(get_scalar(&t, find_output(g, "first")) == 1);
  run_graph_free(t.r);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(gradients_are_derivatives),
      TEST(microbatches_change_nothing),
      TEST(one_microbatch_has_no_accumulators),
      TEST(microbatches_have_accumulators),
      TEST(decay_is_for_random_matrices),
      TEST(weight_gradients_arise_early),
      TEST(weight_products_are_wgt),
      TEST(stop_gradient_stops),
      TEST(sgd_has_one_moment),
      TEST(cross_entropy_counts_globally),
      TEST(states_may_swap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
