// Samples of token streams: the split, their order, documents and places in them, made-up tokens, mixtures.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/data/data.h"
#include "tests/train/open_data.h"
#include "tests/train/scratch.h"

static void test_permutation(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 2, 3, 5, 16, 17, 1000, 4097};
  static unsigned char seen[4097];
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    memset(seen, 0, sizeof seen);
    uint64_t fixed = 0;
    for (uint64_t i = 0; i < sizes[k]; i++) {
      uint64_t to = xlm_data_permute(sizes[k], 42, i);
      assert_true(to < sizes[k]);
      assert_false(seen[to]);
      seen[to] = 1;
      fixed += to == i;
    }
    if (sizes[k] >= 16) assert_true(fixed < sizes[k] / 2);
  }
  assert_true(xlm_data_permute((uint64_t)1 << 40, 1, 5) < (uint64_t)1 << 40);
}

// Within one epoch the windows cover (nearly) the whole part once; epochs differ; the order depends on the
// seed alone.
static void test_samples(void **state) {
  (void)state;
  enum { N = 4001, SEQ = 20 };
  static unsigned char text[N];
  for (int i = 0; i < N; i++) text[i] = (unsigned char)(1 + i % 199);
  xlm_data *d = open_as(put("s.txt", text, N), (xlm_data_options){.vocab = 256});
  xlm_data_part train, valid;
  xlm_data_split(d, 0.1, &train, &valid);
  assert_int_equal(train.end, 3601);
  assert_int_equal(valid.begin, 3601), assert_int_equal(valid.end, N);
  xlm_samples s, other;
  assert_int_equal(xlm_samples_open(train, SEQ, 7, "training", &s, NULL), XLM_OK);
  assert_int_equal(xlm_samples_open(train, SEQ, 8, "training", &other, NULL), XLM_OK);
  assert_int_equal(s.n, 180);
  int32_t a[SEQ + 1], b[SEQ + 1];
  int same_seed = 0, same_epoch = 0, count[256] = {0};
  for (int64_t i = 0; i < s.n - 1; i++) {
    assert_int_equal(xlm_samples_shuffled(&s, i, a, NULL), XLM_OK);
    for (int j = 0; j < SEQ; j++) {
      count[a[j]]++;
      assert_int_equal(a[j + 1], a[j] % 199 + 1);
    }
    assert_int_equal(xlm_samples_shuffled(&other, i, b, NULL), XLM_OK);
    same_seed += !memcmp(a, b, sizeof a);
    assert_int_equal(xlm_samples_shuffled(&s, i + s.n - 1, b, NULL), XLM_OK);
    same_epoch += !memcmp(a, b, sizeof a);
  }
  for (int t = 1; t <= 199; t++) assert_in_range(count[t], 17, 19);
  assert_true(same_seed < 30 && same_epoch < 30);
  assert_int_equal(xlm_samples_window(&s, 179, a, NULL), XLM_OK);
  assert_int_equal(a[0], text[179 * SEQ]);
  xlm_error err = {0};
  assert_int_equal(xlm_samples_open(valid, 400, 7, "validation", &s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "validation data has 400 tokens"));
  xlm_data_close(d);
}

// Numbers of documents and places in them, from the token that ends one.
static void test_documents(void **state) {
  (void)state;
  enum { WINDOW = 6 };
  static const uint16_t tokens[] = {5, 9, 5, 5, 9, 9, 5, 5, 5, 5, 5, 5, 5};
  static const int32_t want[3 * WINDOW] = {5, 9, 5, 5, 9, 9, 0, 0, 1, 1, 1, 2, 0, 1, 0, 1, 2, 0};
  const xlm_field fields[] = {
      {.name = "tokens", .dtype = XLM_I32, .rank = 1, .shape = {5}, .n = 5},
      {.name = "documents", .dtype = XLM_I32, .rank = 1, .shape = {5}, .bound = 2, .n = 5},
      {.name = "image", .dtype = XLM_F32, .n = 1}};
  int32_t got[3 * WINDOW];
  xlm_samples s;
  xlm_error err;
  xlm_field f;
  const char *path = put("documents.bin", tokens, sizeof tokens);
  xlm_data *d = open_as(path, (xlm_data_options){.fields = fields, .n_fields = 2});
  assert_string_equal(xlm_data_lacks(d), "documents"); // nothing says which token it is
  xlm_data_close(d);
  d = open_as(path, (xlm_data_options){.fields = fields, .n_fields = 3, .has_end = true, .end = 9});
  assert_string_equal(xlm_data_lacks(d), "image");
  xlm_data_close(d);
  d = open_as(path, (xlm_data_options){.fields = fields, .n_fields = 2, .has_end = true, .end = 9});
  assert_null(xlm_data_lacks(d));
  assert_int_equal(
      xlm_samples_open((xlm_data_part){d, 0, xlm_data_tokens(d)}, WINDOW - 1, 3, "all", &s, &err), XLM_OK);
  assert_int_equal(s.cells, 3 * WINDOW);
  assert_true(xlm_samples_field(&s, "positions", &f) && f.first == 2 * WINDOW);
  assert_int_equal(xlm_samples_window(&s, 0, got, &err),
                   XLM_OK); // the third document is behind the first 5 tokens
  assert_memory_equal(got, want, sizeof want);
  xlm_data_close(d);
  xlm_field few = fields[1];
  few.bound = 1;
  d = open_as(path, (xlm_data_options){.fields = &few, .n_fields = 1, .has_end = true, .end = 9});
  assert_int_equal(
      xlm_samples_open((xlm_data_part){d, 0, xlm_data_tokens(d)}, WINDOW - 1, 3, "all", &s, &err), XLM_OK);
  assert_int_equal(xlm_samples_window(&s, 0, got, &err), XLM_USER);
  assert_non_null(strstr(err.text, "1 in `documents`, and the model's input takes 0 to 0"));
  xlm_data_close(d);
}

static void test_synthetic(void **state) {
  (void)state;
  xlm_data *d;
  assert_int_equal(xlm_data_synthetic(10000, (xlm_data_options){.vocab = 50}, 3, &d, NULL), XLM_OK);
  static int32_t all[10000], some[100];
  assert_int_equal(xlm_data_read(d, 0, 10000, all, NULL), XLM_OK);
  for (int64_t at = 0; at + 100 <= 10000; at += 37) {
    assert_int_equal(xlm_data_read(d, at, 100, some, NULL), XLM_OK);
    assert_memory_equal(some, all + at, sizeof some);
  }
  static int follows[50][50];
  for (int i = 1; i < 10000; i++) {
    assert_in_range(all[i], 0, 49);
    follows[all[i - 1]][all[i]]++;
  }
  int best = 0;
  for (int i = 0; i < 50; i++) {
    int most = 0;
    for (int j = 0; j < 50; j++) most = follows[i][j] > most ? follows[i][j] : most;
    best += most;
  }
  assert_in_range(best, 8000, 9500); // predictable, but not entirely
  xlm_data_close(d);
}

// Mixtures: shares to within 1 after every sample and exact after a period, every sample of a source once in
// its epoch, and the order of samples that the source has by itself.
static void check_mixture(const double *weights, int n, int64_t period) {
  enum { MOST = 5, SEQ = 4, TOKENS = 163 };
  xlm_arena *a = xlm_arena_new(0);
  xlm_data *data[MOST];
  xlm_samples sources[MOST], mixed;
  int64_t used[MOST] = {0};
  double sum = 0;
  xlm_error err = {0};
  assert_non_null(a);
  for (int k = 0; k < n; k++) {
    xlm_data_options o = {.vocab = 1000};
    sum += weights[k];
    assert_int_equal(xlm_data_synthetic(TOKENS, o, (uint64_t)k + 1, &data[k], &err), XLM_OK);
    xlm_data_part all = {data[k], 0, TOKENS};
    assert_int_equal(xlm_samples_open(all, SEQ, 7, "training", &sources[k], &err), XLM_OK);
  }
  assert_int_equal(xlm_samples_mix(a, sources, weights, n, &mixed, &err), XLM_OK);
  assert_int_equal(xlm_samples_sources(&mixed), n);
  int64_t steps = period ? 2 * period : 2000;
  for (int64_t i = 0; i < steps; i++) {
    int32_t got[SEQ + 1], want[SEQ + 1];
    int hit = -1;
    for (int k = 0; k < n && hit < 0; k++) {
      int64_t all, now = xlm_samples_drawn(&mixed, k, i + 1, &all);
      assert_int_equal(all, sources[k].n);
      if (now == used[k]) continue;
      assert_int_equal(now, used[k] + 1);
      hit = k;
    }
    assert_true(hit >= 0);
    if (i < 500) {
      assert_int_equal(xlm_samples_shuffled(&mixed, i, got, &err), XLM_OK);
      assert_int_equal(xlm_samples_shuffled(&sources[hit], used[hit], want, &err), XLM_OK);
      assert_memory_equal(got, want, sizeof got);
    }
    used[hit]++;
    for (int k = 0; k < n; k++) {
      double share = weights[k] / sum * (double)(i + 1);
      assert_true((double)used[k] > share - 1.1 && (double)used[k] < share + 1.1);
      if (period && i + 1 == period) assert_int_equal(used[k], (int64_t)(share + 0.5));
    }
  }
  for (int k = 0; k < n; k++) xlm_data_close(data[k]);
  xlm_arena_free(a);
}

static void test_mixture(void **state) {
  (void)state;
  check_mixture((double[]){0.7, 0.3}, 2, 10);
  check_mixture((double[]){2, 1}, 2, 3);
  check_mixture((double[]){0.5, 0.25, 0.125, 0.0625, 0.0625}, 5, 16);
  check_mixture((double[]){0.001, 0.998, 0.001}, 3, 1000);
  check_mixture((double[]){7, 1, 1, 1, 1}, 5, 11);
  check_mixture((double[]){1, 3.14159265358979, 2.71828182845905}, 3, 0); // no period: shares are rounded
  check_mixture((double[]){1}, 1, 1);
  srand(1);
  for (int trial = 0; trial < 30; trial++) {
    double weights[5];
    int64_t sum = 0;
    int n = 2 + rand() % 4;
    for (int k = 0; k < n; k++) weights[k] = 1 + rand() % 60, sum += (int64_t)weights[k];
    check_mixture(weights, n, sum);
  }
}

// In order, for validation: every source from its first window on, none beyond its last.
static void test_mixture_in_order(void **state) {
  (void)state;
  enum { SEQ = 4 };
  xlm_arena *a = xlm_arena_new(0);
  xlm_data *data[2];
  xlm_samples sources[2], mixed;
  int64_t all;
  for (int k = 0; k < 2; k++) {
    assert_int_equal(xlm_data_synthetic(k ? 21 : 401, (xlm_data_options){.vocab = 9}, 1, &data[k], NULL), XLM_OK);
    xlm_data_part part = {data[k], 0, xlm_data_tokens(data[k])};
    assert_int_equal(xlm_samples_open(part, SEQ, 7, "validation", &sources[k], NULL), XLM_OK);
  }
  assert_int_equal(sources[1].n, 5);
  assert_int_equal(xlm_samples_mix(a, sources, (double[]){3, 1}, 2, &mixed, NULL), XLM_OK);
  assert_int_equal(xlm_samples_drawn(&mixed, 1, mixed.n, &all), 5);
  assert_int_equal(xlm_samples_drawn(&mixed, 1, mixed.n + 1, &all), 6);
  int32_t got[SEQ + 1];
  for (int64_t i = 0; i < mixed.n; i++) assert_int_equal(xlm_samples_window(&mixed, i, got, NULL), XLM_OK);
  for (int k = 0; k < 2; k++) xlm_data_close(data[k]);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_permutation),
      cmocka_unit_test(test_samples),
      cmocka_unit_test(test_documents),
      cmocka_unit_test(test_synthetic),
      cmocka_unit_test(test_mixture),
      cmocka_unit_test(test_mixture_in_order),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
