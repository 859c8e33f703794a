// Initial values: their text, their distribution, the same in every layout.
#include <math.h>

#include <string.h>

#include "runtime/plan/code.h"
#include "runtime/state/init.h"
#include "tests/train/hand_world.h"

static const xlm_code_instr logarithm[] = {{XLM_FN_LOG, {0}, 0}};
static const xlm_code log_of_draw = {.n_in = 1, .n = 1, .n_out = 1, .at = logarithm, .out = {1}};
static const xlm_code two_results = {.n_in = 1, .n = 1, .n_out = 2, .at = logarithm, .out = {1, 0}};

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
      {{XLM_INIT_CONSTANT, {-3}}, "constant(-3)", NULL},
      {{XLM_INIT_TRUNCATED_NORMAL, {0.02, 3}}, "truncated_normal(0.02, 3)", NULL},
      {{XLM_INIT_TRUNCATED_NORMAL, {0.02, 0}},
       "truncated_normal(0.02, 0)",
       "nothing is nearer to 0 than 0 deviations"},
      {{XLM_INIT_UNIFORM, {1, 16}, &log_of_draw}, "uniform(1, 16) <in 1; log r0; out r1>", NULL},
      {{XLM_INIT_ZEROS, {0}, &two_results},
       "zeros <in 1; log r0; out r1 r0>",
       "its program is not a function of an element"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xlm_text t = xlm_text_new(a);
    xlm_init_print(&cases[i].init, &t);
    assert_string_equal(t.data, cases[i].text);
    const char *wrong = xlm_init_wrong(&cases[i].init, a);
    assert_string_equal(wrong ? wrong : "", cases[i].wrong ? cases[i].wrong : "");
  }
  xlm_arena_free(a);
}

enum { N = 200000 };

static void fill(const xlm_init *init, xlm_philox key, int64_t first, int64_t n, float *out) {
  xlm_init_fill(init, key, (int64_t[]){N}, 1, first, n, out);
}

// Moments of the normal, range of the uniform, and the same values whatever the range asked for.
static void test_init_values(void **state) {
  (void)state;
  static float all[N], some[1000];
  xlm_philox key = xlm_philox_key(1, 2);
  xlm_init normal = {XLM_INIT_NORMAL, {2}}, uniform = {XLM_INIT_UNIFORM, {-1, 3}};
  fill(&normal, key, 0, N, all);
  double m[5] = {0};
  for (int i = 0; i < N; i++)
    for (int k = 1; k <= 4; k++) m[k] += __builtin_pow(all[i] / 2, k) / N;
  assert_true(__builtin_fabs(m[1]) < 0.01 && __builtin_fabs(m[2] - 1) < 0.01);
  assert_true(__builtin_fabs(m[3]) < 0.03 && __builtin_fabs(m[4] - 3) < 0.06);
  for (int at = 0; at < 3000; at += 17) {
    fill(&normal, key, at, 1 + at % 1000, some);
    assert_memory_equal(some, all + at, sizeof(float) * (size_t)(1 + at % 1000));
  }
  double mean = 0;
  fill(&uniform, key, 0, N, all);
  for (int i = 0; i < N; i++) {
    assert_true(all[i] >= -1 && all[i] <= 3);
    mean += all[i] / N;
  }
  assert_true(__builtin_fabs(mean - 1) < 0.02);
  // Box and Muller in double precision, from the same counters.
  fill(&normal, key, 4, 4, some);
  uint32_t w[4];
  xlm_philox_draw(key, 0, 1, w);
  for (int k = 0; k < 4; k += 2) {
    double radius = 2 * __builtin_sqrt(-2 * __builtin_log(((w[k] >> 1) + 0.5) * 0x1p-31));
    double angle = w[k + 1] * 0x1p-32 * 6.283185307179586;
    assert_true(__builtin_fabs(some[k] - radius * __builtin_cos(angle)) < 2e-6);
    assert_true(__builtin_fabs(some[k + 1] - radius * __builtin_sin(angle)) < 2e-6);
  }
}

// The variance of what lies within two deviations is 1 - 4 f(2) / (2 F(2) - 1) of the whole one.
static void test_init_truncated(void **state) {
  (void)state;
  static float all[N], some[1000];
  xlm_philox key = xlm_philox_key(1, 2);
  xlm_init init = {XLM_INIT_TRUNCATED_NORMAL, {0.5, 2}};
  fill(&init, key, 0, N, all);
  double mean = 0, square = 0, most = 0;
  for (int i = 0; i < N; i++) {
    mean += all[i] / N, square += (double)all[i] * all[i] / N;
    most = fmax(most, fabs(all[i]));
  }
  assert_true(fabs(mean) < 0.005 && fabs(square / 0.25 - 0.773741) < 0.01);
  assert_true(most <= 1 && most > 0.999);
  fill(&init, key, 1001, 1000, some);
  assert_memory_equal(some, all + 1001, sizeof some);
}

static void test_init_formula(void **state) {
  (void)state;
  static const xlm_code_instr at[] = {
      {XLM_FN_MUL, {1, XLM_CODE_IMM}, 100}, {XLM_FN_ADD, {3, 2}, 0}, {XLM_FN_ADD, {4, 0}, 0}};
  static const xlm_code code = {.n_in = 3, .n = 3, .n_out = 1, .at = at, .out = {5}};
  xlm_init plain = {XLM_INIT_ONES, {0}, &code}, drawn = {XLM_INIT_UNIFORM, {0, 0.5}, &code};
  xlm_philox key = xlm_philox_key(1, 2);
  float x[21], y[21];
  xlm_init_fill(&plain, key, (int64_t[]){3, 7}, 2, 0, 21, x);
  xlm_init_fill(&drawn, key, (int64_t[]){3, 7}, 2, 5, 16, y + 5);
  for (int i = 0; i < 21; i++) {
    assert_true(x[i] == (float)(i / 7 * 100 + i % 7 + 1));
    if (i >= 5) assert_true(y[i] > x[i] - 1 && y[i] < x[i]);
  }
  assert_false(xlm_init_is_zero(&(xlm_init){XLM_INIT_ZEROS, {0}, &code}));
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
                                     cmocka_unit_test(test_init_truncated),
                                     cmocka_unit_test(test_init_formula), cmocka_unit_test(test_init_layout)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
