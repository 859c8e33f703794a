// Checkpoints saved and loaded: in one file or several, at once or behind the training; what fails, what
// stays.
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/train/hand_world.h"

static void test_save_load(void **state) {
  (void)state;
  world *w = new_world(1), *split = new_world(2), *mirrored = new_world_of(2, true);
  const char *dir = in_root("new/run");
  init_world(w, 3), init_world(split, 4);
  assert_false(xlm_checkpoint_exists(dir));
  save(w, dir, 100, 3);
  save(w, dir, 100, 3); // again: replaces
  assert_true(xlm_checkpoint_exists(dir));
  xlm_checkpoint *c;
  xlm_error err = {0};
  assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err), XLM_OK);
  assert_int_equal(c->info.step, 100), assert_int_equal(c->info.samples, 400);
  assert_true(c->info.seed == UINT64_MAX);
  assert_string_equal(c->info.model_text, "model llama\n");
  assert_string_equal(xlm_checkpoint_setting_of(c, "set.hidden"), "6");
  assert_null(xlm_checkpoint_setting_of(c, "nothing"));
  assert_string_equal(c->notes, "");
  assert_int_equal(xlm_checkpoint_load(c, split->store, &split->plan, false, &err), XLM_OK);
  expect_same(w, split, false);
  init_world(mirrored, 4);
  assert_int_equal(xlm_checkpoint_load(c, mirrored->store, &mirrored->plan, false, &err), XLM_OK);
  expect_same(w, mirrored, false);
  init_world(split, 4);
  split->memory[0][5][0] = 77;
  assert_int_equal(xlm_checkpoint_load(c, split->store, &split->plan, true, &err), XLM_OK);
  expect_same(w, split, true);
  assert_true(split->memory[0][5][0] == 77); // optimizer untouched
  json_t *j = json_load_file(in_root("new/run/step-00000100/config.json"), 0, NULL);
  assert_string_equal(json_string_value(json_array_get(json_object_get(j, "architectures"), 0)),
                      "LlamaForCausalLM");
  assert_int_equal(json_integer_value(json_object_get(j, "hidden_size")), 6);
  assert_int_equal(json_integer_value(json_object_get(j, "max_position_embeddings")), 16);
  json_decref(j);
  xlm_checkpoint_close(c);
  free_world(w), free_world(split), free_world(mirrored);
}

// In several files, synchronous or not, by one rank or two: the same states come back in any layout, and
// every file is one that other tools read.
static void saved_in_shards(world *w, int shards, bool async) {
  const char *dir = in_root(async ? "behind" : "sharded");
  xlm_saver_options o = {.dir = dir, .keep = 1, .shards = shards, .async = async};
  xlm_saver *s;
  xlm_error err = {0};
  const char *path, *index = in_root(async ? "behind/step-00000002/model.safetensors.index.json"
                                           : "sharded/step-00000002/model.safetensors.index.json");
  world *back = new_world_of(2, true), *before = new_world(1);
  init_world(back, 1), init_world(before, 3);
  init_world(w, 3);
  if (xlm_saver_open(w->store, &w->plan, &o, &s, &err) != XLM_OK) fail_msg("%s", err.text);
  assert_true((xlm_saver_bytes(s) > 0) == async);
  for (int64_t step = 1; step <= 2; step++) {
    xlm_checkpoint_info info = info_at(step);
    if (xlm_saver_start(s, &info, &err) != XLM_OK) fail_msg("%s", err.text);
    memset(w->memory, 0x55, sizeof w->memory); // the training goes on
    if (xlm_saver_poll(s, true, &path, &err) != XLM_OK) fail_msg("%s", err.text);
    assert_non_null(path);
    init_world(w, 3);
  }
  xlm_saver_close(s);
  xlm_checkpoint *c;
  if (xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err) != XLM_OK) fail_msg("%s", err.text);
  assert_int_equal(c->info.step, 2);
  if (xlm_checkpoint_load(c, back->store, &back->plan, false, &err) != XLM_OK) fail_msg("%s", err.text);
  expect_same(before, back, false);
  xlm_checkpoint_close(c);
  assert_int_equal(access(index, F_OK), shards > 1 && w->plan.n_ranks > 1 ? 0 : -1);
  free_world(back), free_world(before);
}

static void test_shards(void **state) {
  (void)state;
  for (int ranks = 1; ranks <= 2; ranks++)
    for (int shards = 0; shards <= 2; shards++)
      for (int async = 0; async <= 1; async++) {
        world *w = new_world(ranks);
        saved_in_shards(w, shards, async);
        free_world(w);
      }
}

// What the device says while states are copied ends the save, and leaves nothing but the checkpoint before.
static void test_failed_save(void **state) {
  (void)state;
  world *w = new_world(2);
  init_world(w, 3);
  for (int async = 0; async <= 1; async++) {
    const char *dir = in_root(async ? "refused-behind" : "refused");
    xlm_saver_options o = {.dir = dir, .shards = 2, .async = async};
    xlm_checkpoint_info first = info_at(1), second = info_at(2);
    xlm_saver *s;
    xlm_error err = {0};
    const char *path;
    assert_int_equal(xlm_saver_open(w->store, &w->plan, &o, &s, &err), XLM_OK);
    assert_int_equal(xlm_saver_start(s, &first, &err), XLM_OK);
    assert_int_equal(xlm_saver_poll(s, true, &path, &err), XLM_OK);
    w->refuses = 4;
    assert_int_equal(xlm_saver_start(s, &second, &err), XLM_ENV);
    assert_string_equal(err.text, "the device refuses state 3");
    assert_int_equal(xlm_saver_poll(s, true, &path, &err), XLM_OK);
    assert_null(path);
    w->refuses = 0;
    xlm_saver_close(s);
    xlm_checkpoint *c;
    assert_int_equal(xlm_checkpoint_open(dir, XLM_ANY_STEP, &c, &err), XLM_OK);
    assert_int_equal(c->info.step, 1);
    xlm_checkpoint_close(c);
  }
  free_world(w);
}

// A folder that somebody put into an old checkpoint stays, with its checkpoint; one word about it, and the
// run goes on.
static void test_foreign_folder(void **state) {
  (void)state;
  world *w = new_world(1);
  xlm_saver_options o = {.dir = in_root("foreign"), .keep = 2};
  xlm_saver *s;
  xlm_error err = {0};
  init_world(w, 3);
  assert_int_equal(xlm_saver_open(w->store, &w->plan, &o, &s, &err), XLM_OK);
  for (int64_t step = 1; step <= 5; step++) {
    xlm_checkpoint_info info = info_at(step);
    const char *path;
    assert_int_equal(xlm_saver_start(s, &info, &err), XLM_OK);
    assert_int_equal(xlm_saver_poll(s, true, &path, &err), XLM_OK);
    if (step == 1) assert_int_equal(mkdir(in_root("foreign/step-00000001/mine"), 0777), 0);
    assert_true((*xlm_saver_note(s) != 0) == (step >= 3));
  }
  assert_non_null(strstr(xlm_saver_note(s), "step-00000001': it contains a folder"));
  xlm_saver_close(s);
  assert_int_equal(access(in_root("foreign/step-00000001/model.safetensors"), F_OK), 0);
  assert_int_not_equal(access(in_root("foreign/step-00000002"), F_OK), 0);
  assert_int_not_equal(access(in_root("foreign/step-00000003"), F_OK), 0);
  assert_int_equal(xlm_checkpoint_clear(in_root("foreign"), &err), XLM_USER);
  free_world(w);
}

static void test_killed_writer(void **state) {
  (void)state;
  world *w = new_world(1);
  char command[512];
  init_world(w, 3);
  snprintf(command, sizeof command,
           "mkdir -p %s/killed/.writing-1 && touch %s/killed/.writing-1/model.safetensors", in_root(""),
           in_root(""));
  assert_int_equal(system(command), 0);
  assert_false(xlm_checkpoint_exists(in_root("killed")));
  save(w, in_root("killed"), 1, 3);
  assert_int_not_equal(access(in_root("killed/.writing-1"), F_OK), 0);
  free_world(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_save_load), cmocka_unit_test(test_shards), cmocka_unit_test(test_failed_save),
      cmocka_unit_test(test_foreign_folder), cmocka_unit_test(test_killed_writer)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
