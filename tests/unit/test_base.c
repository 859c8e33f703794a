// runtime/base: arenas and their limits, text, numbers that read back, suggestions, status.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/dict.h"
#include "runtime/base/philox.h"
#include "runtime/base/text.h"

static xlm_arena *a;

static int setup(void **state) {
  (void)state;
  return (a = xlm_arena_new(0)) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  xlm_arena_free(a);
  return 0;
}

// ---- arena ----

static void memory_is_zero_and_aligned(void **state) {
  (void)state;
  char *last = NULL;
  for (size_t n = 0; n < 3000; n++) {
    char *p = xlm_arena_alloc(a, n);
    assert_int_equal((uintptr_t)p % 16, 0);
    assert_true(p != last);
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
    memset(p, 0xAA, n); // must not be visible to the next one
    last = p;
  }
  char *large = xlm_arena_alloc(a, (size_t)9 << 20); // larger than any block
  assert_int_equal(large[(9 << 20) - 1], 0);
}

static void arrays_grow_and_keep_what_they_hold(void **state) {
  (void)state;
  struct {
    int *at;
    uint32_t n, cap;
  } list = {0};
  xlm_arena *own = xlm_arena_new(0);
  for (int i = 0; i < 10000; i++) XLM_PUSH(own, list.at, list.n, list.cap, i);
  assert_int_equal(list.n, 10000);
  for (int i = 0; i < 10000; i++) assert_int_equal(list.at[i], i);
  assert_true(xlm_arena_used(own) < 10000 * sizeof(int) * 16); // doubling, not quadratic
  xlm_arena_free(own);
}

static void *take_until_refused(xlm_arena *limited, size_t n) {
  for (;;) xlm_arena_alloc(limited, n);
  return NULL;
}

static void a_limit_is_never_passed(void **state) {
  (void)state;
  static const size_t pieces[] = {16, 5000, 70000, 1 << 20, SIZE_MAX / 4, SIZE_MAX};
  for (volatile size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    xlm_arena *limited = xlm_arena_new(300000);
    assert_non_null(limited);
    volatile bool refused = false;
    if (XLM_ARENA_TRY(limited))
      take_until_refused(limited, pieces[i]);
    else
      refused = true;
    assert_true(refused && xlm_arena_used(limited) <= 300000);
    xlm_arena_free(limited);
  }
}

static void growth_cannot_overflow(void **state) {
  (void)state;
  xlm_arena *limited = xlm_arena_new(300000);
  volatile bool refused = false;
  if (XLM_ARENA_TRY(limited))
    xlm_arena_grow(limited, NULL, 0, SIZE_MAX / 4, 8); // 2 * SIZE_MAX wraps
  else
    refused = true;
  assert_true(refused);
  xlm_arena_free(limited);
}

static void a_refused_block_jumps_back(void **state) {
  (void)state;
  volatile int blocks = 0, refused = 0;
  for (volatile long n = 1; n <= 4; n++) {
    xlm_arena_fail_at(n);
    xlm_arena *failing = xlm_arena_new(0);
    if (!failing) {
      assert_int_equal(n, 1); // the header itself
      continue;
    }
    if (XLM_ARENA_TRY(failing)) {
      for (int i = 0; i < 3; i++) xlm_arena_alloc(failing, (size_t)5 << 20), blocks++;
    } else
      refused++;
    xlm_arena_free(failing);
  }
  xlm_arena_fail_at(0);
  assert_int_equal(refused, 3);
  assert_int_equal(blocks, 0 + 1 + 2);
}

static void children_die_first(void **state) {
  (void)state;
  xlm_arena *parent = xlm_arena_new((size_t)8 << 20);
  for (int i = 0; i < 1000; i++) { // what one gives back is there for the next
    xlm_arena *child = xlm_arena_child(parent), *inner = xlm_arena_child(child);
    memset(xlm_arena_alloc(child, (size_t)1 << 20), 1, (size_t)1 << 20);
    char *p = xlm_arena_alloc(inner, (size_t)2 << 20);
    assert_int_equal(p[0] | p[((size_t)2 << 20) - 1], 0);
    assert_true(xlm_arena_used(parent) >= (size_t)3 << 20);
    if (i % 2) xlm_arena_free(inner); // otherwise with its parent
    xlm_arena_free(child);
  }
  assert_true(xlm_arena_used(parent) < (size_t)2 << 20);
  (void)xlm_arena_alloc(xlm_arena_child(parent), 100); // one that the parent ends
  xlm_arena_free(parent);
}

static void a_child_keeps_its_parents_limit(void **state) {
  (void)state;
  volatile bool refused = false;
  xlm_arena *parent = xlm_arena_new(300000);
  if (XLM_ARENA_TRY(parent))
    take_until_refused(xlm_arena_child(parent), 1000);
  else
    refused = true;
  assert_true(refused && xlm_arena_used(parent) <= 300000);
  xlm_arena_free(parent);
}

static void strings_in_arenas(void **state) {
  (void)state;
  assert_string_equal(xlm_arena_strdup(a, "text"), "text");
  assert_string_equal(xlm_arena_strndup(a, "text and more", 4), "text");
  char *x = xlm_arena_printf(a, "%0500d", 7);
  assert_int_equal(strlen(x), 500);
  assert_string_equal(xlm_arena_printf(a, "%s", ""), "");
}

static void counts_of_things(void **state) {
  (void)state;
  assert_string_equal(xlm_text_plural(a, 1, "microbatch"), "1 microbatch");
  assert_string_equal(xlm_text_plural(a, 0, "microbatch"), "0 microbatches");
  assert_string_equal(xlm_text_plural(a, 2, "axis"), "2 axises"); // regular words only
  assert_string_equal(xlm_text_plural(a, 16384, "rank"), "16,384 ranks");
  assert_string_equal(xlm_text_plural(a, 2, "h"), "2 hs");
}

// ---- text ----

static void text_grows(void **state) {
  (void)state;
  xlm_text t = xlm_text_new(a);
  assert_string_equal(t.data, "");
  for (int i = 0; i < 1000; i++) xlm_text_printf(&t, "%d,", i);
  assert_int_equal(t.n, strlen(t.data));
  assert_int_equal(t.n, 10 * 2 + 90 * 3 + 900 * 4);
  xlm_text u = xlm_text_new(a);
  xlm_text_add(&u, "ab\nd\xc3\xa9");
  xlm_text_pad(&u, 5);
  assert_string_equal(u.data, "ab\nd\xc3\xa9   "); // five characters, not bytes
  xlm_text_pad(&u, 2);
  assert_string_equal(u.data, "ab\nd\xc3\xa9   ");
}

static const char *written(double x) {
  xlm_text t = xlm_text_new(a);
  xlm_text_double(&t, x);
  return t.data;
}

static void doubles_read_back(void **state) {
  (void)state;
  static const struct {
    double x;
    const char *text;
  } shortest[] = {
      {0.1, "0.1"}, {1, "1"},       {1e-5, "1e-05"},   {-2.5, "-2.5"},      {1e22, "1e+22"},
      {0, "0"},     {100, "1e+02"}, {INFINITY, "inf"}, {-INFINITY, "-inf"}, {1.0 / 3, "0.3333333333333333"}};
  for (size_t i = 0; i < sizeof shortest / sizeof *shortest; i++)
    assert_string_equal(written(shortest[i].x), shortest[i].text);
  assert_true(isnan(strtod(written(NAN), NULL)));
  static const double limits[] = {DBL_MAX, DBL_MIN, DBL_EPSILON, 5e-324, -0.0};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    double back = strtod(written(limits[i]), NULL);
    assert_memory_equal(&back, &limits[i], sizeof back);
  }
  xlm_philox key = xlm_philox_key(1, 2);
  for (uint64_t i = 0; i < 20000; i++) { // any bits
    uint32_t draw[4];
    double x, back;
    xlm_philox_draw(key, 0, i, draw);
    memcpy(&x, draw, sizeof x);
    if (isnan(x)) continue;
    back = strtod(written(x), NULL);
    assert_memory_equal(&back, &x, sizeof x);
  }
}

static void numbers_for_people(void **state) {
  (void)state;
  assert_string_equal(xlm_text_bytes(a, 0), "0 B");
  assert_string_equal(xlm_text_bytes(a, 1023), "1023 B");
  assert_string_equal(xlm_text_bytes(a, 1024), "1.00 KiB");
  assert_string_equal(xlm_text_bytes(a, (uint64_t)5 << 30), "5.00 GiB");
  assert_string_equal(xlm_text_bytes(a, (1 << 20) - 1), "1.00 MiB"); // never 1024.00 KiB
  assert_string_equal(xlm_text_count(a, 124e6), "124 M");
  assert_string_equal(xlm_text_count(a, 46.7e9), "46.7 B");
  assert_string_equal(xlm_text_count(a, 999.96e3), "1 M"); // never 1e+03 k
  assert_string_equal(xlm_text_count(a, 999.885e6), "1 B");
  assert_string_equal(xlm_text_count(a, 999.4e6), "999 M");
  assert_string_equal(xlm_text_thousands(a, 13120), "13,120");
  assert_string_equal(xlm_text_thousands(a, 999), "999");
  assert_string_equal(xlm_text_thousands(a, -1234567), "-1,234,567");
  assert_string_equal(xlm_text_thousands(a, INT64_MIN), "-9,223,372,036,854,775,808");
}

static void distances(void **state) {
  (void)state;
  static const struct {
    const char *a, *b;
    int distance;
  } cases[] = {{"", "", 0},      {"abc", "abc", 0},        {"abc", "abd", 1},
               {"abc", "ab", 1}, {"ab", "abc", 1},         {"abcd", "abdc", 1},
               {"", "xyz", 3},   {"kitten", "sitting", 3}, {"ab", "ba", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(xlm_text_distance(cases[i].a, cases[i].b), cases[i].distance);
    assert_int_equal(xlm_text_distance(cases[i].b, cases[i].a), cases[i].distance);
  }
  char long_name[5000];
  memset(long_name, 'x', sizeof long_name);
  long_name[sizeof long_name - 1] = 0;
  assert_true(xlm_text_distance(long_name, "x") >= 62); // capped, not a crash
}

static void nearest_names(void **state) {
  (void)state;
  static const char *const names[] = {"hidden", "heads", "layers", "vocab", "w1", "w2"};
  const size_t n = sizeof names / sizeof *names;
  assert_string_equal(xlm_text_nearest("hiden", names, n), "hidden");
  assert_string_equal(xlm_text_nearest("laeyrs", names, n), "layers");
  assert_string_equal(xlm_text_nearest("head", names, n), "heads");
  assert_string_equal(xlm_text_nearest("w3", names, n), "w1"); // the first of equals
  assert_null(xlm_text_nearest("temperature", names, n));
  assert_null(xlm_text_nearest("x", names, 0));
  assert_null(xlm_text_nearest("k", (const char *const[]){"x"}, 1));
}

// ---- status ----

static void errors_gather_their_context(void **state) {
  (void)state;
  xlm_error err;
  assert_int_equal(xlm_fail(&err, XLM_USER, "no file '%s'", "x"), XLM_USER);
  assert_int_equal(xlm_fail_in(&err, "reading %d", 3), XLM_USER);
  assert_string_equal(err.text, "reading 3: no file 'x'");
  assert_int_equal(xlm_fail(NULL, XLM_ENV, "nobody listens"), XLM_ENV);
  char *big = xlm_arena_printf(a, "%05000d", 1);
  xlm_fail(&err, XLM_ENV, "%s", big);
  xlm_fail_in(&err, "%s", big); // cut, never written past the end
  assert_true(strlen(err.text) < sizeof err.text);
}

static void dict_keeps_order(void **state) {
  (void)state;
  xlm_dict d = {0};
  assert_null(xlm_dict_get(&d, "none"));
  for (int round = 0; round < 2; round++) // the second time: replaced
    for (int i = 0; i < 1000; i++)
      xlm_dict_put(a, &d, xlm_arena_printf(a, "name.%d", i), (void *)(uintptr_t)(i + 1 + round));
  assert_int_equal(d.n, 1000);
  for (int i = 0; i < 1000; i++) {
    assert_string_equal(d.at[i].key, xlm_arena_printf(a, "name.%d", i));
    assert_int_equal((uintptr_t)xlm_dict_get(&d, d.at[i].key), i + 2);
  }
  assert_null(xlm_dict_get(&d, "name.1000"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_zero_and_aligned),
                                     cmocka_unit_test(dict_keeps_order),
                                     cmocka_unit_test(arrays_grow_and_keep_what_they_hold),
                                     cmocka_unit_test(a_limit_is_never_passed),
                                     cmocka_unit_test(growth_cannot_overflow),
                                     cmocka_unit_test(a_refused_block_jumps_back),
                                     cmocka_unit_test(children_die_first),
                                     cmocka_unit_test(a_child_keeps_its_parents_limit),
                                     cmocka_unit_test(strings_in_arenas),
                                     cmocka_unit_test(counts_of_things),
                                     cmocka_unit_test(text_grows),
                                     cmocka_unit_test(doubles_read_back),
                                     cmocka_unit_test(numbers_for_people),
                                     cmocka_unit_test(distances),
                                     cmocka_unit_test(nearest_names),
                                     cmocka_unit_test(errors_gather_their_context)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
