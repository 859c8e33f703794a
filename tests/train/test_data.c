// Token streams: every file format, broken files, folders, and what tokenizing notes beside its files.
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
#include "tests/train/open_data.h"
#include "tests/train/scratch.h"

static xlm_data *open_one(const char *path, int64_t vocab) {
  xlm_data *d;
  xlm_error err = {0};
  if (xlm_data_open(&path, 1, (xlm_data_options){.vocab = vocab}, &d, &err)) fail_msg("%s", err.text);
  return d;
}

static void expect_refused(const char *path, const char *words) {
  xlm_data *d;
  xlm_error err = {0};
  assert_int_equal(xlm_data_open(&path, 1, (xlm_data_options){0}, &d, &err), XLM_USER);
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
  expect_refused(put("c.bin", b.at, b.n), "truncated");
  b = litpkds(8, 2, UINT64_MAX);
  expect_refused(put("c.bin", b.at, b.n), "truncated");
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
  expect_refused(put("l.bin", b.at, b.n - 1), "truncated");
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
  assert_int_equal(xlm_data_open(both, 2, (xlm_data_options){0}, &d, NULL), XLM_OK);
  assert_int_equal(xlm_data_tokens(d), 5);
  xlm_data_close(d);
  write_megatron(0, 2); // the second sequence overlaps the first
  expect_tokens(in_root("m"), (int32_t[]){7, 300, 65535, 7, 300}, 5);
  write_megatron(8, 2);
  expect_refused(in_root("m"), "outside the file");
  write_megatron(6, UINT64_MAX / 3);
  expect_refused(in_root("m"), "truncated");
}

static void test_text_folder(void **state) {
  (void)state;
  mkdir(in_root("t"), 0777), mkdir(in_root("t/b"), 0777), mkdir(in_root("t/.git"), 0777);
  put("t/c.txt", "C\n", 2), put("t/a.md", "AA", 2), put("t/b/x.c", "X", 1);
  put("t/.hidden", "H", 1), put("t/.git/config", "G", 1), put("t/picture", "P\0P", 3), put("t/empty", "", 0);
  put("t/tool.bin", "\177ELF\1\2\3\4", 8);
  expect_tokens(in_root("t"), (int32_t[]){'A', 'A', 0, 'X', 0, 'C', '\n'}, 7);
  expect_tokens(in_root("t/"), (int32_t[]){'A', 'A', 0, 'X', 0, 'C', '\n'}, 7);
  put("t/b/shard.bin", "\1\0\2\0", 4); // token files take precedence
  expect_tokens(in_root("t"), (int32_t[]){1, 2}, 2);
  expect_refused(in_root("t/.git/missing"), "there is no data file");
  expect_refused(put("void.txt", "", 0), "empty");
  mkdir(in_root("e"), 0777);
  expect_refused(in_root("e"), "no text or token file");
  const char *mixed[] = {in_root("t/c.txt"), in_root("t/b/shard.bin")};
  xlm_data *d;
  xlm_error err = {0};
  assert_int_equal(xlm_data_open(mixed, 2, (xlm_data_options){0}, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "one kind"));
}

// Files that are neither text nor tokens are rejected by content, whatever their names; the format can be
// overridden.
static void test_foreign(void **state) {
  (void)state;
  static const struct {
    const char *name, *head, *says;
    size_t n;
  } rows[] = {
#define ROW(name, head, says) {name, head, says, sizeof head - 1}
      ROW("f.parquet", "PAR1\x15\x04", "a Parquet table: write its column of texts"),
      ROW("f.txt", "PAR1\x15\x04", "a Parquet table"),
      ROW("f.bin", "PAR1\x15\x04", "a Parquet table"),
      ROW("f.gz", "\x1f\x8b\x08\0\0\0", "compressed with gzip: unpack it"),
      ROW("f.zst", "\x28\xb5\x2f\xfd\1\2", "zstd"),
      ROW("f.xz", "\xfd\x37zXZ\0\0", "xz"),
      ROW("f.bz2", "BZh91AY&SY..", "bzip2"),
      ROW("f.npy", "\x93NUMPY\1\0v\0{'descr'", "a NumPy array"),
      ROW("f.zip", "PK\x03\x04\x14\0", "a zip archive"),
      ROW("f.jsonl", "{\"text\": \"a\"}\n", "JSON lines: take the texts out"),
      ROW("f.txt", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n", "JSON lines"),
      ROW("f.txt", "\xff\xfeh\0i\0", "UTF-16"),
      ROW("f.txt", "\xfe\xff\0h\0i", "UTF-16"),
      ROW("f.txt", "h\0e\0l\0l\0o\0 \0y\0o\0u\0!\0", "text in UTF-16: convert it"),
      ROW("f.dat", "a\0\1\2\3", "neither text nor tokens of a known format"),
      ROW("f.h5", "\x89HDF\r\n\x1a\n", "HDF5"),
      ROW("f.pdf", "%PDF-1.7", "pdftotext"),
      ROW("f.weights", "\x10\0\0\0\0\0\0\0{\"a\":{}}", "--init-from takes weights"),
#undef ROW
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *path = put(rows[i].name, rows[i].head, rows[i].n);
    expect_refused(path, rows[i].says);
    expect_refused(path, "--data-format bytes");
    xlm_data *d = open_as(path, (xlm_data_options){.format = XLM_DATA_BYTES});
    assert_int_equal(xlm_data_tokens(d), rows[i].n);
    assert_true(xlm_data_is_text(d));
    xlm_data_close(d);
  }
  xlm_data *told = open_as(put("f.safetensors", "abc", 3), (xlm_data_options){.format = XLM_DATA_BYTES});
  assert_false(xlm_data_has_records(told)); // as told
  xlm_data_close(told);
  expect_tokens(
      put("f.txt", "{\"a\": 1,\n \"b\": 2}", 17), // one JSON document is text
      (int32_t[]){'{', '"', 'a', '"', ':', ' ', '1', ',', '\n', ' ', '"', 'b', '"', ':', ' ', '2', '}'}, 17);
  expect_tokens(put("f.bin", "\x1f\x8b\x08\0", 4), (int32_t[]){0x8b1f, 8}, 2); // ids may begin so
}

// A folder reports what it skips, and is rejected when nothing remains.
static void test_left_out(void **state) {
  (void)state;
  mkdir(in_root("l"), 0777);
  put("l/part-0.parquet", "PAR1....", 8), put("l/part-1.parquet", "PAR1....", 8);
  expect_refused(in_root("l"), "part-0.parquet' is a Parquet table: write");
  put("l/README", "read", 4);
  xlm_data *d = open_one(in_root("l"), 0);
  assert_int_equal(xlm_data_tokens(d), 4);
  assert_non_null(strstr(xlm_data_left_out(d), "2 files of the data are left out, the first because '"));
  xlm_data_close(d);
}

static void test_told_format(void **state) {
  (void)state;
  const char *path = put("told.bin", "\1\0\0\0\2\0\1\0", 8);
  int32_t got[8];
  static const struct {
    xlm_data_format format;
    int n;
    int32_t ids[8];
  } rows[] = {{XLM_DATA_U16, 4, {1, 0, 2, 1}},
              {XLM_DATA_U32, 2, {1, 65538}},
              {XLM_DATA_BYTES, 8, {1, 0, 0, 0, 2, 0, 1, 0}}};
  for (size_t i = 0; i < 3; i++) {
    xlm_data *d = open_as(path, (xlm_data_options){.format = rows[i].format});
    assert_int_equal(xlm_data_tokens(d), rows[i].n);
    assert_int_equal(xlm_data_read(d, 0, rows[i].n, got, NULL), XLM_OK);
    assert_memory_equal(got, rows[i].ids, sizeof *got * (size_t)rows[i].n);
    xlm_data_close(d);
  }
}

// Files that block when opened, or are endless.
static void test_no_file(void **state) {
  (void)state;
  assert_int_equal(mkfifo(in_root("pipe"), 0666), 0);
  expect_refused(in_root("pipe"), "pipe' is a pipe, not a file");
  expect_refused("/dev/zero", "'/dev/zero' is a device, not a file");
  assert_int_equal(mkfifo(in_root("pipe.bin"), 0666), 0);
  expect_refused(in_root("pipe.bin"), "is a pipe");
  put("p.bin", "\1\0", 2);
  assert_int_equal(mkfifo(in_root("p.idx"), 0666), 0); // beside a file of tokens: no index
  expect_tokens(in_root("p.bin"), (int32_t[]){1}, 1);
  expect_refused(put("none.txt", "", 0), "none.txt' is empty");
}

// Records of a fixed length are not cut, however many there are: a sample begins at the start of a record, in
// training and in validation, and a split is between records.
static void test_records(void **state) {
  (void)state;
  enum { RECORDS = 50, LENGTH = 11 };
  unsigned char ids16[RECORDS * LENGTH * 2] = {0};
  for (int i = 0; i < RECORDS * LENGTH; i++)
    ids16[2 * i] = (unsigned char)(i % LENGTH), ids16[2 * i + 1] = (unsigned char)(i / LENGTH);
  const char *path = put("records.bin", ids16, sizeof ids16);
  int32_t got[LENGTH + 1];
  for (int seq = 7; seq <= LENGTH; seq++) {
    xlm_data *d = open_as(path, (xlm_data_options){.record = LENGTH});
    xlm_data_part train, valid;
    xlm_data_split(d, 0.33, &train, &valid);
    assert_int_equal(train.end % LENGTH, 0);
    xlm_samples s;
    bool seen[RECORDS] = {false};
    assert_int_equal(xlm_samples_open(train, seq, 3, "training", &s, NULL), XLM_OK);
    assert_true(s.n >= 32 && s.n <= 33);
    for (int64_t i = 0; i < 3 * s.n; i++) {
      assert_int_equal(xlm_samples_shuffled(&s, i, got, NULL), XLM_OK);
      for (int k = 0; k <= seq && k < LENGTH; k++) assert_int_equal(got[k], (got[0] & ~255) + k);
      seen[got[0] >> 8] = true;
    }
    for (int64_t i = 0; i < s.n; i++) assert_true(seen[i]);
    assert_int_equal(xlm_samples_open(valid, seq, 3, "validation", &s, NULL), XLM_OK);
    assert_int_equal(xlm_samples_window(&s, s.n - 1, got, NULL), XLM_OK);
    assert_int_equal(got[0] & 255, 0);
    xlm_data_close(d);
  }
  xlm_error err = {0};
  xlm_samples s;
  xlm_data *d = open_as(path, (xlm_data_options){.record = LENGTH});
  xlm_data_part all = {d, 0, xlm_data_tokens(d)};
  assert_int_equal(xlm_samples_open(all, LENGTH + 1, 3, "training", &s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "a --seq-length of at most 11"));
  xlm_data_close(d);
  assert_int_equal(xlm_data_open(&path, 1, (xlm_data_options){.record = 12}, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "550 tokens, which is not a whole number of records of 12"));
}

// An index whose sequences all fill one sample is treated as records.
static void test_index_of_records(void **state) {
  (void)state;
  enum { RECORDS = 40, LENGTH = 6 };
  static bytes bin, idx;
  bin = (bytes){0}, idx = (bytes){0};
  for (int i = 0; i < RECORDS * LENGTH; i++) add(&bin, (uint64_t)(i % LENGTH), 2);
  add_text(&idx, "MMIDIDX\0\0", 9);
  add(&idx, 1, 8), add(&idx, 8, 1), add(&idx, RECORDS, 8), add(&idx, RECORDS + 1, 8);
  for (int i = 0; i < RECORDS; i++) add(&idx, LENGTH, 4);
  for (int i = 0; i < RECORDS; i++) add(&idx, (uint64_t)(2 * LENGTH * i), 8);
  put("r.bin", bin.at, bin.n), put("r.idx", idx.at, idx.n);
  xlm_data *d = open_one(in_root("r.bin"), 0);
  xlm_data_part all = {d, 0, xlm_data_tokens(d)};
  xlm_samples s;
  int32_t got[LENGTH];
  assert_int_equal(xlm_samples_open(all, LENGTH - 1, 3, "training", &s, NULL), XLM_OK);
  assert_int_equal(s.n, RECORDS);
  for (int64_t i = 0; i < 2 * RECORDS; i++) {
    assert_int_equal(xlm_samples_shuffled(&s, i, got, NULL), XLM_OK);
    for (int k = 0; k < LENGTH; k++) assert_int_equal(got[k], k);
  }
  xlm_data_close(d);
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

// Truncating a file while it is in use is an error of the reads beyond its end, and of no other.
static void test_cut_short(void **state) {
  (void)state;
  unsigned char text[5000];
  int32_t out[200];
  xlm_error err = {0};
  xlm_data *d;
  memset(text, 'x', sizeof text);
  const char *path = put("shrinks.txt", text, sizeof text);
  assert_int_equal(xlm_data_open(&path, 1, (xlm_data_options){0}, &d, &err), XLM_OK);
  assert_int_equal(xlm_data_read(d, 4800, 200, out, &err), XLM_OK);
  assert_int_equal(truncate(path, 1000), 0);
  assert_int_equal(xlm_data_read(d, 800, 200, out, &err), XLM_OK);
  assert_int_equal(out[199], 'x');
  assert_int_equal(xlm_data_read(d, 900, 200, out, &err), XLM_ENV);
  assert_non_null(strstr(err.text, "was truncated while it was in use: it had 5000 bytes, and byte 1000"));
  xlm_data_close(d);
}

// What `xlmrun tokenize` notes beside its files is used, and files of different tokenizers are not mixed.
static void test_manifest(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_token_manifest m = {.key = 1, .tokenizer = "a/tokenizer.json", .hash = 0xABCDEF0123456789, .vocabulary = 300,
                          .document_end = 7, .field = "text", .documents = 2, .tokens = 6, .bytes = 20, .longest = 4},
                     back;
  xlm_error err = {0};
  put("made-00000.bin", "\1\0\2\0\7\0\3\0\4\0\7\0", 12), put("made-00001.bin", "\1\0", 2), put("also.bin", "\1\0", 2);
  assert_int_equal(xlm_token_manifest_write(&m, in_root("made.json"), a, &err), XLM_OK);
  assert_int_equal(xlm_token_manifest_of(in_root("made-00001.bin"), a, &back, &err), XLM_OK);
  assert_string_equal(back.tokenizer, m.tokenizer);
  assert_true(back.hash == m.hash && back.key == 1 && back.longest == 4 && back.separator == NULL);
  xlm_field fields[] = {{.name = "tokens"}, {.name = "documents"}, {.name = "positions"}};
  xlm_data *d = open_as(in_root("made-00000.bin"), (xlm_data_options){.fields = fields, .n_fields = 3});
  assert_null(xlm_data_lacks(d)); // where documents end is known
  assert_int_equal(xlm_data_manifest(d)->vocabulary, 300);
  xlm_samples s;
  int32_t got[18];
  assert_int_equal(xlm_samples_open((xlm_data_part){d, 0, 6}, 5, 1, "training", &s, &err), XLM_OK);
  assert_int_equal(xlm_samples_window(&s, 0, got, &err), XLM_OK);
  assert_memory_equal(got + 6, ((int32_t[]){0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2}), 12 * sizeof *got);
  xlm_data_close(d);
  const char *path = in_root("made-00000.bin"), *both[] = {path, in_root("also.bin")};
  assert_int_equal(xlm_data_open(&path, 1, (xlm_data_options){.vocab = 299}, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "has the ids of a tokenizer with 300"));
  m.hash = 5;
  assert_int_equal(xlm_token_manifest_write(&m, in_root("also.json"), a, &err), XLM_OK);
  assert_int_equal(xlm_data_open(both, 2, (xlm_data_options){0}, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "made by different tokenizers"));
  put("also.json", "{\"xlm_tokens\": 1}", 17);
  expect_refused(in_root("also.bin"), "is damaged");
  put("also.json", "{\"xlm_tokens\": 9}", 17);
  expect_refused(in_root("also.bin"), "another version");
  put("also.json", "{\"other\": 9}", 12);
  d = open_one(in_root("also.bin"), 0);
  assert_null(xlm_data_manifest(d));
  xlm_data_close(d);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_litpkds),
      cmocka_unit_test(test_llmc),
      cmocka_unit_test(test_flat),
      cmocka_unit_test(test_megatron),
      cmocka_unit_test(test_text_folder),
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_left_out),
      cmocka_unit_test(test_told_format),
      cmocka_unit_test(test_no_file),
      cmocka_unit_test(test_records),
      cmocka_unit_test(test_index_of_records),
      cmocka_unit_test(test_vocabulary),
      cmocka_unit_test(test_cut_short),
      cmocka_unit_test(test_manifest),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
