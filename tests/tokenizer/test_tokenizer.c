// Tokenizers against the libraries that their files are made for: NAME.json is a tokenizer,
// NAME.expected.json what the library says to each text of texts.json (tools/parity/make_tokenizers.py).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <pthread.h>

#include "runtime/base/file.h"
#include "runtime/tokenizer/tokenizer.h"

#define FOLDER XLM_SOURCE_DIR "/tests/tokenizer/"
#define EXPECTED ".expected.json"

typedef struct text {
  char *at;
  size_t n;
} text;

static text texts[64];
static size_t n_texts;

static json_t *load(const char *path) {
  json_error_t why;
  json_t *j = json_load_file(path, JSON_ALLOW_NUL, &why);
  if (!j) fail_msg("%s: %s", path, why.text);
  return j;
}

static xlm_tokenizer *open_tokenizer(const char *path) {
  xlm_tokenizer *t;
  xlm_error err;
  if (xlm_tokenizer_open(path, &t, &err) != XLM_OK) fail_msg("%s", err.text);
  return t;
}

static int load_texts(void **state) {
  (void)state;
  json_t *all = load(FOLDER "texts.json"), *one;
  size_t i;
  json_array_foreach(json_object_get(all, "texts"), i, one) {
    text *t = &texts[n_texts++];
    t->n = json_string_length(one);
    t->at = malloc(t->n + 1);
    memcpy(t->at, json_string_value(one), t->n + 1);
  }
  json_array_foreach(json_object_get(all, "broken"), i, one) {
    const char *hex = json_string_value(one);
    text *t = &texts[n_texts++];
    t->n = strlen(hex) / 2;
    t->at = malloc(t->n + 1);
    for (size_t k = 0; k < t->n; k++) sscanf(hex + 2 * k, "%2hhx", (unsigned char *)t->at + k);
  }
  json_decref(all);
  return n_texts > 20 ? 0 : -1;
}

static int free_texts(void **state) {
  (void)state;
  for (size_t i = 0; i < n_texts; i++) free(texts[i].at);
  return 0;
}

static void assert_ids(const char *name, size_t i, const json_t *expected, const int32_t *ids, int64_t n) {
  for (size_t k = 0; k < json_array_size(expected) || k < (size_t)n; k++) {
    json_int_t want = k < json_array_size(expected) ? json_integer_value(json_array_get(expected, k)) : -1;
    json_int_t have = k < (size_t)n ? ids[k] : -1;
    if (want != have)
      fail_msg("%s, text %zu: id %zu is %lld, not %lld", name, i, k, (long long)have, (long long)want);
  }
}

static void assert_decoded(const char *name, size_t i, const json_t *expected, const xlm_text *have) {
  if (json_string_length(expected) != have->n || memcmp(json_string_value(expected), have->data, have->n))
    fail_msg("%s, text %zu: decoded to '%s', not '%s'", name, i, have->data, json_string_value(expected));
}

static void compare(const char *name, const char *path, const json_t *expected) {
  xlm_tokenizer *t = open_tokenizer(path);
  xlm_arena *a = xlm_arena_new(0);
  xlm_tokens ids = {0};
  xlm_error err;
  const int32_t *around;
  json_t *all = json_object_get(expected, "ids"), *decoded = json_object_get(expected, "decoded");
  assert_int_equal(json_array_size(all), n_texts);
  for (int again = 0; again < 2; again++) // the second time with words remembered
    for (size_t i = 0; i < n_texts; i++) {
      ids.n = 0;
      assert_int_equal(xlm_tokenizer_encode(t, texts[i].at, texts[i].n, &ids, &err), XLM_OK);
      assert_ids(name, i, json_array_get(all, i), ids.at, ids.n);
      xlm_text out = xlm_text_new(a);
      xlm_tokenizer_decode(t, ids.at, ids.n, &out);
      assert_decoded(name, i, json_array_get(decoded, i), &out);
    }
  int n = xlm_tokenizer_before(t, &around);
  assert_ids(name, 1000, json_object_get(expected, "before"), around, n);
  n = xlm_tokenizer_behind(t, &around);
  assert_ids(name, 2000, json_object_get(expected, "behind"), around, n);
  xlm_tokens_free(&ids);
  xlm_arena_free(a);
  xlm_tokenizer_close(t);
}

static void test_ids_of_the_libraries(void **state) {
  (void)state;
  DIR *d = opendir(FOLDER);
  struct dirent *e;
  int n = 0;
  assert_non_null(d);
  while ((e = readdir(d))) {
    char path[512], of[512];
    size_t length = strlen(e->d_name);
    if (length < sizeof EXPECTED || strcmp(e->d_name + length + 1 - sizeof EXPECTED, EXPECTED)) continue;
    length -= sizeof EXPECTED - 1;
    snprintf(path, sizeof path, FOLDER "%s", e->d_name);
    json_t *expected = load(path), *file = json_object_get(expected, "file");
    if (file)
      snprintf(of, sizeof of, FOLDER "%s", json_string_value(file));
    else
      snprintf(of, sizeof of, FOLDER "%.*s.json", (int)length, e->d_name);
    compare(e->d_name, of, expected);
    json_decref(expected);
    n++;
  }
  closedir(d);
  assert_true(n > 25);
}

// A word is not split by GPT-2's pattern: its merges are those of a heap.
static void test_long_words(void **state) {
  (void)state;
  enum { N = 1 << 20 };
  xlm_tokenizer *t = open_tokenizer(FOLDER "gpt2.json");
  xlm_arena *a = xlm_arena_new(0);
  xlm_tokens ids = {0};
  xlm_error err;
  char *word = malloc(N);
  for (int i = 0; i < N; i++) word[i] = "the quick brown fox"[i * 7 % 19] | 0x41;
  assert_int_equal(xlm_tokenizer_encode(t, word, N, &ids, &err), XLM_OK);
  xlm_text out = xlm_text_new(a);
  xlm_tokenizer_decode(t, ids.at, ids.n, &out);
  assert_int_equal(out.n, N);
  assert_memory_equal(out.data, word, N);
  free(word);
  xlm_tokens_free(&ids);
  xlm_arena_free(a);
  xlm_tokenizer_close(t);
}

static void *encode_all(void *tokenizer) {
  xlm_tokens ids = {0};
  xlm_error err;
  uintptr_t sum = 0;
  for (int r = 0; r < 20; r++)
    for (size_t i = 0; i < n_texts; i++)
      if (xlm_tokenizer_encode(tokenizer, texts[i].at, texts[i].n, &ids, &err) != XLM_OK) ids.n = -1;
  for (int64_t i = 0; i < ids.n; i++) sum = sum * 31 + (uintptr_t)ids.at[i];
  xlm_tokens_free(&ids);
  return (void *)sum;
}

static void test_threads_share_a_tokenizer(void **state) {
  (void)state;
  xlm_tokenizer *t = open_tokenizer(FOLDER "steps.json");
  pthread_t thread[4];
  void *sum, *alone = encode_all(t);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, encode_all, t), 0);
  for (int i = 0; i < 4; i++) {
    pthread_join(thread[i], &sum);
    assert_ptr_equal(sum, alone);
  }
  xlm_tokenizer_close(t);
}

// Opens a variant of gpt2.json with a member replaced; the error must name the key and the value.
static void refuse(const char *section, const char *key, const char *value, const char *a, const char *b) {
  char path[] = "/tmp/xlm-test-tokenizer-XXXXXX.json";
  json_t *root = load(FOLDER "gpt2.json"), *v = json_loads(value, JSON_DECODE_ANY, NULL);
  assert_non_null(v);
  assert_int_equal(json_object_set_new(*section ? json_object_get(root, section) : root, key, v), 0);
  int fd = mkstemps(path, 5);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(json_dump_file(root, path, 0), 0);
  xlm_tokenizer *t;
  xlm_error err = {0};
  assert_int_equal(xlm_tokenizer_open(path, &t, &err), XLM_USER);
  assert_null(t);
  if (!strstr(err.text, a) || !strstr(err.text, b)) fail_msg("%s", err.text);
  json_decref(root);
  unlink(path);
}

static void test_what_is_not_supported_is_named(void **state) {
  (void)state;
  refuse("model", "type", "\"WordPiece\"", "model.type", "WordPiece");
  refuse("model", "dropout", "0.1", "model.dropout", "0.1");
  refuse("model", "merges", "[\"a b c\"]", "model.merges[0]", "a b c");
  refuse("model", "merges", "[\"a \\u4e2d\"]", "model.merges[0]", "not in the vocabulary");
  refuse("model", "merges", "3", "model.merges", "3");
  refuse("model", "vocab", "{\"a\": -1}", "model.vocab[\"a\"]", "-1");
  refuse("model", "vocab", "[]", "model.vocab", "[]");
  refuse("model", "byte_fallback", "3", "byte_fallback", "3");
  refuse("", "model", "null", "model", "tokenizer.json");
  refuse("", "normalizer", "{\"type\": \"Nmt\"}", "normalizer", "Nmt");
  refuse("", "normalizer", "7", "normalizer", "7");
  refuse("", "normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"\"}",
         "pattern", "(");
  refuse("", "pre_tokenizer", "{\"type\": \"UnicodeScripts\"}", "pre_tokenizer", "UnicodeScripts");
  refuse("", "pre_tokenizer",
         "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"Digits\"}]}",
         "pre_tokenizer", "Digits");
  refuse("", "pre_tokenizer",
         "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"[\\\\p{L}&&[^a]]\"}, \"behavior\": \"Isolated\"}",
         "&&", "class");
  refuse("", "decoder", "{\"type\": \"CTC\"}", "decoder", "CTC");
  refuse("", "post_processor", "{\"type\": \"Other\"}", "post_processor", "Other");
  refuse("", "added_tokens", "[{\"id\": \"x\"}]", "added_tokens", "x");
}

static void test_wrong_paths(void **state) {
  (void)state;
  xlm_tokenizer *t;
  xlm_error err;
  assert_int_equal(xlm_tokenizer_open("/no/such/tokenizer.json", &t, &err), XLM_USER);
  assert_int_equal(xlm_tokenizer_open("/tmp", &t, &err), XLM_USER);
  assert_non_null(strstr(err.text, "tokenizer.json"));
  assert_int_equal(xlm_tokenizer_open(FOLDER "test_tokenizer.c", &t, &err), XLM_USER);
}

// A damaged file is an error or another tokenizer, but nothing worse.
static void damage(const char *name, const char *suffix) {
  char path[64];
  static char bytes[1 << 16], broken[1 << 16];
  FILE *f = fopen(name, "rb");
  assert_non_null(f);
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  assert_true(n > 1000 && n < sizeof bytes);
  snprintf(path, sizeof path, "/tmp/xlm-test-tokenizer-XXXXXX%s", suffix);
  close(mkstemps(path, (int)strlen(suffix)));
  uint64_t random = 1;
  for (int i = 0; i < 200; i++) {
    xlm_tokenizer *t;
    xlm_tokens ids = {0};
    xlm_error err;
    memcpy(broken, bytes, n);
    for (int k = 0; k <= i % 3; k++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      broken[(random >> 33) % n] ^= (char)(1 << (random >> 20) % 8);
    }
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(broken, 1, i % 4 ? n : (random >> 33) % n, f);
    fclose(f);
    if (xlm_tokenizer_open(path, &t, &err) != XLM_OK) continue;
    for (size_t k = 0; k < n_texts; k++)
      if (xlm_tokenizer_encode(t, texts[k].at, texts[k].n, &ids, &err) != XLM_OK) break;
    xlm_tokens_free(&ids);
    xlm_tokenizer_close(t);
  }
  unlink(path);
}

static void test_damaged_files(void **state) {
  (void)state;
  damage(FOLDER "llama2.json", ".json");
  damage(FOLDER "sp_user.model", ".model");
  damage(FOLDER "sp_unigram.model", ".model");
  damage(FOLDER "small.gpt2.tiktoken", ".gpt2.tiktoken");
}

// Tables are as long as the largest rank.
static void test_a_rank_far_beyond_the_others(void **state) {
  (void)state;
  char path[] = "/tmp/xlm-test-ranks-XXXXXX.gpt2.tiktoken";
  int fd = mkstemps(path, 14);
  static const char lines[] = "IQ== 0\nIg== 1\nIw== 60000000\n";
  assert_int_equal(write(fd, lines, sizeof lines - 1), sizeof lines - 1);
  close(fd);
  xlm_tokenizer *t;
  xlm_error err = {0};
  assert_int_equal(xlm_tokenizer_open(path, &t, &err), XLM_USER);
  assert_non_null(strstr(err.text, "rank 60000000 in a file of 3: ranks count from 0"));
  unlink(path);
}

static void test_a_folder_has_a_tokenizer(void **state) {
  (void)state;
  char folder[] = "/tmp/xlm-test-tokenizer-XXXXXX", link[64];
  xlm_tokenizer *t;
  assert_non_null(mkdtemp(folder));
  snprintf(link, sizeof link, "%s/x.cl100k_base.tiktoken", folder);
  assert_int_equal(symlink(FOLDER "small.cl100k_base.tiktoken", link), 0);
  t = open_tokenizer(folder);
  assert_string_equal(xlm_tokenizer_kind(t), "byte-level BPE (tiktoken, cl100k_base)");
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_EOS), 100257);
  assert_int_equal(xlm_tokenizer_size(t), 100277);
  xlm_tokenizer_close(t);
  unlink(link);
  rmdir(folder);
  t = open_tokenizer(FOLDER "sp_llama.model");
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_BOS), 1);
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_EOS), 2);
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_UNK), 0);
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_PAD), -1);
  xlm_tokenizer_close(t);
}

// Whichever request for memory fails: one error, and nothing is left half.
static void test_memory_that_runs_out(void **state) {
  (void)state;
  bool done = false;
  for (long i = 1; !done; i++) {
    xlm_tokenizer *t;
    xlm_tokens ids = {0};
    xlm_error err;
    xlm_arena_fail_at(i);
    xlm_status status = xlm_tokenizer_open(FOLDER "steps.json", &t, &err);
    bool opened = status == XLM_OK;
    if (opened) status = xlm_tokenizer_encode(t, texts[4].at, texts[4].n, &ids, &err);
    xlm_arena_fail_at(0);
    done = status == XLM_OK;
    if (!done) {
      assert_int_equal(status, XLM_ENV);
      assert_int_equal(ids.n, 0);
      if (opened) assert_int_equal(xlm_tokenizer_encode(t, texts[4].at, texts[4].n, &ids, &err), XLM_OK);
    }
    xlm_tokens_free(&ids);
    if (opened) xlm_tokenizer_close(t);
    assert_true(i < 1000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ids_of_the_libraries),
      cmocka_unit_test(test_long_words),
      cmocka_unit_test(test_threads_share_a_tokenizer),
      cmocka_unit_test(test_what_is_not_supported_is_named),
      cmocka_unit_test(test_wrong_paths),
      cmocka_unit_test(test_damaged_files),
      cmocka_unit_test(test_a_rank_far_beyond_the_others),
      cmocka_unit_test(test_a_folder_has_a_tokenizer),
      cmocka_unit_test(test_memory_that_runs_out),
  };
  return cmocka_run_group_tests(tests, load_texts, free_texts);
}
