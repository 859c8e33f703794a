// Compiled kernels on disk: what was written is read, and a file that is anything else is not.
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

#include "ops/cuda/image_cache.h"

enum { KEY = 0x1234abcd, N = 1000 };

static char folder[] = "/tmp/test_image_cache.XXXXXX";
static char path[200];
static xlm_arena *arena;

static int setup(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  if (!arena || !mkdtemp(folder) || setenv("XDG_CACHE_HOME", folder, 1)) return -1;
  snprintf(path, sizeof path, "%s/xlm/%016x.cubin", folder, KEY);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char dir[200];
  snprintf(dir, sizeof dir, "%s/xlm", folder);
  xlm_arena_free(arena);
  return unlink(path) || rmdir(dir) || rmdir(folder);
}

static xlm_nvrtc_image image(void) {
  xlm_nvrtc_image made = {xlm_arena_alloc(arena, N), N};
  for (int i = 0; i < N; i++) ((char *)made.data)[i] = (char)(i * 7);
  return made;
}

static bool is_read(uint64_t key) {
  xlm_nvrtc_image got = {0}, made = image();
  if (!xlm_image_read(key, arena, &got)) return false;
  assert_int_equal(got.bytes, N);
  assert_memory_equal(got.data, made.data, N);
  return true;
}

static long file_bytes(void) {
  struct stat s;
  assert_int_equal(stat(path, &s), 0);
  return (long)s.st_size;
}

static void invert(long at) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  fseek(f, at, SEEK_SET);
  int c = fgetc(f);
  fseek(f, at, SEEK_SET);
  fputc(c ^ 1, f);
  assert_int_equal(fclose(f), 0);
}

static void written_is_read(void **state) {
  (void)state;
  xlm_nvrtc_image made = image();
  assert_false(is_read(KEY));
  xlm_image_write(KEY, &made);
  assert_true(is_read(KEY));
  assert_false(is_read(KEY + 1));
}

static void every_damaged_byte_is_noticed(void **state) {
  (void)state;
  for (long i = 0; i < file_bytes(); i++) {
    invert(i);
    assert_false(is_read(KEY));
    invert(i);
  }
  assert_true(is_read(KEY));
}

static void every_length_but_its_own_is_noticed(void **state) {
  (void)state;
  xlm_nvrtc_image made = image();
  for (long n = file_bytes() - 1; n >= 0; n--) {
    assert_int_equal(truncate(path, n), 0);
    assert_false(is_read(KEY));
  }
  xlm_image_write(KEY, &made); // as after the kernel was compiled again
  assert_true(is_read(KEY));
  assert_int_equal(truncate(path, file_bytes() + 1), 0);
  assert_false(is_read(KEY));
}

static void the_file_of_another_key_is_noticed(void **state) {
  (void)state;
  xlm_nvrtc_image made = image();
  char other[200];
  xlm_image_write(KEY + 1, &made);
  snprintf(other, sizeof other, "%s/xlm/%016x.cubin", folder, KEY + 1);
  assert_int_equal(rename(other, path), 0);
  assert_false(is_read(KEY));
}

static void a_folder_that_cannot_be_made_is_no_failure(void **state) {
  (void)state;
  xlm_nvrtc_image made = image();
  setenv("XDG_CACHE_HOME", path, 1); // a file
  xlm_image_write(KEY, &made);
  assert_false(is_read(KEY));
  setenv("XDG_CACHE_HOME", folder, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(written_is_read),
      cmocka_unit_test(every_damaged_byte_is_noticed),
      cmocka_unit_test(every_length_but_its_own_is_noticed),
      cmocka_unit_test(the_file_of_another_key_is_noticed),
      cmocka_unit_test(a_folder_that_cannot_be_made_is_no_failure),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
