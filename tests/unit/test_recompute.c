// Recomputation: the same bits with fewer stored values, and clones only where they belong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/same_step.h"
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

static void assert_sound(const xlm_graph *g) {
  const char *wrong = xlm_graph_verify(g, arena);
  if (wrong) fail_msg("%s", wrong);
}

static xlm_graph *train_graph(int64_t microbatches) {
  small_options o = {.batch = 2, .dropout = true, .recompute = true, .update = true, .moe = true};
  xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = microbatches};
  xlm_graph *g = xlm_pass_differentiate(xlm_pass_simplify(small_model(arena, o), arena), arena, &t);
  return xlm_pass_simplify(g, arena);
}

static bool is_clone(const xlm_node_info *n) {
  return n->phase == XLM_PHASE_BWD && n->recompute && !(xlm_op_is_leaf(n->op));
}

static int count_clones(const xlm_graph *g, const char *scope) {
  int n = 0;
  for (xlm_node i = 1; i < g->n_nodes; i++)
    n += is_clone(&g->nodes[i]) && !strncmp(g->nodes[i].scope, scope, strlen(scope));
  return n;
}

// Values of the forward pass that backward nodes read.
static int count_kept(const xlm_graph *g) {
  bool *kept = calloc(g->n_values, sizeof *kept);
  int count = 0;
  for (xlm_node i = 1; i < g->n_nodes; i++) {
    const xlm_node_info *n = &g->nodes[i];
    if (n->phase != XLM_PHASE_BWD && n->phase != XLM_PHASE_WGT) continue;
    for (int k = 0; k < n->n_in; k++) {
      const xlm_node_info *def = xlm_val_node(g, n->in[k]);
      kept[n->in[k]] |= def->phase == XLM_PHASE_FWD && !(xlm_op_is_leaf(def->op));
    }
  }
  for (xlm_val v = 1; v < g->n_values; v++) count += kept[v];
  free(kept);
  return count;
}

// ---- the same bits ----

static void results_are_the_same_bits(void **state) {
  (void)state;
  for (int64_t microbatches = 1; microbatches <= 2; microbatches++) {
    xlm_graph *g = train_graph(microbatches);
    xlm_graph *marked = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_MARKED);
    xlm_graph *full = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_FULL);
    assert_sound(marked), assert_sound(full);
    same_step(g, marked);
    same_step(g, full);
  }
}

// ---- structure ----

static void none_copies(void **state) {
  (void)state;
  xlm_graph *g = train_graph(2), *none = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_NONE);
  xlm_text a = xlm_text_new(arena), b = xlm_text_new(arena);
  xlm_graph_print(g, &a);
  xlm_graph_print(none, &b);
  assert_string_equal(a.data, b.data);
}

static void marked_recomputes_what_is_marked(void **state) {
  (void)state;
  xlm_graph *g = train_graph(1), *m = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_MARKED);
  assert_int_equal(count_clones(g, ""), 0);
  assert_true(count_clones(m, "layers.0.mlp") > 0);
  assert_true(count_clones(m, "layers.1.mlp") > 0);
  assert_int_equal(count_clones(m, "layers.0.attention"), 0);
  assert_true(count_kept(m) < count_kept(g));
}

static void full_keeps_what_crosses_rounds(void **state) {
  (void)state;
  xlm_graph *g = train_graph(1), *f = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_FULL);
  assert_true(count_clones(f, "layers.0.attention") > 0);
  assert_true(count_kept(f) < count_kept(xlm_pass_recompute(g, arena, XLM_RECOMPUTE_MARKED)));
  for (xlm_node n = 1; n < f->n_nodes; n++) { // of a round, only what leaves it is read by the backward pass
    if (f->nodes[n].phase != XLM_PHASE_BWD && f->nodes[n].phase != XLM_PHASE_WGT) continue;
    for (int i = 0; i < f->nodes[n].n_in; i++) {
      const xlm_node_info *def = xlm_val_node(f, f->nodes[n].in[i]);
      if (def->phase != XLM_PHASE_FWD || xlm_op_is_leaf(def->op) || def->round < 0) continue;
      assert_int_equal(def->op, XLM_OP_ADD);
      assert_true(strlen(def->scope) == strlen("layers.0"));
    }
  }
}

// A region runs again just before its first backward use: round 0's clones come after round 1's backward.
static void clones_wait_for_their_use(void **state) {
  (void)state;
  xlm_graph *f = xlm_pass_recompute(train_graph(1), arena, XLM_RECOMPUTE_FULL);
  bool started = false;
  for (xlm_node n = 1; n < f->n_nodes; n++) {
    if (is_clone(&f->nodes[n]) && f->nodes[n].round == 0) started = true;
    if (started)
      assert_false(f->nodes[n].phase == XLM_PHASE_BWD && f->nodes[n].round == 1 && is_clone(&f->nodes[n]));
  }
  assert_true(started);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(results_are_the_same_bits),        TEST(none_copies),
      TEST(marked_recomputes_what_is_marked), TEST(full_keeps_what_crosses_rounds),
      TEST(clones_wait_for_their_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
