// Choosing tokens: the distributions are those of transformers (samples.json, made by
// tools/parity/sample.py), draws follow them, and a sampler keeps nothing.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/decode/sample.h"

enum { MOST = 64 };

static double number(const json_t *j, const char *key) {
  return json_number_value(json_object_get(j, key));
}

static int64_t floats(const json_t *list, float *out) {
  size_t i;
  json_t *x;
  assert_in_range(json_array_size(list), 1, MOST);
  json_array_foreach(list, i, x) out[i] = (float)json_number_value(x);
  return (int64_t)json_array_size(list);
}

static xlm_sample_options options_of(const json_t *j) {
  return (xlm_sample_options){.temperature = number(j, "temperature"),
                              .top_k = (int64_t)number(j, "top_k"),
                              .top_p = number(j, "top_p"),
                              .min_p = number(j, "min_p"),
                              .repetition_penalty = number(j, "repetition_penalty")};
}

static void compare(xlm_sampler *s, const json_t *j, size_t at) {
  float logits[MOST], want[MOST], ids[MOST];
  double got[MOST] = {0};
  int32_t text[MOST];
  xlm_sample_options o = options_of(j);
  int64_t n = floats(json_object_get(j, "text"), ids);
  for (int64_t i = 0; i < n; i++) text[i] = (int32_t)ids[i];
  assert_int_equal(floats(json_object_get(j, "logits"), logits), s->vocab);
  assert_int_equal(floats(json_object_get(j, "p"), want), s->vocab);
  int64_t count = xlm_sample_candidates(s, &o, logits, text, n);
  for (int64_t i = 0; i < count; i++) got[s->list[i].token] += s->list[i].p;
  for (int64_t i = 0; i < s->vocab; i++)
    if (fabs(got[i] - want[i]) > 1e-6 || (got[i] > 0) != (want[i] > 0))
      fail_msg("case %zu, token %lld: %.9g, not %.9g", at, (long long)i, got[i], want[i]);
}

static void test_distributions(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  json_t *cases, *j;
  xlm_error err;
  size_t i;
  xlm_status status = xlm_json_parse_file(XLM_SOURCE_DIR "/tests/decode/samples.json", 0, &cases, &err);
  if (status != XLM_OK) fail_msg("%s", err.text);
  assert_true(json_array_size(cases) >= 30);
  xlm_sampler s =
      xlm_sampler_new(a, (int64_t)json_array_size(json_object_get(json_array_get(cases, 0), "logits")));
  json_array_foreach(cases, i, j) compare(&s, j, i);
  json_array_foreach(cases, i, j) compare(&s, j, i);
  json_decref(cases);
  xlm_arena_free(a);
}

enum { N = 5, DRAWS = 20000 };
static const double p[N] = {0.1, 0.4, 0.2, 0.25, 0.05};
static const xlm_sample_options all = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static void draw(const xlm_sample_options *o, double share[N]) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_sampler s = xlm_sampler_new(a, N);
  float logits[N];
  for (int i = 0; i < N; i++) logits[i] = (float)(log(p[i]) + 7), share[i] = 0;
  for (int i = 0; i < DRAWS; i++) share[xlm_sample(&s, o, logits, NULL, 0, (i + 0.5) / DRAWS)] += 1.0 / DRAWS;
  xlm_arena_free(a);
}

static void expect(xlm_sample_options o, double x0, double x1, double x2, double x3, double x4) {
  double want[N] = {x0, x1, x2, x3, x4}, got[N];
  draw(&o, got);
  for (int i = 0; i < N; i++)
    if (fabs(got[i] - want[i]) > 1e-3) fail_msg("token %d: %g, want %g", i, got[i], want[i]);
}

static void test_draws(void **state) {
  (void)state;
  xlm_sample_options o = all;
  expect(o, 0.1, 0.4, 0.2, 0.25, 0.05);
  o.temperature = 0, expect(o, 0, 1, 0, 0, 0);
  o = all, o.top_k = 2, expect(o, 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0);
  o = all, o.top_p = 0.6, expect(o, 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0);
  o = all, o.top_p = 0, expect(o, 0, 1, 0, 0, 0);
  o = all, o.top_k = 3, o.top_p = 0.3, expect(o, 0, 1, 0, 0, 0);
  o = all, o.min_p = 0.4, expect(o, 0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0);
  o = all, o.min_p = 1, expect(o, 0, 1, 0, 0, 0);
}

// ---- many tokens, beside the definition with everything sorted ----

enum { MANY = 3001, KINDS = 5 };

typedef struct entry {
  double p;
  float x;
  int32_t token;
} entry;

static int falling(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return x->x != y->x ? (x->x < y->x) - (x->x > y->x) : x->token - y->token;
}

static float logit(int kind, int i) {
  double u = (i * 7919 % MANY + 0.5) / MANY, normal = log(u / (1 - u));
  switch (kind) {
  case 0:
    return (float)(3 * normal);
  case 1:
    return (float)(0.05 * normal);
  case 2:
    return (float)floor(2 * normal); // many are equal
  case 3:
    return (float)(-40 * fabs(normal));
  default:
    return (float)(-0.01 * i);
  }
}

// What is left, by the definition; false: top-p ends so near its bound that rounding decides.
static bool define(const xlm_sample_options *o, const float x[MANY], entry e[MANY], int *left) {
  double total = 0, before = 0;
  int n = MANY, m = 0;
  for (int i = 0; i < MANY; i++) e[i] = (entry){0, x[i], i};
  qsort(e, MANY, sizeof *e, falling);
  for (int i = 0; i < MANY; i++) e[i].p = exp(((double)e[i].x - e[0].x) / o->temperature);
  if (o->top_k && o->top_k < MANY)
    for (n = (int)o->top_k; n < MANY && e[n].x == e[o->top_k - 1].x; n++) {}
  for (int i = 0; i < n; i++) total += e[i].p;
  for (; m < n; before += e[m++].p) {
    if (o->top_p < 1 && m && fabs(before - o->top_p * total) < 1e-5 * total) return false;
    if (m && o->top_p < 1 && before >= o->top_p * total) break;
  }
  while (m > 1 && e[m - 1].p < o->min_p) m--;
  *left = m;
  return true;
}

static int compare_with_definition(xlm_sampler *s, const xlm_sample_options *o, const float x[MANY]) {
  static entry e[MANY];
  static double got[MANY];
  double sum = 0;
  int n;
  if (!define(o, x, e, &n)) return 0;
  memset(got, 0, sizeof got);
  int64_t count = xlm_sample_candidates(s, o, x, NULL, 0);
  if (count != n)
    fail_msg("k %d p %g min %g: %d tokens, not %d", (int)o->top_k, o->top_p, o->min_p, (int)count, n);
  for (int i = 0; i < n; i++) got[s->list[i].token] = s->list[i].p, sum += e[i].p;
  for (int i = 0; i < n; i++)
    if (fabs(got[e[i].token] - e[i].p / sum) > 1e-6) fail_msg("%g, not %g", got[e[i].token], e[i].p / sum);
  return 1;
}

static void test_definition(void **state) {
  (void)state;
  static const int64_t ks[] = {0, 2, 40, 2001, MANY};
  static const double ps[] = {1, 0.999, 0.9, 0.37, 0.01}, mins[] = {0, 0.03, 0.7},
                      temperatures[] = {0.3, 1, 1.7};
  static float x[MANY];
  xlm_arena *a = xlm_arena_new(0);
  xlm_sampler s = xlm_sampler_new(a, MANY);
  int compared = 0, all_cases = 0;
  for (int c = 0; c < KINDS * 5 * 5 * 3 * 3; c++, all_cases++) {
    for (int i = 0; i < MANY; i++) x[i] = logit(c % KINDS, i);
    const int d = c / KINDS;
    const xlm_sample_options o = {temperatures[d / 75], ks[d % 5], ps[d / 5 % 5], mins[d / 25 % 3], 1};
    compared += compare_with_definition(&s, &o, x);
  }
  if (compared < all_cases * 3 / 4) fail_msg("%d of %d", compared, all_cases);
  xlm_arena_free(a);
}

// The first of equal logits, wherever it stands; and a token even where nothing is a number.
static void test_likeliest(void **state) {
  (void)state;
  static float x[MANY];
  xlm_arena *a = xlm_arena_new(0);
  xlm_sampler s = xlm_sampler_new(a, MANY);
  xlm_sample_options o = all, none = all;
  o.temperature = 0, none.top_k = 40, none.top_p = 0.5, none.min_p = 0.1;
  for (int at = 0; at < MANY; at += at < 600 ? 1 : 97) {
    for (int i = 0; i < MANY; i++) x[i] = i == at || i == at + 300 ? -1.5f : -2 - (float)(i % 5);
    assert_int_equal(xlm_sample(&s, &o, x, NULL, 0, 0.5), at);
  }
  for (int i = 0; i < MANY; i++) x[i] = i == 2000 ? 3 : i == 17 ? 1 : NAN;
  assert_int_equal(xlm_sample(&s, &o, x, NULL, 0, 0.5), 2000);
  assert_int_equal(xlm_sample(&s, &all, x, NULL, 0, 0.999), 2000);
  assert_int_equal(xlm_sample(&s, &all, x, NULL, 0, 0.001), 17);
  assert_int_equal(xlm_sample(&s, &none, x, NULL, 0, 0.001), 2000);
  for (int i = 0; i < MANY; i++) x[i] = NAN;
  assert_in_range(xlm_sample(&s, &o, x, NULL, 0, 0.5), 0, MANY - 1);
  assert_in_range(xlm_sample(&s, &all, x, NULL, 0, 0.5), 0, MANY - 1);
  assert_in_range(xlm_sample(&s, &none, x, NULL, 0, 0.5), 0, MANY - 1);
  xlm_arena_free(a);
}

static void test_extremes(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_sampler three = xlm_sampler_new(a, 3), one = xlm_sampler_new(a, 1);
  const float huge[3] = {-3e38f, 3e38f, 0}, equal[3] = {1, 1, 1}, bars[3] = {-INFINITY, 0, -INFINITY};
  const int32_t outside[2] = {-1, 3};
  xlm_sample_options o = all, strict = all, cold = all;
  strict.repetition_penalty = 3, strict.top_p = 0.5;
  o.temperature = 0.7;
  cold.temperature = 1e-320;
  assert_int_equal(xlm_sample(&three, &cold, huge, NULL, 0, 0.999), 1);
  assert_int_equal(xlm_sample(&three, &cold, bars, NULL, 0, 0.999), 1);
  assert_int_equal(xlm_sample(&three, &o, huge, NULL, 0, 0.999), 1);
  assert_int_equal(xlm_sample(&three, &all, bars, NULL, 0, 0.9999999), 1);
  assert_int_equal(xlm_sample(&three, &all, equal, NULL, 0, 0.1), 0);
  assert_int_equal(xlm_sample(&three, &all, equal, NULL, 0, 0.9999999), 2);
  assert_int_equal(xlm_sample(&three, &strict, huge, outside, 2, 0.5), 1);
  assert_int_equal(xlm_sample(&one, &strict, equal, NULL, 0, 0.9999999), 0);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_distributions), cmocka_unit_test(test_draws),
                                     cmocka_unit_test(test_definition), cmocka_unit_test(test_likeliest),
                                     cmocka_unit_test(test_extremes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
