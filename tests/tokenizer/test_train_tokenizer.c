// Training of a BPE vocabulary: the files in this folder were trained by Hugging Face's `tokenizers` on
// texts.json, and must come out again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/train.h"

#define FOLDER XLM_SOURCE_DIR "/tests/tokenizer/"

static char folder[] = "/tmp/xlm-test-train-XXXXXX", path[64];

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"};
  for (int i = 0; i < 3; i++) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", folder, names[i]);
    unlink(name);
  }
  return rmdir(folder);
}

static json_t *load(const char *name) {
  json_error_t why;
  json_t *j = json_load_file(name, JSON_ALLOW_NUL, &why);
  if (!j) fail_msg("%s: %s", name, why.text);
  return j;
}

// Trains on texts.json with some counters and writes the result.
static void train(const char *pattern, const char *const *specials, int n_specials, int32_t size,
                  int counters) {
  json_t *all = load(FOLDER "texts.json"), *text;
  xlm_bpe_counter *c[3];
  xlm_bpe_trained *t;
  xlm_error err;
  size_t i;
  for (int k = 0; k < counters; k++) assert_int_equal(xlm_bpe_counter_new(pattern, &c[k], &err), XLM_OK);
  json_array_foreach(json_object_get(all, "texts"), i, text) assert_int_equal(
      xlm_bpe_count(c[i % (size_t)counters], json_string_value(text), json_string_length(text), &err),
      XLM_OK);
  xlm_bpe_options o = {.size = size, .specials = specials, .n_specials = n_specials};
  assert_int_equal(xlm_bpe_train((const xlm_bpe_counter *const *)c, counters, &o, &t, &err), XLM_OK);
  assert_true(xlm_bpe_trained_words(t) > 100);
  if (xlm_bpe_write(t, path, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_bpe_trained_free(t);
  for (int k = 0; k < counters; k++) xlm_bpe_counter_free(c[k]);
  json_decref(all);
}

// Merges are [left, right] in their files, "left right" in ours.
static void assert_same_merges(const json_t *ours, const json_t *theirs) {
  assert_int_equal(json_array_size(ours), json_array_size(theirs));
  for (size_t i = 0; i < json_array_size(ours); i++) {
    char both[256];
    const json_t *m = json_array_get(theirs, i);
    snprintf(both, sizeof both, "%s %s", json_string_value(json_array_get(m, 0)),
             json_string_value(json_array_get(m, 1)));
    if (strcmp(both, json_string_value(json_array_get(ours, i))))
      fail_msg("merge %zu is '%s', not '%s'", i, json_string_value(json_array_get(ours, i)), both);
  }
}

static void compare(const char *name) {
  json_t *ours = load(path), *theirs = load(name);
  const json_t *a = json_object_get(ours, "model"), *b = json_object_get(theirs, "model");
  assert_true(json_equal(json_object_get(a, "vocab"), json_object_get(b, "vocab")));
  assert_same_merges(json_object_get(a, "merges"), json_object_get(b, "merges"));
  assert_true(json_equal(json_object_get(ours, "added_tokens"), json_object_get(theirs, "added_tokens")));
  assert_true(json_equal(json_object_get(ours, "pre_tokenizer"), json_object_get(theirs, "pre_tokenizer")));
  json_decref(ours);
  json_decref(theirs);
}

static void test_the_same_as_the_library(void **state) {
  (void)state;
  static const char *const one[] = {"<|endoftext|>"}, *const two[] = {"<|begin_of_text|>", "<|endoftext|>"};
  for (int counters = 1; counters <= 3; counters++) { // however the work is shared
    train("gpt2", one, 1, 400, counters);
    compare(FOLDER "gpt2.json");
  }
  train("llama3", two, 2, 400, 2);
  compare(FOLDER "llama3.json");
}

static void test_the_files_say_which_token_ends_a_text(void **state) {
  (void)state;
  static const char *const two[] = {"<eot>", "<other>"};
  xlm_tokenizer *t;
  xlm_error err;
  train("qwen", two, 2, 300, 1);
  assert_int_equal(xlm_tokenizer_open(folder, &t, &err), XLM_OK);
  assert_int_equal(xlm_tokenizer_size(t), 300);
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_EOS), 0);
  assert_int_equal(xlm_tokenizer_special(t, XLM_TOKEN_BOS), 0);
  assert_true(xlm_tokenizer_is_special(t, 1));
  xlm_tokenizer_close(t);
}

static void test_texts_that_are_too_short_give_fewer_tokens(void **state) {
  (void)state;
  xlm_bpe_counter *c;
  xlm_bpe_trained *t;
  xlm_error err;
  assert_int_equal(xlm_bpe_counter_new("llama3", &c, &err), XLM_OK);
  assert_int_equal(xlm_bpe_count(c, "abab abab \xff", 11, &err), XLM_OK);
  xlm_bpe_options o = {.size = 1000};
  assert_int_equal(xlm_bpe_train((const xlm_bpe_counter *const *)&c, 1, &o, &t, &err), XLM_OK);
  assert_true(xlm_bpe_trained_size(t) > 257 && xlm_bpe_trained_size(t) < 266);
  xlm_bpe_trained_free(t);
  o.size = 255;
  assert_int_equal(xlm_bpe_train((const xlm_bpe_counter *const *)&c, 1, &o, &t, &err), XLM_USER);
  assert_non_null(strstr(err.text, "256"));
  xlm_bpe_counter_free(c);
  assert_int_equal(xlm_bpe_counter_new("gpt4", &c, &err), XLM_USER);
  assert_non_null(strstr(err.text, "gpt4"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_same_as_the_library),
      cmocka_unit_test(test_the_files_say_which_token_ends_a_text),
      cmocka_unit_test(test_texts_that_are_too_short_give_fewer_tokens),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
