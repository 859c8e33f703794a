// Initial values: their text, their distribution, the same in every layout.
#include <math.h>

#include <string.h>

#include "runtime/state/init.h"
#include "tests/train/hand_world.h"

static void test_init_checks(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  static const struct {
    xlm_init init;
    const char *text, *wrong; // NULL: nothing
  } cases[] = {
      {{XLM_INIT_NORMAL, {0.02}}, "normal(0.02)", NULL},
      {{XLM_INIT_NORMAL, {0}}, "normal(0)", NULL},
      {{XLM_INIT_NORMAL, {-1}}, "normal(-1)", "the standard deviation -1 is negative"},
      {{XLM_INIT_NORMAL, {INFINITY}}, "normal(inf)", "inf is no number of f32"},
      {{XLM_INIT_UNIFORM, {-0.5, 0.25}}, "uniform(-0.5, 0.25)", NULL},
      {{XLM_INIT_UNIFORM, {1, 0}}, "uniform(1, 0)", "the lower bound 1 lies above the upper bound 0"},
      {{XLM_INIT_UNIFORM, {0, NAN}}, "uniform(0, nan)", "nan is no number of f32"},
      {{XLM_INIT_ONES}, "ones", NULL},
      {{XLM_INIT_ZEROS}, "zeros", NULL},
      {{XLM_INIT_CONSTANT, {-3}}, "constant(-3)", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xlm_text t = xlm_text_new(a);
    xlm_init_print(&cases[i].init, &t);
    assert_string_equal(t.data, cases[i].text);
    const char *wrong = xlm_init_wrong(&cases[i].init, a);
    assert_string_equal(wrong ? wrong : "", cases[i].wrong ? cases[i].wrong : "");
  }
  xlm_arena_free(a);
}

// Moments of the normal, range of the uniform, and the same values whatever the range asked for.
static void test_init_values(void **state) {
  (void)state;
  enum { N = 200000 };
  static float all[N], some[1000];
  xlm_philox key = xlm_philox_key(1, 2);
  xlm_init normal = {XLM_INIT_NORMAL, {2}}, uniform = {XLM_INIT_UNIFORM, {-1, 3}};
  xlm_init_fill(&normal, key, 0, N, all);
  double m[5] = {0};
  for (int i = 0; i < N; i++)
    for (int k = 1; k <= 4; k++) m[k] += __builtin_pow(all[i] / 2, k) / N;
  assert_true(__builtin_fabs(m[1]) < 0.01 && __builtin_fabs(m[2] - 1) < 0.01);
  assert_true(__builtin_fabs(m[3]) < 0.03 && __builtin_fabs(m[4] - 3) < 0.06);
  for (int at = 0; at < 3000; at += 17) {
    xlm_init_fill(&normal, key, at, 1 + at % 1000, some);
    assert_memory_equal(some, all + at, sizeof(float) * (size_t)(1 + at % 1000));
  }
  double mean = 0;
  xlm_init_fill(&uniform, key, 0, N, all);
  for (int i = 0; i < N; i++) {
    assert_true(all[i] >= -1 && all[i] <= 3);
    mean += all[i] / N;
  }
  assert_true(__builtin_fabs(mean - 1) < 0.02);
  // Box and Muller in double precision, from the same counters.
  xlm_init_fill(&normal, key, 4, 4, some);
  uint32_t w[4];
  xlm_philox_draw(key, 0, 1, w);
  for (int k = 0; k < 4; k += 2) {
    double radius = 2 * __builtin_sqrt(-2 * __builtin_log(((w[k] >> 1) + 0.5) * 0x1p-31));
    double angle = w[k + 1] * 0x1p-32 * 6.283185307179586;
    assert_true(__builtin_fabs(some[k] - radius * __builtin_cos(angle)) < 2e-6);
    assert_true(__builtin_fabs(some[k + 1] - radius * __builtin_sin(angle)) < 2e-6);
  }
}

static void test_init_layout(void **state) {
  (void)state;
  world *a = new_world(1), *b = new_world(2), *c = new_world(1), *d = new_world_of(2, true);
  init_world(a, 5), init_world(b, 5), init_world(d, 5);
  expect_same(a, b, false);
  expect_same(a, d, false);
  xlm_pool *pool;
  assert_int_equal(xlm_pool_new(3, &pool, NULL), XLM_OK);
  assert_int_equal(xlm_store_init(c->store, 5, false, pool, NULL), XLM_OK);
  xlm_pool_free(pool);
  expect_same(a, c, false);
  assert_true(a->memory[0][4][0] == 1 && a->memory[0][5][3] == 0.25f && a->memory[0][6][71] == 0);
  init_world(c, 6);
  assert_memory_not_equal(a->memory[0][0], c->memory[0][0], sizeof(float) * 72);
  assert_memory_not_equal(a->memory[0][0], a->memory[0][1], sizeof(float) * 72);
  free_world(a), free_world(b), free_world(c), free_world(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_init_checks), cmocka_unit_test(test_init_values),
                                     cmocka_unit_test(test_init_layout)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
