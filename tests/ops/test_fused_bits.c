// Fusion changes no bits: random programs of `fused`, with functions of rows and sums, give on the CPU
// exactly what their operations give one by one, with every value in memory as f32; with one thread as with
// three. `test_fused_bits SEED COUNT`: other programs, and more.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/fused_examples.h"
#include "tests/ops/run_graph.h"

enum { COUNT = 150 };

// The last run of the node is in place of an operand, if one has the type of result 0.
static void check(const fused_example *e, xlm_val fused, int threads) {
  const xlm_graph *g = e->t.b.g;
  run_options o = {.backend = xlm_backend_find("cpu"), .in_place = true, .threads = threads};
  run_graph *r = run_graph_new(g, o);
  for (int i = 0; i < e->t.n_leaves; i++) run_graph_set(r, e->t.leaf[i].val, e->t.leaf[i].values);
  run_graph_run(r, 1, g->n_nodes);
  if (run_graph_error(r)) fail_msg("seed %llu: %s", (unsigned long long)e->seed, run_graph_error(r));
  for (int i = 0; i < e->code.n_out; i++) {
    size_t n, m;
    const void *got = run_graph_bytes(r, fused + (xlm_val)i, &n),
               *want = run_graph_bytes(r, e->t.out[i].val, &m);
    assert_int_equal(n, m);
    if (memcmp(got, want, n))
      fail_msg("seed %llu: result %d of %d (%d summed) has other bits with %d threads",
               (unsigned long long)e->seed, i, e->code.n_out, e->code.n_summed, threads);
  }
  run_graph_free(r);
}

static uint64_t first_seed = 1;
static int count = COUNT;

static void same_bits(void **state) {
  (void)state;
  for (uint64_t seed = first_seed; seed < first_seed + (uint64_t)count; seed++) {
    xlm_arena *a = xlm_arena_new(0);
    assert_non_null(a);
    fused_example *e = XLM_NEW(a, fused_example);
    xlm_val fused = fused_example_build(e, a, seed);
    const char *wrong = xlm_graph_verify(e->t.b.g, a);
    if (wrong) fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    check(e, fused, 1);
    check(e, fused, 3);
    xlm_arena_free(a);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
  if (argc > 2) count = atoi(argv[2]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
