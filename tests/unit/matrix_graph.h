// A graph to start from, for tests of single passes: one matrix, to which every test adds a few operations.
// Each test has its own, in `s`, and inspects the results after the pass.
#ifndef XLM_TESTS_UNIT_MATRIX_GRAPH_H
#define XLM_TESTS_UNIT_MATRIX_GRAPH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/small_graph.h"

static small s;
static xlm_dim d, e;
static xlm_val x; // f32 [d, e]

static inline xlm_val matrix(const char *name, xlm_dtype t) {
  return small_leaf(&s, XLM_OP_INPUT, name, t, NULL, SMALL_DIMS(d, e));
}

static inline int matrix_open(int64_t rows, int64_t columns) {
  xlm_arena *a = xlm_arena_new(0);
  if (!a) return -1;
  s = (small){.g = xlm_graph_new(a, NULL, "test")};
  s.b = xlm_build_new(s.g);
  d = xlm_graph_dim(s.g, "d", rows);
  e = xlm_graph_dim(s.g, "e", columns);
  x = matrix("x", XLM_F32);
  return 0;
}

static inline int teardown(void **state) {
  (void)state;
  xlm_arena_free(s.g->arena);
  return 0;
}

static inline void keep(xlm_val v) {
  xlm_vals_add(s.g, &s.g->outputs, "out", v, (xlm_span){0, 0});
}

static inline xlm_graph *verified(xlm_graph *g) {
  const char *wrong = xlm_graph_verify(g, s.g->arena);
  if (wrong) fail_msg("%s", wrong);
  return g;
}

static inline const xlm_node_info *result(const xlm_graph *g, uint32_t i) { // of the kept values
  return xlm_val_node(g, g->outputs.at[i].val);
}

static inline int count(const xlm_graph *g, xlm_op_id id) {
  int n = 0;
  for (xlm_node i = 1; i < g->n_nodes; i++) n += g->nodes[i].op == id;
  return n;
}

#endif
