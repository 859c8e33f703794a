// Runs two graphs of a training step in the reference backend and compares their results bit by bit.
#ifndef XLM_TESTS_UNIT_SAME_STEP_H
#define XLM_TESTS_UNIT_SAME_STEP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/ops/run_graph.h"

typedef struct run {
  const xlm_graph *g;
  run_graph *r;
} run;

static inline run run_step(const xlm_graph *g) {
  run_options o = {
      .backend = xlm_backend_find("ref"), .f64 = true, .threads = 1, .env = {.seed = 9, .step = 4}};
  run t = {g, run_graph_new(g, o)};
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    if (!(xlm_op_is_leaf(g->nodes[n].op))) continue;
    run_graph_run(t.r, n, n + 1); // constants
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_CONSTANT)) continue;
    int64_t count = run_graph_elements(t.r, g->nodes[n].out);
    double *x = calloc((size_t)count + 1, sizeof *x);
    bool integers = xlm_val_type(g, g->nodes[n].out)->dtype == XLM_I32;
    for (int64_t i = 0; i < count; i++)
      x[i] = integers ? (double)(i * 5 % 9) : ((double)(i * 37 % 101) - 50) / 60;
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_INPUT) && !integers) x[0] = 3; // valid, lr, step
    run_graph_set(t.r, g->nodes[n].out, x);
    free(x);
  }
  run_graph_run(t.r, 1, g->n_nodes);
  if (run_graph_error(t.r)) fail_msg("%s", run_graph_error(t.r));
  return t;
}

static inline void same_bits(const run *a, xlm_val x, const run *b, xlm_val y) {
  size_t n, m;
  const void *p = run_graph_bytes(a->r, x, &n), *q = run_graph_bytes(b->r, y, &m);
  assert_int_equal(n, m);
  assert_memory_equal(p, q, n);
}

static inline void same_step(const xlm_graph *g, const xlm_graph *h) {
  run a = run_step(g), b = run_step(h);
  assert_int_equal(g->outputs.n, h->outputs.n);
  assert_int_equal(g->n_updates, h->n_updates);
  for (uint32_t i = 0; i < g->outputs.n; i++) same_bits(&a, g->outputs.at[i].val, &b, h->outputs.at[i].val);
  for (uint32_t i = 0; i < g->n_updates; i++) same_bits(&a, g->updates[i].val, &b, h->updates[i].val);
  run_graph_free(a.r), run_graph_free(b.r);
}

#endif
