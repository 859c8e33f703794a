// Products of the same weights become one where none waits for another: the loops of a Parallel Loop
// Transformer in decoding. That the results keep their bits is tested where models are decoded
// (test_incremental).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "compiler/ir/op.h"
#include "compiler/pass/pass.h"
#include "tests/train/train_util.h"

enum { LAYERS = 2, PRODUCTS = 7, HEAD = 1 }; // per layer; logits

static const xlm_graph *graph_in(xlm_arena *a, xlm_dtype dtype, const char *model, const char *sets,
                                 const char *after) {
  toy_options o = toy_defaults(model);
  const xlm_graph *g = NULL;
  xlm_diags d;
  o.sets = sets, o.dtype = dtype;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = XLM_WITH_DECODE, c.settings.training = false;
  const xlm_source *source = toy_source(a, model);
  xlm_diags_init(&d, a, source);
  xlm_compile(a, source, &c, &d, after, &g);
  assert_int_equal(d.errors, 0);
  assert_non_null(g);
  return g;
}

static const xlm_graph *graph_of(xlm_arena *a, const char *model, const char *sets, const char *after) {
  return graph_in(a, XLM_F32, model, sets, after);
}

static int products(const xlm_graph *g) {
  int n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    n += xlm_op_facts_of(g->nodes[id].op)->product == XLM_PRODUCT_MATRIX;
  return n;
}

static int stacked_in(xlm_dtype dtype, const char *model, const char *sets) {
  xlm_arena *a = xlm_arena_new(0);
  const xlm_graph *g = graph_in(a, dtype, model, sets, "stack_products");
  assert_null(xlm_graph_verify(g, a));
  int n = products(g);
  xlm_arena_free(a);
  return n;
}

static int stacked(const char *model, const char *sets) {
  return stacked_in(XLM_F32, model, sets);
}

static void loops_in_bf16(void **state) { // those whose results are added to h, with the additions
  (void)state;
  assert_int_equal(stacked_in(XLM_BF16, "plt", "loops=1"), LAYERS * PRODUCTS + HEAD);
  assert_int_equal(stacked_in(XLM_BF16, "plt", "loops=2"), LAYERS * (PRODUCTS + 1) + HEAD);
  // Gates have a bias, so in bf16 those of two loops stay two products.
  assert_int_equal(stacked_in(XLM_BF16, "plt", "loops=3"), LAYERS * (PRODUCTS + 2) + HEAD);
}

static void loops_are_one(void **state) { // beside the gates, which the first loop has not
  (void)state;
  assert_int_equal(stacked("plt", "loops=1"), LAYERS * PRODUCTS + HEAD);
  assert_int_equal(stacked("plt", "loops=2"), LAYERS * (PRODUCTS + 1) + HEAD);
  assert_int_equal(stacked("plt", "loops=3"), LAYERS * (PRODUCTS + 1) + HEAD);
}

static void loops_that_wait(void **state) { // each for the one before it
  (void)state;
  assert_int_equal(stacked("plt", "loops=2 shifted=false"), LAYERS * (2 * PRODUCTS + 1) + HEAD);
}

static void nothing_to_do(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_graph *g = graph_of(a, "llama", NULL, "simplify,2"), *h = xlm_pass_stack_products(g, a);
  xlm_text before = xlm_text_new(a), after = xlm_text_new(a);
  xlm_graph_print(g, &before), xlm_graph_print(h, &after);
  assert_string_equal(before.data, after.data);
  xlm_arena_free(a);
}

static void twice(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_graph *g = graph_of(a, "plt", "loops=3", "stack_products"), *h = xlm_pass_stack_products(g, a);
  assert_int_equal(products(h), products(g));
  assert_null(xlm_graph_verify(h, a));
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loops_are_one), cmocka_unit_test(loops_in_bf16), cmocka_unit_test(loops_that_wait),
      cmocka_unit_test(nothing_to_do), cmocka_unit_test(twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
