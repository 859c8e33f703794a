// Token streams: every file format, hostile files, folders, the split, and the order of samples.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/data/data.h"

static char root[64];

static const char *in_root(const char *name) {
  static char paths[8][256];
  static int next;
  char *p = paths[next++ % 8];
  snprintf(p, sizeof paths[0], "%s/%s", root, name);
  return p;
}

static const char *put(const char *name, const void *data, size_t n) {
  const char *path = in_root(name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
  return path;
}

static int make_root(void **state) {
  (void)state;
  strcpy(root, "/tmp/xlm-test-data-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", root);
  return system(command);
}

static xlm_data *open_one(const char *path, int64_t vocab) {
  xlm_data *d;
  xlm_error err = {0};
  if (xlm_data_open(&path, 1, vocab, &d, &err)) fail_msg("%s", err.text);
  return d;
}

static void expect_refused(const char *path, const char *words) {
  xlm_data *d;
  xlm_error err = {0};
  assert_int_equal(xlm_data_open(&path, 1, 0, &d, &err), XLM_USER);
  assert_null(d);
  if (!strstr(err.text, words)) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void expect_tokens(const char *path, const int32_t *want, int n) {
  xlm_data *d = open_one(path, 0);
  int32_t got[64];
  assert_int_equal(xlm_data_tokens(d), n);
  assert_int_equal(xlm_data_read(d, 0, n, got, NULL), XLM_OK);
  assert_memory_equal(got, want, sizeof *want * (size_t)n);
  assert_int_equal(xlm_data_read(d, n - 1, 1, got, NULL), XLM_OK);
  assert_int_equal(got[0], want[n - 1]);
  xlm_data_close(d);
}

// A little-endian byte string under construction.
typedef struct bytes {
  unsigned char at[2048];
  size_t n;
} bytes;

static void add(bytes *b, uint64_t v, int n) {
  for (int i = 0; i < n; i++) b->at[b->n++] = (unsigned char)(v >> (8 * i));
}

static void add_text(bytes *b, const char *s, size_t n) {
  memcpy(b->at + b->n, s, n);
  b->n += n;
}

static const int32_t ids[5] = {7, 300, 65535, 0, 12};

static bytes litpkds(int code, int size, uint64_t count) {
  bytes b = {0};
  add_text(&b, "LITPKDS", 7);
  add(&b, 1, 8), add(&b, (uint64_t)code, 1), add(&b, count, 8);
  for (int i = 0; i < 5; i++) add(&b, (uint64_t)ids[i], size);
  return b;
}

static void test_litpkds(void **state) {
  (void)state;
  bytes b = litpkds(8, 2, 5);
  expect_tokens(put("a.bin", b.at, b.n), ids, 5);
  b = litpkds(4, 4, 5);
  expect_tokens(put("b.bin", b.at, b.n), ids, 5);
  b = litpkds(5, 8, 5);
  expect_tokens(put("noname", b.at, b.n), ids, 5);
  b = litpkds(8, 2, 6);
  expect_refused(put("c.bin", b.at, b.n), "cut short");
  b = litpkds(8, 2, UINT64_MAX);
  expect_refused(put("c.bin", b.at, b.n), "cut short");
  b = litpkds(6, 4, 5);
  expect_refused(put("c.bin", b.at, b.n), "not token ids");
  b.at[7] = 9;
  expect_refused(put("c.bin", b.at, b.n), "version 9");
}

static void test_llmc(void **state) {
  (void)state;
  bytes b = {0};
  add(&b, 20240520, 4), add(&b, 1, 4), add(&b, 5, 4);
  b.n = 1024;
  for (int i = 0; i < 5; i++) add(&b, (uint64_t)ids[i], 2);
  expect_tokens(put("l.bin", b.at, b.n), ids, 5);
  expect_refused(put("l.bin", b.at, b.n - 1), "cut short");
  b = (bytes){0};
  add(&b, 20240801, 4), add(&b, 7, 4), add(&b, 5, 4);
  b.n = 1024;
  for (int i = 0; i < 5; i++) add(&b, (uint64_t)ids[i], 4);
  expect_tokens(put("l.bin", b.at, b.n), ids, 5);
}

static void test_flat(void **state) {
  (void)state;
  bytes b = {0};
  for (int i = 0; i < 5; i++) add(&b, (uint64_t)ids[i], 2);
  expect_tokens(put("n.bin", b.at, b.n), ids, 5);
  expect_refused(put("n.bin", b.at, b.n - 1), "16-bit");
}

static void write_megatron(uint64_t second_at, uint64_t sequences) {
  bytes bin = {0}, idx = {0};
  for (int i = 0; i < 5; i++) add(&bin, (uint64_t)ids[i], 2);
  add_text(&idx, "MMIDIDX\0\0", 9);
  add(&idx, 1, 8), add(&idx, 8, 1), add(&idx, sequences, 8), add(&idx, 3, 8);
  add(&idx, 3, 4), add(&idx, 2, 4);
  add(&idx, 0, 8), add(&idx, second_at, 8);
  add(&idx, 0, 8), add(&idx, 1, 8), add(&idx, 2, 8);
  put("m.bin", bin.at, bin.n);
  put("m.idx", idx.at, idx.n);
}

static void test_megatron(void **state) {
  (void)state;
  write_megatron(6, 2);
  expect_tokens(in_root("m"), ids, 5);
  expect_tokens(in_root("m.bin"), ids, 5);
  expect_tokens(in_root("m.idx"), ids, 5);
  const char *both[] = {in_root("m.bin"), in_root("m.idx")};
  xlm_data *d;
  assert_int_equal(xlm_data_open(both, 2, 0, &d, NULL), XLM_OK);
  assert_int_equal(xlm_data_tokens(d), 5);
  xlm_data_close(d);
  write_megatron(0, 2); // the second sequence lies over the first
  expect_tokens(in_root("m"), (int32_t[]){7, 300, 65535, 7, 300}, 5);
  write_megatron(8, 2);
  expect_refused(in_root("m"), "outside the file");
  write_megatron(6, UINT64_MAX / 3);
  expect_refused(in_root("m"), "cut short");
}

static void test_text_folder(void **state) {
  (void)state;
  mkdir(in_root("t"), 0777), mkdir(in_root("t/b"), 0777), mkdir(in_root("t/.git"), 0777);
  put("t/c.txt", "C\n", 2), put("t/a.md", "AA", 2), put("t/b/x.c", "X", 1);
  put("t/.hidden", "H", 1), put("t/.git/config", "G", 1), put("t/picture", "P\0P", 3), put("t/empty", "", 0);
  put("t/tool.bin", "\177ELF\1\2\3\4", 8);
  expect_tokens(in_root("t"), (int32_t[]){'A', 'A', 0, 'X', 0, 'C', '\n'}, 7);
  expect_tokens(in_root("t/"), (int32_t[]){'A', 'A', 0, 'X', 0, 'C', '\n'}, 7);
  put("t/b/shard.bin", "\1\0\2\0", 4); // token files win
  expect_tokens(in_root("t"), (int32_t[]){1, 2}, 2);
  expect_refused(in_root("t/.git/missing"), "there is no data file");
  expect_refused(put("void.txt", "", 0), "empty");
  mkdir(in_root("e"), 0777);
  expect_refused(in_root("e"), "no text and no token file");
  const char *mixed[] = {in_root("t/c.txt"), in_root("t/b/shard.bin")};
  xlm_data *d;
  xlm_error err = {0};
  assert_int_equal(xlm_data_open(mixed, 2, 0, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "one kind"));
}

static void test_vocabulary(void **state) {
  (void)state;
  bytes b = {0};
  for (int i = 0; i < 5; i++) add(&b, (uint64_t)ids[i], 2);
  xlm_data *d = open_one(put("v.bin", b.at, b.n), 301);
  int32_t got[5];
  xlm_error err = {0};
  assert_int_equal(xlm_data_read(d, 0, 2, got, &err), XLM_OK);
  assert_int_equal(xlm_data_read(d, 0, 3, got, &err), XLM_USER);
  assert_non_null(strstr(err.text, "v.bin' holds token id 65535 at byte 4"));
  xlm_data_close(d);
  b = litpkds(4, 4, 5);
  memset(b.at + 24, 0xFF, 4);
  d = open_one(put("neg.bin", b.at, b.n), 0);
  assert_int_equal(xlm_data_read(d, 0, 1, got, &err), XLM_USER);
  assert_non_null(strstr(err.text, "token id -1 at byte 24"));
  xlm_data_close(d);
}

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
  xlm_data *d = open_one(put("s.txt", text, N), 256);
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

static void test_synthetic(void **state) {
  (void)state;
  xlm_data *d;
  assert_int_equal(xlm_data_synthetic(10000, 50, 3, &d, NULL), XLM_OK);
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
  assert_in_range(best, 8000, 9500); // predictable, but not quite
  xlm_data_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_litpkds),     cmocka_unit_test(test_llmc),
      cmocka_unit_test(test_flat),        cmocka_unit_test(test_megatron),
      cmocka_unit_test(test_text_folder), cmocka_unit_test(test_vocabulary),
      cmocka_unit_test(test_permutation), cmocka_unit_test(test_samples),
      cmocka_unit_test(test_synthetic),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
