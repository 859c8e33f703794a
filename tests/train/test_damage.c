// Checkpoints that are damaged, and two runs on one folder: what is whole is found, what is not is told.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/lock.h"
#include "runtime/checkpoint/manifest.h"
#include "tests/train/hand_world.h"

static void flip(const char *path, long at) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  fseek(f, at, SEEK_SET);
  int c = fgetc(f);
  fseek(f, at, SEEK_SET);
  fputc(c ^ 1, f);
  fclose(f);
}

static void test_keep_and_damage(void **state) {
  (void)state;
  world *w = new_world(1);
  const char *dir = in_root("many");
  init_world(w, 3);
  for (int64_t step = 1; step <= 5; step++) save(w, dir, step, 3);
  assert_int_not_equal(access(in_root("many/step-00000002"), F_OK), 0);
  assert_int_equal(access(in_root("many/step-00000003"), F_OK), 0);
  flip(in_root("many/step-00000005/optimizer.safetensors"), 300);
  assert_int_equal(unlink(in_root("many/step-00000004/manifest.json")), 0);
  xlm_checkpoint *c;
  xlm_error err = {0};
  assert_int_equal(xlm_checkpoint_open(dir, &c, &err), XLM_OK);
  assert_int_equal(c->info.step, 3);
  assert_non_null(strstr(c->notes, "step-00000005/optimizer.safetensors' is damaged: its checksum is wrong"));
  assert_non_null(strstr(c->notes, "skipped"));
  assert_non_null(strstr(c->notes, "step-00000004"));
  xlm_checkpoint_close(c);
  assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000005"), &c, &err),
                   XLM_USER); // chosen: no fall-back
  assert_int_equal(truncate(in_root("many/step-00000003/model.safetensors"), 50), 0);
  assert_int_equal(xlm_checkpoint_open(dir, &c, &err), XLM_USER);
  assert_non_null(strstr(err.text, "has 50 bytes"));
  save(w, dir, 6, 3);
  for (long at = 4; at < 400; at += 40) { // a flipped bit anywhere in the manifest is seen
    flip(in_root("many/step-00000006/manifest.json"), at);
    assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000006"), &c, &err), XLM_USER);
    flip(in_root("many/step-00000006/manifest.json"), at);
  }
  assert_int_equal(xlm_checkpoint_open(in_root("many/step-00000006"), &c, &err), XLM_OK);
  xlm_checkpoint_close(c);
  assert_int_equal(xlm_checkpoint_open(in_root("nowhere"), &c, &err), XLM_USER);
  free_world(w);
}

// A manifest with a valid checksum whose content cannot be: whoever made it, it is refused, and the
// checkpoint before it is taken.
static void write_manifest(const char *dir, const xlm_checkpoint_info *info, const char *other_file) {
  static const char *const names[] = {"model.safetensors", "optimizer.safetensors", "config.json",
                                      "model.xlm"};
  xlm_manifest_file files[5] = {{.name = other_file}};
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = xlm_text_new(a);
  xlm_error err;
  char path[512];
  int n = other_file ? 1 : 0;
  for (int i = 0; i < 4; i++) {
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    assert_int_equal(stat(path, &st), 0);
    files[n] = (xlm_manifest_file){.name = names[i], .size = (uint64_t)st.st_size};
    assert_int_equal(xlm_file_hash(path, &files[n++].hash, &err), XLM_OK);
  }
  xlm_manifest_print(info, files, n, &t);
  snprintf(path, sizeof path, "%s/manifest.json", dir);
  assert_int_equal(xlm_file_write(path, t.data, t.n, NULL, &err), XLM_OK);
  xlm_arena_free(a);
}

static void test_impossible_manifest(void **state) {
  (void)state;
  world *w = new_world(1);
  const char *dir = in_root("impossible"), *newest = in_root("impossible/step-00000002");
  static const struct {
    int64_t step, tokens, samples;
    const char *file, *says;
  } cases[] = {{-1, 0, 0, NULL, "'step' is missing or out of range"},
               {INT64_MAX, 0, 0, NULL, "'step' is missing or out of range"},
               {2, -5, 0, NULL, "'tokens' is missing or out of range"},
               {2, 0, INT64_MIN, NULL, "'samples' is missing or out of range"},
               {2, 0, 0, "../other", "'../other' is missing or out of range"},
               {2, 0, 0, "nothing", "cannot read"}};
  init_world(w, 3);
  save(w, dir, 1, 3);
  save(w, dir, 2, 3);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    xlm_checkpoint *c;
    xlm_error err = {0};
    xlm_checkpoint_info info = info_at(cases[i].step);
    info.tokens = cases[i].tokens, info.samples = cases[i].samples;
    write_manifest(newest, &info, cases[i].file);
    assert_int_equal(xlm_checkpoint_open(newest, &c, &err), XLM_USER);
    if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
    assert_int_equal(xlm_checkpoint_open(dir, &c, &err), XLM_OK);
    assert_int_equal(c->info.step, 1);
    assert_non_null(strstr(c->notes, cases[i].says));
    xlm_checkpoint_close(c);
  }
  xlm_checkpoint_info good = info_at(2);
  write_manifest(newest, &good, NULL);
  xlm_checkpoint *c;
  assert_int_equal(xlm_checkpoint_open(dir, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 2);
  xlm_checkpoint_close(c);
  // Whole by its checksums, and no safetensors file.
  assert_int_equal(truncate(in_root("impossible/step-00000002/optimizer.safetensors"), 20), 0);
  write_manifest(newest, &good, NULL);
  assert_int_equal(xlm_checkpoint_open(dir, &c, NULL), XLM_OK);
  assert_int_equal(c->info.step, 1);
  assert_non_null(strstr(c->notes, "not a valid safetensors file"));
  xlm_checkpoint_close(c);
  free_world(w);
}

static void test_lock(void **state) {
  (void)state;
  int first, second;
  xlm_error err = {0};
  assert_int_equal(mkdir(in_root("lock"), 0777), 0);
  assert_int_equal(xlm_lock_take(in_root("lock"), &first, &err), XLM_OK);
  if (first < 0) skip(); // a file system without locks
  assert_int_equal(xlm_lock_take(in_root("lock"), &second, &err), XLM_USER);
  char holder[64];
  snprintf(holder, sizeof holder, "process %ld on ", (long)getpid());
  assert_non_null(strstr(err.text, holder));
  assert_non_null(strstr(err.text, "--output-dir"));
  xlm_lock_release(first);
  assert_int_equal(xlm_lock_take(in_root("lock"), &second, &err), XLM_OK);
  xlm_lock_release(second);
  assert_int_equal(xlm_lock_take(in_root("no/such/folder"), &second, &err), XLM_ENV);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_keep_and_damage),
                                     cmocka_unit_test(test_impossible_manifest), cmocka_unit_test(test_lock)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
