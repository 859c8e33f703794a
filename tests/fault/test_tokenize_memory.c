// Memory refused at every request of xlm_tokenize, one after another: a clear error, nothing leaked, and the
// next call makes the tokens that it would have made at once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/tokenize/tokenize.h"
#include "tests/fault/malloc_hook.h"
#include "tests/train/scratch.h"

static char paths[4][128];
static const char *const corpus[] = {paths[0], paths[1], paths[2], paths[3]};
static xlm_tokenizer *tokenizer;

static void put_corpus(int i, const char *name, const void *data, size_t n) {
  snprintf(paths[i], sizeof paths[i], "%s/%s", root, name);
  FILE *f = fopen(paths[i], "wb");
  assert_true(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

static void make_corpus(void) {
  static const char lines[] = "{\"text\": \"one document\"}\n{\"text\": \"and another, with \\u00e9\"}\n";
  char packed[512];
  put_corpus(0, "a.jsonl", lines, sizeof lines - 1);
  put_corpus(1, "b.zst", packed,
      ZSTD_compress(packed, sizeof packed, lines, sizeof lines - 1, 1)); // no name says lines
  put_corpus(2, "c.gz", "", 0);
  gzFile z = gzopen(paths[2], "wb");
  assert_true(z && gzwrite(z, lines, sizeof lines - 1) > 0 && gzclose(z) == Z_OK);
  put_corpus(3, "d.txt", "a text", 6);
}

static xlm_status tokenize(const char *name, xlm_error *err) {
  char prefix[128];
  snprintf(prefix, sizeof prefix, "%s/%s", root, name);
  xlm_tokenize_options o = {.files = corpus,
                            .n_files = 4,
                            .tokenizer = tokenizer,
                            .end = 0,
                            .prefix = prefix,
                            .shard_tokens = 20,
                            .threads = 2,
                            .sync_seconds = 1e-9};
  xlm_tokenize_result r;
  xlm_status s = xlm_fail(err, XLM_ENV, "no memory");
  xlm_arena *a = xlm_arena_new(0);
  if (a && XLM_ARENA_TRY(a)) s = xlm_tokenize(&o, a, &r, err);
  xlm_arena_free(a);
  return s;
}

static uint64_t hash_of(const char *name) {
  static const char *const ends[] = {"-00000.bin", "-00000.idx", "-00001.bin", "-00001.idx"};
  uint64_t sum = 0;
  for (int i = 0; i < 4; i++) {
    char path[160];
    uint64_t h;
    snprintf(path, sizeof path, "%s/%s%s", root, name, ends[i]);
    assert_int_equal(xlm_file_hash(path, &h, NULL), XLM_OK);
    sum = 31 * sum + h;
  }
  return sum;
}

static void test_memory(void **state) {
  (void)state;
  xlm_error err = {0};
  if (!MALLOC_HOOK) skip();
  make_corpus();
  assert_int_equal(xlm_tokenizer_open(XLM_SOURCE_DIR "/tests/tokenizer/gpt2.json", &tokenizer, &err), XLM_OK);
  if (tokenize("whole", &err)) fail_msg("%s", err.text);
  uint64_t whole = hash_of("whole");
  long n = 1, failures = 0, folder = 0;
  for (bool refused = true; refused; n++) {
    char name[32];
    snprintf(name, sizeof name, "f%ld", folder);
    long before = atomic_load(&hook_live);
    atomic_store(&hook_countdown, n);
    xlm_status s = tokenize(name, &err);
    refused = atomic_load(&hook_countdown) <= 0;
    atomic_store(&hook_countdown, 0);
    failures += s != XLM_OK;
    if (atomic_load(&hook_live) != before)
      fail_msg("request %ld: %ld blocks leak", n, atomic_load(&hook_live) - before);
    if (s != XLM_OK && s != XLM_ENV) fail_msg("request %ld: taken for a mistake: %s", n, err.text);
    if (s != XLM_OK && n % 16) continue; // several failures in a row, then a call that ends
    folder++;
    if (tokenize(name, &err)) fail_msg("after request %ld: %s", n, err.text);
    assert_true(hash_of(name) == whole);
  }
  print_message("%ld requests, %ld failures\n", n, failures);
  if (failures < 50) fail_msg("only %ld failures", failures);
  xlm_tokenizer_close(tokenizer);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
