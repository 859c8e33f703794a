// Files of tokens: what they hold, and that neither the number of threads nor interruptions nor SIGKILL shows
// in them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/data/data.h"
#include "runtime/tokenize/tokenize.h"
#include "tests/train/scratch.h"

enum { LINES = 20000 };
static const char *corpus[3]; // two of JSON lines, one of them packed, and a text

static void make_corpus(void) {
  const char *plain = in_root("a.jsonl"), *packed = in_root("b.jsonl.gz"), *text = in_root("c.txt");
  FILE *f = fopen(plain, "w"), *t = fopen(text, "w");
  gzFile z = gzopen(packed, "wb1");
  assert_true(f && t && z);
  uint32_t random = 1;
  for (int i = 0; i < LINES; i++) {
    random = random * 1664525 + 1013904223;
    int n = (int)(random >> 22); // letters
    fprintf(f, "{\"id\": %d, \"text\": \"%d:%*d\"}\n", i, i, n, i);
    if (i % 5 == 0) gzprintf(z, "{\"text\": \"\\u00e9%d\"}\n", i);
  }
  fprintf(t, "a text");
  fclose(f), fclose(t), gzclose(z);
  static char kept[3][256];
  const char *const made[] = {plain, packed, text};
  for (int i = 0; i < 3; i++) corpus[i] = strcpy(kept[i], made[i]);
}

static xlm_status tokenize(const char *prefix, xlm_tokenize_options o, xlm_tokenize_result *r,
                           xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_tokenize_result own;
  assert_non_null(a);
  o.prefix = prefix;
  if (!o.files) o.files = corpus, o.n_files = 3;
  if (!o.shard_tokens) o.shard_tokens = 3000000;
  xlm_status s = xlm_tokenize(&o, a, r ? r : &own, err);
  xlm_arena_free(a);
  return s;
}

static void expect_same(const char *a, const char *b) {
  static const char *const names[] = {"-00000.bin", "-00000.idx", "-00001.bin", "-00001.idx",
                                      "-00002.bin", "-00002.idx", "-00003.bin", "-00003.idx"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char x[300], y[300];
    uint64_t of_x, of_y;
    snprintf(x, sizeof x, "%s%s", a, names[i]), snprintf(y, sizeof y, "%s%s", b, names[i]);
    assert_int_equal(xlm_file_hash(x, &of_x, NULL), XLM_OK);
    assert_int_equal(xlm_file_hash(y, &of_y, NULL), XLM_OK);
    assert_int_equal(of_x, of_y);
  }
  char end[300];
  snprintf(end, sizeof end, "%s-00004.bin", b);
  assert_int_equal(access(end, F_OK), -1);
}

static void expect_clean(const char *name) { // nothing is left of the work
  static const char *const rests[] = {".progress.json", ".lock", "-00003.bin.partial", "-00003.len.partial"};
  for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
    char path[300];
    snprintf(path, sizeof path, "%s%s", in_root(name), rests[i]);
    assert_int_equal(access(path, F_OK), -1);
  }
}

static void test_threads(void **state) {
  (void)state;
  xlm_error err = {0};
  make_corpus();
  if (tokenize(in_root("one"), (xlm_tokenize_options){.threads = 1}, NULL, &err)) fail_msg("%s", err.text);
  if (tokenize(in_root("four"), (xlm_tokenize_options){.threads = 4}, NULL, &err)) fail_msg("%s", err.text);
  expect_same(in_root("one"), in_root("four"));
  expect_clean("one");
}

// The tokens as training reads them, document by document.
static void test_contents(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_token_manifest m;
  xlm_documents *d;
  xlm_document x;
  xlm_data *data;
  int32_t got[4096];
  int64_t at = 0, documents = 0, longest = 0;
  const char *shards[] = {in_root("one-00000.bin"), in_root("one-00001.bin"), in_root("one-00002.bin"),
                          in_root("one-00003.bin")};
  assert_int_equal(xlm_data_open(shards, 4, (xlm_data_options){.vocab = 256}, &data, NULL), XLM_OK);
  assert_int_equal(xlm_documents_open(corpus, 3, (xlm_documents_options){0}, &d, NULL), XLM_OK);
  for (;; documents++) {
    assert_int_equal(xlm_documents_next(d, &x, NULL), XLM_OK);
    if (!x.text) break;
    assert_int_equal(xlm_data_read(data, at, (int64_t)x.n + 1, got, NULL), XLM_OK);
    for (size_t i = 0; i < x.n; i++) assert_int_equal(got[i], (unsigned char)x.text[i]);
    assert_int_equal(got[x.n], 0);
    at += (int64_t)x.n + 1;
    if ((int64_t)x.n + 1 > longest) longest = (int64_t)x.n + 1;
  }
  assert_int_equal(at, xlm_data_tokens(data));
  assert_int_equal(xlm_token_manifest_of(shards[2], a, &m, NULL), XLM_OK);
  assert_int_equal(m.documents, documents);
  assert_int_equal(m.tokens, at);
  assert_int_equal(m.longest, longest);
  assert_int_equal(m.n_shards, 4);
  assert_true(m.shards[0].tokens >= 3000000 && m.shards[0].tokens < 3004000);
  assert_int_equal(m.document_end, 0);
  assert_null(m.tokenizer);
  assert_int_equal(xlm_token_manifest_of(corpus[0], a, &m, NULL), XLM_OK);
  assert_null(m.path); // it has none
  xlm_documents_close(d);
  xlm_data_close(data);
  xlm_arena_free(a);
}

static volatile sig_atomic_t stop;

static void stop_soon(void *arg, const xlm_tokenize_progress *p) {
  (void)p;
  if (++*(int *)arg == 3) __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void test_stop(void **state) {
  (void)state;
  const char *prefix = in_root("stopped");
  xlm_tokenize_result r = {.stopped = true};
  int calls = 0;
  for (; r.stopped; calls++) {
    int reports = 0;
    stop = 0;
    xlm_tokenize_options o = {.threads = 2, .stop = &stop, .report = stop_soon, .report_arg = &reports};
    assert_int_equal(tokenize(prefix, o, &r, NULL), XLM_OK);
  }
  assert_true(calls > 2);
  expect_same(in_root("one"), prefix);
  expect_clean("stopped");
}

static ino_t inode_of(const char *path) {
  struct stat st;
  return stat(path, &st) ? 0 : st.st_ino;
}

// Waits until the child has noted something, or has ended; then for a moment more.
static bool wait_for_note(pid_t child, const char *note, ino_t before, uint32_t moment) {
  int status;
  while (inode_of(note) == before) {
    if (waitpid(child, &status, WNOHANG) == child) {
      assert_true(WIFEXITED(status) && WEXITSTATUS(status) == XLM_OK);
      return false;
    }
    usleep(100);
  }
  usleep(moment);
  return true;
}

// SIGKILL at any moment, in which every batch is synced and noted.
static void test_kill(void **state) {
  (void)state;
  const char *prefix = in_root("killed");
  char noted[300];
  snprintf(noted, sizeof noted, "%s.progress.json", prefix);
  int kills = 0;
  uint32_t random = (uint32_t)getpid();
  for (bool running = true; running;) {
    ino_t before = inode_of(noted);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
      _exit(tokenize(prefix, (xlm_tokenize_options){.threads = 2, .sync_seconds = 1e-9}, NULL, NULL));
    random = random * 1664525 + 1013904223;
    running = wait_for_note(child, noted, before, (random >> 16) % 20000);
    if (!running) continue;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    kills++;
  }
  assert_true(kills > 1);
  expect_same(in_root("one"), prefix);
  expect_clean("killed");
}

static void expect_refused(const char *prefix, xlm_tokenize_options o, const char *words) {
  xlm_error err = {0};
  assert_int_equal(tokenize(prefix, o, NULL, &err), XLM_USER);
  if (!strstr(err.text, words)) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void test_refused(void **state) {
  (void)state;
  xlm_tokenize_result r;
  assert_int_equal(tokenize(in_root("one"), (xlm_tokenize_options){.threads = 1}, &r, NULL), XLM_OK);
  assert_true(r.was_done);
  expect_refused(in_root("one"), (xlm_tokenize_options){.end = 10}, "another tokenizer or other settings");
  FILE *f = fopen(in_root("bad.jsonl"), "w");
  for (int i = 0; i < 100; i++) fprintf(f, i == 77 ? "{\"text\": 1}\n" : "{\"text\": \"%*d\"}\n", 100000, i);
  fclose(f);
  const char *bad[] = {corpus[0], in_root("bad.jsonl")}, *none[] = {in_root("empty.jsonl")};
  expect_refused(in_root("bad"), (xlm_tokenize_options){.files = bad, .n_files = 2, .threads = 3},
                 "bad.jsonl', line 78: its \"text\" is a number");
  fclose(fopen(none[0], "w"));
  expect_refused(in_root("none"), (xlm_tokenize_options){.files = none, .n_files = 1}, "there is no text");
  f = fopen(in_root("other-00000.bin"), "w");
  fclose(f);
  expect_refused(in_root("other"), (xlm_tokenize_options){0}, "exists already");
  assert_int_equal(tokenize(in_root("other"), (xlm_tokenize_options){.overwrite = true}, NULL, NULL), XLM_OK);
  expect_same(in_root("one"), in_root("other"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_threads), cmocka_unit_test(test_contents), cmocka_unit_test(test_stop),
      cmocka_unit_test(test_kill),    cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
