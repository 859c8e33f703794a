// Choosing tokens: greedy, the distribution at a temperature, top-k and top-p.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/xlmrun/choose.c" // the tool is not a library

enum { N = 5, DRAWS = 20000 };
// Probabilities 0.1, 0.4, 0.2, 0.25, 0.05.
static const double p[N] = {0.1, 0.4, 0.2, 0.25, 0.05};

static void count(double temperature, int64_t top_k, double top_p, double share[N]) {
  float logits[N];
  choice scratch[N];
  for (int i = 0; i < N; i++) logits[i] = (float)(log(p[i]) + 7), share[i] = 0;
  for (int i = 0; i < DRAWS; i++)
    share[choose_token(logits, N, temperature, top_k, top_p, (i + 0.5) / DRAWS, scratch)] += 1.0 / DRAWS;
}

static void expect(const double got[N], double a, double b, double c, double d, double e) {
  const double want[N] = {a, b, c, d, e};
  for (int i = 0; i < N; i++)
    if (fabs(got[i] - want[i]) > 1e-3) fail_msg("token %d: %g, want %g", i, got[i], want[i]);
}

static void test_choices(void **state) {
  (void)state;
  double share[N];
  count(0, 0, 1, share), expect(share, 0, 1, 0, 0, 0);
  count(1, 0, 1, share), expect(share, 0.1, 0.4, 0.2, 0.25, 0.05);
  count(1, 1, 1, share), expect(share, 0, 1, 0, 0, 0);
  count(1, 2, 1, share), expect(share, 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0);
  count(1, 99, 1, share), expect(share, 0.1, 0.4, 0.2, 0.25, 0.05);
  count(1, 0, 0.6, share), expect(share, 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0);
  count(1, 0, 0, share), expect(share, 0, 1, 0, 0, 0);
  count(1, 3, 0.3, share), expect(share, 0, 1, 0, 0, 0);
  double sum = 0.1 * 0.1 + 0.4 * 0.4 + 0.2 * 0.2 + 0.25 * 0.25 + 0.05 * 0.05;
  count(0.5, 0, 1, share), expect(share, 0.01 / sum, 0.16 / sum, 0.04 / sum, 0.0625 / sum, 0.0025 / sum);
}

static void test_extremes(void **state) {
  (void)state;
  choice scratch[3];
  const float huge[3] = {-3e38f, 3e38f, 0}, equal[3] = {1, 1, 1};
  assert_int_equal(choose_token(huge, 3, 0.7, 0, 1, 0.999, scratch), 1);
  assert_int_equal(choose_token(equal, 3, 1, 0, 1, 0.1, scratch), 0);
  assert_int_equal(choose_token(equal, 3, 1, 0, 1, 0.9999999, scratch), 2);
  assert_int_equal(choose_token(equal, 1, 1, 0, 0.5, 0.9999999, scratch), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_choices), cmocka_unit_test(test_extremes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
