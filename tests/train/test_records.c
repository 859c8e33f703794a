// Records: safetensors files and their index, the conversion of elements, wrong files, and the order of
// samples.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/data/data.h"
#include "tests/train/scratch.h"

// A safetensors file: header, then `n` bytes.
static const char *put_records(const char *name, const char *header, const void *data, size_t n) {
  const char *path = in_root(name);
  uint64_t length = strlen(header);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(&length, 8, 1, f), 1);
  assert_int_equal(fwrite(header, 1, length, f), length);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
  return path;
}

// n records from `first` on: `label` i64, and `image` u8 [2, 3], whose elements are 10 * label + place.
static const char *put_shard(const char *name, int first, int n) {
  enum { IMAGE = 6, MOST = 64 };
  unsigned char data[MOST * (IMAGE + 8)] = {0};
  char header[256];
  snprintf(header, sizeof header,
           "{\"label\":{\"dtype\":\"I64\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
           "\"image\":{\"dtype\":\"U8\",\"shape\":[%d,2,3],\"data_offsets\":[%d,%d]}}",
           n, 8 * n, n, 8 * n, (8 + IMAGE) * n);
  for (int i = 0; i < n; i++) {
    data[8 * i] = (unsigned char)(first + i);
    for (int k = 0; k < IMAGE; k++)
      data[8 * n + IMAGE * i + k] = (unsigned char)((10 * (first + i) + k) % 256);
  }
  return put_records(name, header, data, (size_t)n * (IMAGE + 8));
}

static const xlm_field image = {.name = "image", .dtype = XLM_F32, .rank = 2, .shape = {2, 3}, .n = 6},
                       label = {.name = "label", .dtype = XLM_I32, .bound = 100, .n = 1};

static xlm_status open_with(const char *path, const xlm_field *fields, int n, xlm_data **out,
                            xlm_error *err) {
  return xlm_data_open(&path, 1, (xlm_data_options){.fields = fields, .n_fields = n}, out, err);
}

static xlm_data *open_both(const char *path) {
  xlm_data *d;
  xlm_error err;
  if (open_with(path, (xlm_field[]){image, label}, 2, &d, &err)) fail_msg("%s", err.text);
  return d;
}

static void refused(const char *path, xlm_field field, const char *text) {
  xlm_data *d;
  xlm_error err;
  assert_int_equal(open_with(path, (xlm_field[]){label, field}, 2, &d, &err), XLM_USER);
  if (!strstr(err.text, text)) fail_msg("no '%s' in: %s", text, err.text);
}

static void check_record(const int32_t *cells, int64_t record) {
  float pixels[6];
  memcpy(pixels, cells, sizeof pixels);
  for (int k = 0; k < 6; k++) assert_true(pixels[k] == (float)((10 * record + k) % 256));
  assert_int_equal(cells[6], record);
}

static void files_and_index(void **state) {
  (void)state;
  put_shard("a.safetensors", 0, 7);
  put_shard("b.safetensors", 7, 13);
  const char *index = put_text("records.json", "{\"shards\": [{\"file\": \"a.safetensors\", \"records\": 7}, "
                                               "{\"file\": \"b.safetensors\"}]}");
  const char *paths[] = {in_root("a.safetensors"), index, root};
  for (int k = 0; k < 3; k++) {
    xlm_data *d = open_both(paths[k]);
    assert_true(xlm_data_has_records(d));
    assert_int_equal(xlm_data_tokens(d), k ? 20 : 7);
    assert_int_equal(xlm_data_files(d), k ? 2 : 1);
    for (int64_t i = 0; i < xlm_data_tokens(d); i++) {
      int32_t cells[7];
      assert_int_equal(xlm_data_read_record(d, i, cells, NULL), XLM_OK);
      check_record(cells, i);
    }
    xlm_data_close(d);
  }
}

// More than 16 records, which the boundaries of a stream's windows would leave.
static void order(void **state) {
  (void)state;
  xlm_data *d = open_both(put_shard("order.safetensors", 0, 50));
  xlm_data_part train, valid;
  xlm_samples s, again, other;
  xlm_data_split(d, 0.2, &train, &valid);
  assert_int_equal(xlm_samples_open(train, 1, 7, "training", &s, NULL), XLM_OK);
  assert_int_equal(xlm_samples_open(train, 1, 7, "training", &again, NULL), XLM_OK);
  assert_int_equal(xlm_samples_open(train, 1, 8, "training", &other, NULL), XLM_OK);
  assert_int_equal(s.n, 40);
  assert_int_equal(s.cells, 7);
  int differ = 0, moved = 0, before[40] = {0};
  for (int epoch = 0; epoch < 3; epoch++) {
    bool seen[40] = {false};
    for (int i = 0; i < 40; i++) {
      int32_t x[7], y[7], z[7];
      assert_int_equal(xlm_samples_shuffled(&s, 40 * epoch + i, x, NULL), XLM_OK);
      assert_int_equal(xlm_samples_shuffled(&again, 40 * epoch + i, y, NULL), XLM_OK);
      assert_int_equal(xlm_samples_shuffled(&other, 40 * epoch + i, z, NULL), XLM_OK);
      assert_memory_equal(x, y, sizeof x);
      assert_in_range(x[6], 0, 39);
      check_record(x, x[6]);
      assert_false(seen[x[6]]);
      seen[x[6]] = true;
      differ += x[6] != z[6];
      moved += epoch && x[6] != before[i];
      before[i] = x[6];
    }
  }
  assert_true(differ > 60 && moved > 40);
  assert_int_equal(xlm_samples_open(valid, 1, 7, "validation", &s, NULL), XLM_OK);
  for (int i = 0; i < s.n; i++) {
    int32_t x[7];
    assert_int_equal(xlm_samples_window(&s, i, x, NULL), XLM_OK);
    check_record(x, 40 + i);
  }
  xlm_data_close(d);
}

static void types(void **state) {
  (void)state;
  static const struct {
    const char *dtype;
    unsigned char bytes[16]; // of two elements
    size_t n;
    double want[2];
  } rows[] = {{"F32", {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0}, 8, {1.5, -2}},
              {"F16", {0, 0x3e, 0, 0xc0}, 4, {1.5, -2}},
              {"BF16", {0xc0, 0x3f, 0, 0xc0}, 4, {1.5, -2}},
              {"F64", {0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, 16, {1.5, -2}},
              {"I64", {3, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 16, {3, -2}},
              {"I16", {3, 0, 0xfe, 0xff}, 4, {3, -2}},
              {"I8", {3, 0xfe}, 2, {3, -2}},
              {"U16", {3, 0, 0xfe, 0xff}, 4, {3, 65534}},
              {"U8", {3, 254}, 2, {3, 254}},
              {"BOOL", {0, 1}, 2, {0, 1}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char header[128];
    snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[2],\"data_offsets\":[0,%zu]}}",
             rows[i].dtype, rows[i].n);
    const char *path = put_records("x.safetensors", header, rows[i].bytes, rows[i].n);
    for (int ids = 0; ids < 2; ids++) {
      xlm_field x = {.name = "x", .dtype = ids ? XLM_I32 : XLM_F32, .bound = ids ? 1 << 20 : 0, .n = 1};
      xlm_data *d;
      xlm_error err;
      bool whole = rows[i].dtype[0] != 'F' && rows[i].dtype[0] != 'B',
           may = !ids || whole || rows[i].dtype[1] == 'O';
      assert_int_equal(open_with(path, &x, 1, &d, &err), may ? XLM_OK : XLM_USER);
      for (int k = 0; may && k < 2; k++) {
        int32_t cell;
        float f;
        xlm_status s = xlm_data_read_record(d, k, &cell, &err);
        assert_int_equal(s, ids && rows[i].want[k] < 0 ? XLM_USER : XLM_OK);
        memcpy(&f, &cell, sizeof f);
        if (s == XLM_OK) assert_true((ids ? (double)cell : (double)f) == rows[i].want[k]);
      }
      if (may) xlm_data_close(d);
    }
  }
}

static void wrong(void **state) {
  (void)state;
  xlm_field other = image;
  const char *path = put_shard("a.safetensors", 0, 7);
  other.name = "picture";
  refused(path, other, "no tensor `picture`, which the model reads; it has: image, label");
  other = image, other.shape[1] = 4, other.n = 8;
  refused(path, other, "is [7, 2, 3], and the model reads [records, 2, 4]");
  other = image, other.rank = 1, other.shape[0] = 6;
  refused(path, other, "the model reads [records, 6]");
  other = (xlm_field){.name = "weight", .dtype = XLM_I32, .n = 1};
  static const float one[2] = {1, 1};
  const char *two = "{\"label\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                    "\"weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}";
  const char *uneven = put_records("uneven.safetensors", two, one, sizeof one);
  refused(uneven, other, "of type F32, and the model reads integers");
  other.dtype = XLM_F32;
  refused(uneven, other, "4 records of `label` and 1 of `weight`");
  refused(put_text("records.json", "{}"), image, "no list `shards`");
  refused(put_text("records.json", "{\"shards\": [{\"file\": \"../a.safetensors\"}]}"), image,
          "entry 1 of `shards`");
  refused(put_text("records.json", "{\"shards\": [{\"file\": \"a.safetensors\", \"records\": 8}]}"), image,
          "has 7 records, and the index promises 8");
  refused(put_text("records.json", "{\"shards\": [{\"file\": \"gone.safetensors\"}]}"), image,
          "gone.safetensors");
}

static void mixed(void **state) {
  (void)state;
  xlm_data *d;
  xlm_error err;
  const char *paths[] = {put_shard("a.safetensors", 0, 7), put_text("text.txt", "some text")};
  xlm_data_options o = {.fields = &label, .n_fields = 1};
  assert_int_equal(xlm_data_open(paths, 2, o, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "has no records"));
  o.record = 5;
  assert_int_equal(xlm_data_open(paths, 1, o, &d, &err), XLM_USER);
  assert_non_null(strstr(err.text, "--record-length"));
}

static void an_id_outside(void **state) {
  (void)state;
  xlm_field few = label;
  xlm_data *d;
  xlm_error err;
  int32_t cell;
  few.bound = 3;
  assert_int_equal(open_with(put_shard("a.safetensors", 0, 7), &few, 1, &d, &err), XLM_OK);
  assert_int_equal(xlm_data_read_record(d, 2, &cell, &err), XLM_OK);
  assert_int_equal(xlm_data_read_record(d, 3, &cell, &err), XLM_USER);
  assert_non_null(strstr(err.text, "holds 3 in `label`, and the model's input takes 0 to 2"));
  xlm_data_close(d);
}

static void a_file_cut_short(void **state) {
  (void)state;
  xlm_error err;
  int32_t cells[7];
  const char *path = put_shard("cut.safetensors", 0, 7);
  xlm_data *d = open_both(path);
  assert_int_equal(truncate(path, 200), 0);
  assert_int_equal(xlm_data_read_record(d, 6, cells, &err), XLM_ENV);
  assert_non_null(strstr(err.text, "truncated"));
  xlm_data_close(d);
}

static void made_up(void **state) {
  (void)state;
  xlm_data *d;
  int32_t a[7], b[7];
  xlm_data_options o = {.fields = (xlm_field[]){image, label}, .n_fields = 2};
  assert_int_equal(xlm_data_synthetic(30, o, 3, &d, NULL), XLM_OK);
  for (int64_t i = 0; i < 30; i++) {
    float x[6];
    assert_int_equal(xlm_data_read_record(d, i, a, NULL), XLM_OK);
    assert_int_equal(xlm_data_read_record(d, i, b, NULL), XLM_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_in_range(a[6], 0, 99);
    memcpy(x, a, sizeof x);
    for (int k = 0; k < 6; k++) assert_true(x[k] >= -1.5f && x[k] < 1.5f);
  }
  xlm_data_close(d);
  xlm_field turned[] = {label, image}; // a field does not depend on the others
  o.fields = turned;
  assert_int_equal(xlm_data_synthetic(30, o, 3, &d, NULL), XLM_OK);
  assert_int_equal(xlm_data_read_record(d, 29, b, NULL), XLM_OK);
  assert_memory_equal(a, b + 1, 6 * sizeof *a);
  assert_int_equal(a[6], b[0]);
  xlm_data_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(files_and_index),
                                     cmocka_unit_test(order),
                                     cmocka_unit_test(types),
                                     cmocka_unit_test(wrong),
                                     cmocka_unit_test(mixed),
                                     cmocka_unit_test(an_id_outside),
                                     cmocka_unit_test(a_file_cut_short),
                                     cmocka_unit_test(made_up)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
