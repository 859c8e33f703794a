// safetensors: written files read back; broken and hostile files are rejected with a reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/hash.h"
#include "runtime/interchange/safetensors.h"

static char path[64];

static void write_file(const char *name, const void *data, size_t n) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

static int make_path(void **state) {
  (void)state;
  strcpy(path, "/tmp/xlm-test-st-XXXXXX");
  int fd = mkstemp(path);
  return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
  (void)state;
  return unlink(path);
}

// Writes header and `bytes` bytes of data, opens, and returns the error text; "" when it opened.
static const char *attempt(const char *header, size_t bytes) {
  static xlm_error err;
  static char file[70000];
  uint64_t n = strlen(header);
  memcpy(file, &n, 8);
  memcpy(file + 8, header, n);
  memset(file + 8 + n, 1, bytes);
  write_file(path, file, 8 + n + bytes);
  xlm_safetensors *s = NULL;
  err.text[0] = 0;
  if (xlm_safetensors_open(path, &s, &err) != XLM_OK) assert_null(s);
  xlm_safetensors_close(s);
  return err.text;
}

static void test_hostile_headers(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t bytes;
    const char *says; // "" = valid
  } cases[] = {
      {"{}", 0, ""},
      {"{}", 4, "data after the last tensor"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   ", 8, ""},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, ""},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
       3, ""},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "outside the file"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "disagree"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, "disagree"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
       "too large"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8, "shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "outside the file"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "not two positions"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "not two positions"},
      {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
      {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
      {"{\"a\":7}", 0, "no object"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
       4, "duplicate"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
       3, "overlaps"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
       5, "hole"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, "hole"},
      {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, ""},
      {"{\"__metadata__\":{\"format\":1}}", 0, "non-string"},
      {"{\"__metadata__\":[]}", 0, "no object"},
      {" {}", 0, "begin with"},
      {"[]", 0, "begin with"},
      {"{\"a\":", 0, "not a valid"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
       "shape"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *got = attempt(cases[i].header, cases[i].bytes);
    if (!*cases[i].says ? *got : !strstr(got, cases[i].says))
      fail_msg("%s: got '%s', want '%s'", cases[i].header, got, cases[i].says);
  }
}

static void test_hostile_lengths(void **state) {
  (void)state;
  static const uint64_t lengths[] = {3, 100, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    char file[16] = {0};
    memcpy(file, &lengths[i], 8);
    memcpy(file + 8, "{}", 2);
    write_file(path, file, 10);
    xlm_safetensors *s;
    assert_int_equal(xlm_safetensors_open(path, &s, NULL), XLM_USER);
  }
  for (size_t n = 0; n < 8; n++) {
    write_file(path, "\2\0\0\0\0\0\0", n);
    xlm_safetensors *s;
    assert_int_equal(xlm_safetensors_open(path, &s, NULL), XLM_USER);
  }
  char deep[60000];
  memcpy(deep, "{\"a\":", 5);
  memset(deep + 5, '[', sizeof deep - 5);
  deep[sizeof deep - 1] = 0;
  assert_non_null(strstr(attempt(deep, 0), "not a valid"));
}

static const float numbers[6] = {1, -2.5f, 3e-20f, 0, 4, 5};

static const int32_t whole_numbers[2] = {7, -8};

static void test_round_trip(void **state) {
  (void)state;
  const xlm_st_tensor list[] = {{.name = "w \"x\"", .dtype = XLM_ST_F32, .rank = 2, .shape = {2, 3}},
                                {.name = "a", .dtype = XLM_ST_I32, .rank = 1, .shape = {2}}};
  uint64_t hash, size;
  xlm_out out;
  assert_int_equal(xlm_out_open(path, &out, NULL), XLM_OK);
  assert_int_equal(xlm_safetensors_begin(&out, list, 2, NULL), XLM_OK);
  assert_int_equal(xlm_out_write(&out, numbers, sizeof numbers, NULL), XLM_OK);
  assert_int_equal(xlm_out_write(&out, whole_numbers, sizeof whole_numbers, NULL), XLM_OK);
  assert_int_equal(xlm_out_close(&out, XLM_OK, &hash, &size, NULL), XLM_OK);
  static char file[4096];
  FILE *f = fopen(path, "rb");
  assert_int_equal(fread(file, 1, sizeof file, f), size);
  fclose(f);
  assert_true(xlm_hash_bytes(file, size) == hash);
  assert_int_equal(file[0] % 8, 0);
  assert_non_null(strstr(file + 8, "\"__metadata__\":{\"format\":\"pt\"}"));
  xlm_safetensors *s;
  assert_int_equal(xlm_safetensors_open(path, &s, NULL), XLM_OK);
  assert_int_equal(xlm_safetensors_count(s), 2);
  assert_string_equal(xlm_safetensors_at(s, 0)->name, "a");
  const xlm_st_tensor *t = xlm_safetensors_find(s, "w \"x\"");
  assert_non_null(t);
  float got[4], scratch[4];
  xlm_error err = {0};
  assert_int_equal(xlm_safetensors_read_floats(s, t, 1, 4, scratch, got, NULL), XLM_OK);
  assert_memory_equal(got, numbers + 1, sizeof got);
  assert_int_equal(xlm_safetensors_read_floats(s, xlm_safetensors_at(s, 0), 0, 1, scratch, got, &err),
                   XLM_USER);
  assert_int_equal(truncate(path, (off_t)size - 8 - 4), 0); // truncated while open: an error, not a signal
  assert_int_equal(xlm_safetensors_read(s, t, 5, 1, scratch, &err), XLM_ENV);
  assert_non_null(strstr(err.text, "was truncated"));
  assert_int_equal(xlm_safetensors_read(s, t, 0, 4, scratch, &err), XLM_OK);
  assert_null(xlm_safetensors_find(s, "b"));
  xlm_safetensors_close(s);
}

static bool floats_of(const xlm_safetensors *s, const char *name, int64_t n, float *out) {
  const xlm_st_tensor *t = xlm_safetensors_find(s, name);
  return xlm_st_floats(t->dtype, t->data, n, out);
}

static void test_half_types(void **state) {
  (void)state;
  static const char header[] = "{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]},"
                               "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]}}";
  static const uint16_t data[8] = {0x3C00, 0xC100, 0x0001, 0x7BFF, 0x8000, 0x7C00, 0x3F80, 0xC020};
  static const float want[6] = {1, -2.5f, 0x1p-24f, 65504, -0.0f, __builtin_inff()};
  unsigned char file[256] = {sizeof header - 1};
  memcpy(file + 8, header, sizeof header - 1);
  memcpy(file + 7 + sizeof header, data, sizeof data);
  write_file(path, file, 7 + sizeof header + sizeof data);
  xlm_safetensors *s;
  assert_int_equal(xlm_safetensors_open(path, &s, NULL), XLM_OK);
  float got[6];
  assert_true(floats_of(s, "h", 6, got));
  assert_memory_equal(got, want, sizeof want);
  assert_true(floats_of(s, "b", 2, got));
  assert_true(got[0] == 1 && got[1] == -2.5f);
  xlm_safetensors_close(s);
}

static void index_with(const char *folder, const char *map) {
  char name[128], text[512];
  snprintf(name, sizeof name, "%s/model.safetensors.index.json", folder);
  snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":2},\"weight_map\":{%s}}", map);
  write_file(name, text, strlen(text));
}

static void test_shards(void **state) {
  (void)state;
  char folder[] = "/tmp/xlm-test-shards-XXXXXX", name[128], command[128];
  assert_non_null(mkdtemp(folder));
  for (int i = 0; i < 2; i++) {
    char header[128], file[256] = {0};
    int n = snprintf(header, sizeof header,
                     "{\"%c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 'a' + i);
    file[0] = (char)n;
    memcpy(file + 8, header, (size_t)n);
    snprintf(name, sizeof name, "%s/m-%d.safetensors", folder, i);
    write_file(name, file, 9 + (size_t)n);
  }
  index_with(folder, "\"a\":\"m-0.safetensors\",\"b\":\"m-1.safetensors\"");
  xlm_safetensors *s;
  xlm_error err;
  assert_int_equal(xlm_safetensors_open(folder, &s, &err), XLM_OK);
  assert_int_equal(xlm_safetensors_count(s), 2);
  assert_non_null(xlm_safetensors_find(s, "b"));
  xlm_safetensors_close(s);
  index_with(folder, "\"a\":\"../m-0.safetensors\"");
  assert_int_equal(xlm_safetensors_open(folder, &s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "not a plain name"));
  snprintf(command, sizeof command, "cp %s/m-0.safetensors %s/m-1.safetensors", folder, folder);
  assert_int_equal(system(command), 0);
  index_with(folder, "\"a\":\"m-0.safetensors\",\"b\":\"m-1.safetensors\"");
  assert_int_equal(xlm_safetensors_open(folder, &s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "is in two files"));
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  assert_int_equal(system(command), 0);
}

// Values of the reference implementation.
static void test_hash(void **state) {
  (void)state;
  assert_true(xlm_hash_bytes("", 0) == 0xEF46DB3751D8E999u);
  assert_true(xlm_hash_bytes("abc", 3) == 0x44BC2CF5AD770999u);
  const char *long_text = "Nobody inspects the spammish repetition";
  assert_true(xlm_hash_bytes(long_text, strlen(long_text)) == 0xFBCEA83C8A378BF1u);
  xlm_hash h;
  xlm_hash_start(&h);
  for (const char *p = long_text; *p; p++) xlm_hash_add(&h, p, 1);
  assert_true(xlm_hash_value(&h) == 0xFBCEA83C8A378BF1u);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_hostile_lengths),
      cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_half_types),
      cmocka_unit_test(test_shards),          cmocka_unit_test(test_hash),
  };
  return cmocka_run_group_tests(tests, make_path, remove_path);
}
