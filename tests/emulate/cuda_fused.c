// Random programs of `fused` on the emulated card: the same bits in several orders of threads, and close to
// what their operations give one by one. `test_cuda_fused SEED COUNT`: other programs, and more.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/bf16.h"
#include "tests/emulate/emulated.h"
#include "tests/ops/fused_examples.h"
#include "tests/ops/run_graph.h"

#if defined(EMULATE_ASAN) || defined(EMULATE_RACES)
enum { COUNT = 25, ORDERS = 2 };
#else
enum { COUNT = 40, ORDERS = 4 };
#endif

// Sums of thousands of terms of either sign; and norms of rows that are nearly constant magnify the last bit.
static const double tolerance = 1e-3, small = 1e-3;

static run_graph *run(const fused_example *e, int order) {
  const xlm_graph *g = e->t.b.g;
  run_options o = {.backend = xlm_backend_find("cuda"),
                   .others = xlm_backend_find("cpu"),
                   .in_place = order == 0,
                   .threads = 1,
                   .watch = emulated_watch};
  emulated_order(order);
  run_graph *r = run_graph_new(g, o);
  for (int i = 0; i < e->t.n_leaves; i++) run_graph_set(r, e->t.leaf[i].val, e->t.leaf[i].values);
  run_graph_run(r, 1, g->n_nodes);
  if (run_graph_error(r)) fail_msg("seed %llu: %s", (unsigned long long)e->seed, run_graph_error(r));
  return r;
}

static void compare(const fused_example *e, const run_graph *r, xlm_val got, xlm_val want) {
  int64_t n = run_graph_elements(r, got);
  double *x = XLM_NEW_N(e->t.b.g->arena, double, n + 1), *y = XLM_NEW_N(e->t.b.g->arena, double, n + 1),
         squares = 0;
  bool bf16 = xlm_val_type(e->t.b.g, got)->dtype == XLM_BF16;
  run_graph_get(r, got, x), run_graph_get(r, want, y);
  for (int64_t i = 0; i < n; i++) squares += isfinite(y[i]) ? y[i] * y[i] : 0;
  double rms = n ? sqrt(squares / (double)n) : 0, allowed = bf16 ? 2e-2 : tolerance;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(y[i]) && !(fabs(x[i] - y[i]) <= allowed * (fabs(y[i]) + rms + small)))
      fail_msg("seed %llu: element %lld is %g, and should be %g", (unsigned long long)e->seed, (long long)i,
               x[i], y[i]);
}

static void check(const fused_example *e, xlm_val fused) {
  run_graph *first = run(e, 0);
  for (int i = 0; i < e->code.n_out; i++) compare(e, first, fused + (xlm_val)i, e->t.out[i].val);
  for (int order = 1; order < ORDERS; order++) {
    run_graph *r = run(e, order);
    for (int i = 0; i < e->code.n_out; i++) {
      size_t n, m;
      const void *a = run_graph_bytes(first, fused + (xlm_val)i, &n),
                 *b = run_graph_bytes(r, fused + (xlm_val)i, &m);
      if (n != m || memcmp(a, b, n))
        fail_msg("seed %llu: result %d has other bits in order %d", (unsigned long long)e->seed, i, order);
    }
    run_graph_free(r);
  }
  run_graph_free(first);
}

static uint64_t first_seed = 1;
static int count = COUNT;

static bool has_kernels(const fused_example *e) { // rows are not longer than the compiler makes them
  int64_t row = 1;
  for (int i = EXAMPLE_DIMS - e->code.row; i < EXAMPLE_DIMS; i++) row *= e->size[i];
  return row <= XLM_CODE_MAX_ROW;
}

static void random_programs(void **state) {
  (void)state;
  for (uint64_t seed = first_seed; seed < first_seed + (uint64_t)count; seed++) {
    xlm_arena *a = xlm_arena_new(0);
    assert_non_null(a);
    fused_example *e = XLM_NEW(a, fused_example);
    xlm_val fused = fused_example_build(e, a, seed);
    if (has_kernels(e)) check(e, fused);
    xlm_arena_free(a);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
  if (argc > 2) count = atoi(argv[2]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
