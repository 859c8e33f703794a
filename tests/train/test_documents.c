// Documents of files: every form, packed and not, in batches of any size, from any position; broken files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "runtime/documents/documents.h"
#include "tests/train/scratch.h"

static const char *put_gzip(const char *name, const char *text, size_t n, const char *mode) {
  const char *path = in_root(name);
  gzFile f = gzopen(path, mode);
  assert_non_null(f);
  assert_int_equal(gzwrite(f, text, (unsigned)n), (int)n);
  gzclose(f);
  return path;
}

static const char *put_zstd(const char *name, const char *text, size_t n) {
  size_t room = ZSTD_compressBound(n);
  char *packed = malloc(room);
  assert_non_null(packed);
  const char *path = put(name, packed, ZSTD_compress(packed, room, text, n, 3));
  free(packed);
  return path;
}

static void expect_documents(const char *const *files, int n_files, xlm_documents_options o,
                             const char *const *want, int n) {
  xlm_documents *d;
  xlm_document x;
  xlm_error err = {0};
  if (xlm_documents_open(files, n_files, o, &d, &err)) fail_msg("%s", err.text);
  for (int i = 0; i < n; i++) {
    if (xlm_documents_next(d, &x, &err)) fail_msg("%s", err.text);
    assert_non_null(x.text);
    if (x.n != strlen(want[i]) || memcmp(x.text, want[i], x.n))
      fail_msg("document %d is '%.*s', not '%s'", i, (int)x.n, x.text, want[i]);
  }
  assert_int_equal(xlm_documents_next(d, &x, &err), XLM_OK);
  assert_null(x.text);
  int64_t done, all;
  xlm_documents_progress(d, &done, &all);
  assert_int_equal(done, all);
  xlm_documents_close(d);
}

static void expect_refused_as(const char *path, xlm_documents_options o, const char *words) {
  xlm_documents *d;
  xlm_document x = {.text = ""};
  xlm_error err = {0};
  xlm_status s = xlm_documents_open(&path, 1, o, &d, &err);
  if (s == XLM_OK) {
    while (s == XLM_OK && x.text) s = xlm_documents_next(d, &x, &err);
    xlm_documents_close(d);
  }
  assert_int_equal(s, XLM_USER);
  if (!strstr(err.text, words)) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void expect_refused(const char *path, const char *words) {
  expect_refused_as(path, (xlm_documents_options){0}, words);
}

static void test_forms(void **state) {
  (void)state;
  static const char lines[] =
      "{\"text\": \"one\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"tw\\u00f6\\n\\\"\"}\r\n"
      "{\"text\":\"\"}\n{\"text\":\"last\"}";
  const char *want[] = {"one", "tw\xc3\xb6\n\"", "", "last", "plain\ntext\n"};
  const char *plain[] = {put_text("a.jsonl", lines), put_text("a.txt", "plain\ntext\n")};
  const char *packed[] = {put_gzip("a.json.gz", lines, sizeof lines - 1, "wb"),
                          put_zstd("a.txt.zst", "plain\ntext\n", 11)};
  const char *other[] = {put_zstd("a.zst", lines, sizeof lines - 1),
                         put_gzip("a.txt.gz", "plain\ntext\n", 11, "wb")};
  expect_documents(plain, 2, (xlm_documents_options){0}, want, 5);
  expect_documents(packed, 2, (xlm_documents_options){0}, want, 5);
  expect_documents(other, 2, (xlm_documents_options){0}, want, 5);
  put_gzip("two.gz", "plain\n", 6, "wb");
  const char *two = put_gzip("two.gz", "text\n", 5, "ab"); // two members are one text
  expect_documents(&two, 1, (xlm_documents_options){0}, want + 4, 1);
  const char *field = put_text("f.jsonl", "{\"body\": \"one\"}\n");
  expect_documents(&field, 1, (xlm_documents_options){.field = "body"}, want, 1);
  assert_string_equal(xlm_documents_kind(packed[0]), "JSON lines in gzip");
  assert_string_equal(xlm_documents_kind(other[0]), "JSON lines in zstd");
  assert_string_equal(xlm_documents_kind(plain[1]), "text");
  assert_null(xlm_documents_kind(put("a.npy", "\x93NUMPY\1\0", 8)));
  assert_true(xlm_documents_only(packed[1]) && xlm_documents_only(plain[0]) && !xlm_documents_only(plain[1]));
  // ids of a .bin may begin like gzip
  assert_false(xlm_documents_only(put("ids.bin", "\x1f\x8b\x08\0", 4)));
}

static void test_separator(void **state) {
  (void)state;
  const char *path = put_text("s.txt", "one<|e|>two<|e<|e|>\n<|e|><|e|>three<|e|>");
  const char *want[] = {"one", "two<|e", "three"};
  expect_documents(&path, 1, (xlm_documents_options){.separator = "<|e|>"}, want, 3);
}

// Lines and separators that lie across the ends of the buffer (1 MiB), with texts of all lengths around it.
static void test_buffer_ends(void **state) {
  (void)state;
  enum { N = 3 << 20 };
  char *text = malloc(N + 64);
  assert_non_null(text);
  for (int at = (1 << 20) - 6; at < (1 << 20) + 3; at++) {
    memset(text, 'x', N);
    memcpy(text + at, "<|e|>", 5);
    const char *path = put("b.txt", text, N);
    xlm_documents *d;
    xlm_document x;
    xlm_documents_options o = {.separator = "<|e|>"};
    assert_int_equal(xlm_documents_open(&path, 1, o, &d, NULL), XLM_OK);
    assert_int_equal(xlm_documents_next(d, &x, NULL), XLM_OK);
    assert_int_equal(x.n, at);
    assert_int_equal(xlm_documents_next(d, &x, NULL), XLM_OK);
    assert_int_equal(x.n, N - at - 5);
    assert_int_equal(x.at.byte, at + 5);
    xlm_documents_close(d);
  }
  free(text);
}

static void test_broken(void **state) {
  (void)state;
  expect_refused(put_text("n.jsonl", "{\"text\": \"a\"}\n{\"texts\": \"b\", \"id\": 1}\n"),
                 "n.jsonl', line 2: the object has no \"text\"; it has \"texts\", \"id\": --text-field");
  expect_refused(put_text("n.jsonl", "{\"text\": \"a\"}\n\n[1]\n"),
                 "line 3: the line is an array, not a JSON");
  expect_refused(put_text("n.jsonl", "{\"text\": null}\n"), "line 1: its \"text\" is null, not text");
  expect_refused(put_text("n.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\n"), "n.jsonl', line 2: column");
  expect_refused(put_text("n.jsonl", "{\"text\": \"\xff\xfe\"}\n"),
                 "line 1: column 10: unable to decode byte 0xff");
  expect_refused(put_text("n.jsonl", "{\"text\": \"\\ud800\"}\n"), "line 1: column");
  expect_refused_as(put_text("n.jsonl", "{\"text\": \"a\"}\n{\"text\": \"a long text\"}\n"),
                    (xlm_documents_options){.longest = 16}, "line 2: the line is longer than");
  expect_refused_as(put_text("n.txt", "more than 16 bytes"), (xlm_documents_options){.longest = 16},
                    "document 1 is longer than");
  expect_refused(put("n.npy", "\x93NUMPY\1\0v\0", 10), "a NumPy array");
  expect_refused(put_gzip("n.gz", "\x93NUMPY\1\0v\0", 10, "wb"), "a NumPy array");
  expect_refused(in_root("nothing"), "cannot open");
  expect_refused(root, "is a folder");
  assert_int_equal(mkfifo(in_root("pipe"), 0666), 0);
  expect_refused(in_root("pipe"), "is a pipe");
}

// A packed file that was cut anywhere, or in which a byte changed, is an error, never a shorter corpus.
static void test_damaged_packing(void **state) {
  (void)state;
  enum { LINES = 400 };
  static char lines[LINES * 64], bytes[LINES * 64];
  size_t n = 0;
  for (int i = 0; i < LINES; i++)
    n += (size_t)snprintf(lines + n, sizeof lines - n, "{\"text\": \"line %d of %x\"}\n", i, i * 7919);
  const char *made[] = {put_gzip("d.jsonl.gz", lines, n, "wb"), put_zstd("d.jsonl.zst", lines, n)};
  for (int k = 0; k < 2; k++) {
    FILE *f = fopen(made[k], "rb");
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t cut = 20; cut < size; cut += size / 9)
      expect_refused(put("cut.jsonl", bytes, cut), "is truncated");
    expect_refused(put("cut.jsonl", bytes, size - 1), "is truncated");
    if (k) continue; // frames of zstd have no checksum unless asked for
    bytes[size / 2] ^= 0x10;
    expect_refused(put("flip.jsonl", bytes, size), "is damaged");
  }
  expect_refused(put("junk.gz", "\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0more", 24), "is damaged");
}

// Batches of any size, and reading from the position behind any of them, give the same documents.
static void test_batches(void **state) {
  (void)state;
  enum { LINES = 300 };
  static char lines[LINES * 64];
  size_t n = 0;
  for (int i = 0; i < LINES; i++)
    n += (size_t)snprintf(lines + n, sizeof lines - n, "{\"text\": \"%d%.*s\"}\n%s", i, i % 30,
                          "..............................", i % 7 ? "" : "\n");
  const char *files[] = {put("p.jsonl", lines, n), put_gzip("p.gz", lines, n, "wb"), put_text("p.txt", "0"),
                         put_zstd("p.zst", lines, n)};
  static const size_t sizes[] = {1, 50, 777, 1 << 20};
  for (int k = 0; k < 4; k++) {
    xlm_documents *d, *again;
    xlm_document_batch b = {0}, c = {0};
    int count = 0, want = 0;
    assert_int_equal(xlm_documents_open(files, 4, (xlm_documents_options){0}, &d, NULL), XLM_OK);
    assert_int_equal(xlm_documents_open(files, 4, (xlm_documents_options){0}, &again, NULL), XLM_OK);
    for (;;) {
      assert_int_equal(xlm_documents_read(d, sizes[k], &b, NULL), XLM_OK);
      assert_int_equal(xlm_documents_decode(&b, NULL), XLM_OK);
      if (!b.n) break;
      assert_int_equal(xlm_documents_seek(again, b.documents[b.n / 2].at, NULL), XLM_OK);
      assert_int_equal(xlm_documents_read(again, 1, &c, NULL), XLM_OK);
      assert_int_equal(xlm_documents_decode(&c, NULL), XLM_OK);
      assert_int_equal(c.documents[0].n, b.documents[b.n / 2].n);
      assert_memory_equal(c.documents[0].text, b.documents[b.n / 2].text, c.documents[0].n);
      for (size_t i = 0; i < b.n; i++, count++) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)b.documents[i].n, b.documents[i].text);
        assert_int_equal(atoi(text), want);
        want = want + 1 < LINES && b.documents[i].at.file != 2 ? want + 1 : 0;
      }
    }
    assert_int_equal(count, 3 * LINES + 1);
    xlm_document_batch_free(&b);
    xlm_document_batch_free(&c);
    xlm_documents_close(d);
    xlm_documents_close(again);
  }
}

static void expect_files(const char *const *paths, int n, const char *want, const char *note) {
  xlm_arena *a = xlm_arena_new(0);
  const char *const *files, *left_out;
  int n_files;
  xlm_error err = {0};
  char got[1024] = "";
  assert_non_null(a);
  if (xlm_documents_files(a, paths, n, &files, &n_files, &left_out, &err)) fail_msg("%s", err.text);
  for (int i = 0; i < n_files; i++) strcat(strcat(got, files[i] + strlen(root) + 1), " ");
  assert_string_equal(got, want);
  if (!strstr(left_out, note)) fail_msg("'%s' does not say '%s'", left_out, note);
  xlm_arena_free(a);
}

static void test_files(void **state) {
  (void)state;
  mkdir(in_root("t"), 0777), mkdir(in_root("t/b"), 0777), mkdir(in_root("t/.git"), 0777);
  put_text("t/README.md", "read"), put_text("t/b/x.txt", "x"), put_text("t/.hidden", "h"),
      put_text("t/empty", "");
  put("t/a.npy", "\x93NUMPY\1\0", 8), put_text("t/.git/config", "g");
  const char *folder[] = {in_root("t")}, *pattern[] = {in_root("t/*.md"), in_root("t/b/[w-z].t?t")};
  expect_files(folder, 1, "t/README.md t/b/x.txt ", "1 file of the data is left out: ");
  expect_files(pattern, 2, "t/README.md t/b/x.txt ", "");
  put_text("t/b/y.jsonl", "{\"text\": \"y\"}\n");
  expect_files(folder, 1, "t/b/y.jsonl ", "a.npy' is a NumPy array");
  put_text("t/[w-z].md", "of this very name");
  const char *literal[] = {in_root("t/[w-z].md")};
  expect_files(literal, 1, "t/[w-z].md ", "");
  xlm_arena *a = xlm_arena_new(0);
  const char *const *files, *none[] = {in_root("t/*.zip")};
  int n;
  xlm_error err = {0};
  assert_int_equal(xlm_documents_files(a, none, 1, &files, &n, NULL, &err), XLM_USER);
  assert_non_null(strstr(err.text, "no file matches"));
  xlm_arena_free(a);
}

// A file that becomes shorter while it is read is an error that names the place, not a shorter corpus.
static void test_cut_short(void **state) {
  (void)state;
  enum { N = 3 << 20, LINE = 64 };
  char *text = malloc(N);
  assert_non_null(text);
  for (int i = 0; i < N; i += LINE)
    memcpy(text + i, "{\"text\": \"012345678901234567890123456789012345678901234567890\"}\n", LINE);
  const char *path = put("shrinks.jsonl", text, N);
  free(text);
  xlm_documents *d;
  xlm_document x = {.text = ""};
  xlm_error err = {0};
  xlm_status s = XLM_OK;
  assert_int_equal(xlm_documents_open(&path, 1, (xlm_documents_options){0}, &d, &err), XLM_OK);
  assert_int_equal(xlm_documents_next(d, &x, &err), XLM_OK);
  assert_int_equal(x.n, 51);
  assert_int_equal(truncate(path, 2500000), 0);
  while (s == XLM_OK && x.text) s = xlm_documents_next(d, &x, &err);
  assert_int_equal(s, XLM_ENV);
  if (!strstr(err.text, "in use: it had 3145728 bytes, and byte 2500000 is not")) fail_msg("%s", err.text);
  xlm_documents_close(d);
}

// ---- Parquet: files of tools/parity/make_parquet.py

enum { ROWS = 100 };

static const char *table(const char *name) {
  static char paths[4][512];
  static int next;
  char *p = paths[next++ % 4];
  snprintf(p, sizeof paths[0], "%s/tests/train/parquet/%s.parquet", XLM_SOURCE_DIR, name);
  return p;
}

static bool has_arrow(void) {
  const char *path = table("plain");
  xlm_documents *d;
  xlm_document x;
  xlm_error err = {0};
  assert_int_equal(xlm_documents_open(&path, 1, (xlm_documents_options){0}, &d, &err), XLM_OK);
  bool has = xlm_documents_next(d, &x, &err) == XLM_OK;
  xlm_documents_close(d);
  if (!has && !strstr(err.text, "built without Arrow, which reads them: build it again"))
    fail_msg("%s", err.text);
  return has;
}

static void expect_row(const xlm_document *x, int i, bool nulls) {
  char want[128];
  int n = snprintf(want, sizeof want, "row %d: \xc3\xa9%.*s", i, i % 50,
                   "..................................................");
  if (nulls && i % 7 == 3) n = 0;
  assert_int_equal(x->n, n);
  assert_memory_equal(x->text, want, x->n);
  assert_int_equal(x->at.document, i);
}

static void expect_rows(const char *path, const char *column, bool nulls) {
  xlm_documents *d, *again;
  xlm_document_batch b = {0}, c = {0};
  xlm_documents_options o = {.field = column};
  xlm_error err = {0};
  int i = 0;
  assert_int_equal(xlm_documents_open(&path, 1, o, &d, &err), XLM_OK);
  assert_int_equal(xlm_documents_open(&path, 1, o, &again, &err), XLM_OK);
  for (;; i += (int)b.n) {
    if (xlm_documents_read(d, 400, &b, &err)) fail_msg("%s", err.text);
    assert_int_equal(xlm_documents_decode(&b, &err), XLM_OK);
    if (!b.n) break;
    for (size_t k = 0; k < b.n; k++) expect_row(&b.documents[k], i + (int)k, nulls);
    assert_int_equal(xlm_documents_seek(again, b.documents[b.n - 1].at, &err), XLM_OK);
    assert_int_equal(xlm_documents_read(again, 1, &c, &err), XLM_OK);
    expect_row(&c.documents[0], i + (int)b.n - 1, nulls);
  }
  assert_int_equal(i, ROWS);
  xlm_document_batch_free(&b);
  xlm_document_batch_free(&c);
  xlm_documents_close(d);
  xlm_documents_close(again);
}

static void test_parquet(void **state) {
  (void)state;
  assert_string_equal(xlm_documents_kind(table("plain")), "Parquet");
  if (!has_arrow()) skip();
  expect_rows(table("plain"), "text", false);
  expect_rows(table("snappy"), "text", false);
  expect_rows(table("zstd"), "text", true);
  expect_rows(table("gzip"), "text", true);
  expect_rows(table("other"), "body", false);
  expect_refused(table("other"), "other.parquet' has no column \"text\"; it has \"id\", \"body\"");
  expect_refused_as(table("other"), (xlm_documents_options){.field = "id"}, "\"id\" of '");
  expect_refused_as(table("other"), (xlm_documents_options){.field = "list.list.element"}, "no text");
}

// A table that was cut or changed anywhere gives an error or documents, and never ends the process.
static void test_broken_parquet(void **state) {
  (void)state;
  static unsigned char bytes[1 << 16];
  if (!has_arrow()) skip();
  FILE *f = fopen(table("zstd"), "rb");
  size_t size = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  for (size_t cut = 4; cut < size; cut += 1 + size / 40)
    expect_refused(put("cut.parquet", bytes, cut), "cannot be read as Parquet");
  for (size_t at = 4; at < size; at += 1 + size / 150) {
    bytes[at] ^= 0xFF;
    const char *path = put("flip.parquet", bytes, size);
    bytes[at] ^= 0xFF;
    xlm_documents *d;
    xlm_document x = {.text = ""};
    xlm_error err = {0};
    assert_int_equal(xlm_documents_open(&path, 1, (xlm_documents_options){0}, &d, &err), XLM_OK);
    while (x.text && xlm_documents_next(d, &x, &err) == XLM_OK) {}
    if (x.text) assert_true(strlen(err.text) > 0);
    xlm_documents_close(d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),           cmocka_unit_test(test_separator),
      cmocka_unit_test(test_buffer_ends),     cmocka_unit_test(test_broken),
      cmocka_unit_test(test_damaged_packing), cmocka_unit_test(test_batches),
      cmocka_unit_test(test_files),           cmocka_unit_test(test_parquet),
      cmocka_unit_test(test_broken_parquet),  cmocka_unit_test(test_cut_short),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
