// Settings: flags, run files, precedence, every kind of error; the printed run file reads back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/optimizer/optimizer.h"
#include "tools/common/settings.h"

static xlm_arena *arena;
static char path[64];

static int set_up(void **state) {
  (void)state;
  strcpy(path, "/tmp/xlm-test-run-XXXXXX");
  int fd = mkstemp(path);
  arena = xlm_arena_new(0);
  return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return unlink(path);
}

enum { MOST = 12 };

static xlm_status flags(xlm_run_settings **s, char tool, xlm_error *err, const char *const *args) {
  char *argv[MOST];
  int n = 0;
  for (; args[n]; n++) argv[n] = (char *)(uintptr_t)args[n];
  *s = xlm_settings_new(arena, tool);
  return xlm_settings_flags(*s, n, argv, err);
}
#define FLAGS(...) ((const char *const[MOST]){__VA_ARGS__})

static void write_run(const char *text) {
  FILE *f = fopen(path, "w");
  fputs(text, f);
  fclose(f);
}

static void test_flags(void **state) {
  (void)state;
  xlm_run_settings *s;
  xlm_error err = {0};
  assert_int_equal(flags(&s, 't', &err,
                         FLAGS("m.xlm", "--max-steps=1_000", "--lr", "1e-3", "--data", "a", "b",
                               "--hidden-size", "64", "--resume", "--overwrite")),
                   XLM_OK);
  assert_int_equal(s->n_positional, 1);
  assert_string_equal(s->positional[0], "m.xlm");
  assert_int_equal(xlm_setting_int(s, XLM_SET_max_steps), 1000);
  assert_true(xlm_setting_float(s, XLM_SET_learning_rate) == 1e-3);
  assert_int_equal(s->value[XLM_SET_data].n, 2);
  assert_string_equal(s->value[XLM_SET_data].list[1], "b");
  assert_string_equal(xlm_setting_text(s, XLM_SET_resume), "latest");
  assert_true(xlm_setting_bool(s, XLM_SET_overwrite));
  assert_true(xlm_setting_float(s, XLM_SET_adam_beta2) == 0.95);
  assert_false(xlm_setting_given(s, XLM_SET_metrics));
  static const xlm_public_name names[] = {{"hidden", "hidden"}, {"hidden_size", "hidden"}, {"ffn", "ffn"}};
  assert_int_equal(xlm_settings_resolve(s, names, 3, &err), XLM_OK);
  assert_string_equal(s->value[XLM_SET_set].list[0], "hidden_size=64");
  assert_int_equal(flags(&s, 't', &err, FLAGS("--data", "a", "m.xlm", "--resume", "m.xlm", "--", "--x")),
                   XLM_OK);
  assert_int_equal(s->value[XLM_SET_data].n, 1); // a model file ends the list of data files
  assert_int_equal(s->n_positional, 3);
}

static void test_switches(void **state) {
  (void)state;
  static const struct {
    const char *args[3];
    bool on;
    const char *left; // not a value of the switch, so it is the model
  } rows[] = {{{"--profile"}, true, NULL},
              {{"--profile=no"}, false, NULL},
              {{"--profile", "false"}, false, NULL},
              {{"--profile", "on"}, true, NULL},
              {{"--no-profile"}, false, NULL},
              {{"--no-profile", "m.xlm"}, false, "m.xlm"},
              {{"--profile", "m.xlm"}, true, "m.xlm"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xlm_run_settings *s;
    xlm_error err = {0};
    assert_int_equal(flags(&s, 'b', &err, rows[i].args), XLM_OK);
    assert_int_equal(xlm_setting_bool(s, XLM_SET_profile), rows[i].on);
    assert_int_equal(s->n_positional, rows[i].left != NULL);
    if (rows[i].left) assert_string_equal(s->positional[0], rows[i].left);
  }
}

static void test_flag_mistakes(void **state) {
  (void)state;
  static const struct {
    const char *args[4], *says;
  } rows[] = {
      {{"--max-steps", "ten"}, "--max-steps: 'ten' is not a whole number"},
      {{"--max-steps", "1.5"}, "not a whole number"},
      {{"--max-steps", "0"}, "must lie between 1 and"},
      {{"--max-steps"}, "--max-steps needs a value"},
      {{"--max-steps", "--lr"}, "--max-steps needs a value"},
      {{"--lr", "nan"}, "not a number"},
      {{"--lr", "1e999"}, "not a number"},
      {{"--lr-schedule", "cos"}, "not one of cosine, linear, constant, wsd"},
      {{"--overwrite=maybe"}, "not true or false"},
      {{"--no-overwrite=false"}, "--no-overwrite takes no value"},
      {{"--no-max-steps"}, "unknown flag '--no-max-steps'"}, // no switch
      {{"-x"}, "two dashes"},
      {{"--config"}, "needs a YAML file"},
      {{"--max-step", "5"}, "unknown flag '--max-step'; did you mean '--max-steps'?"},
      {{"--hiden_size=5"}, "did you mean '--hidden-size'?"},
      {{"--zzzzzzzz", "5"}, "unknown flag '--zzzzzzzz'; --help"},
      {{"--hidden-size"}, "--hidden-size needs a value"},
      {{"--temperature", "1"}, "'--temperature' is a flag of other commands"}, // generate's, not train's
  };
  static const xlm_public_name names[] = {{"hidden", "hidden"}, {"hidden_size", "hidden"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xlm_run_settings *s;
    xlm_error err = {0};
    xlm_status status = flags(&s, 't', &err, rows[i].args);
    if (status == XLM_OK) status = xlm_settings_resolve(s, names, 2, &err);
    assert_int_equal(status, XLM_USER);
    if (!strstr(err.text, rows[i].says)) fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
  }
}

// A dim of the model has the value of the source with the highest precedence, under any of its names.
static void test_dims_merge(void **state) {
  (void)state;
  static const xlm_public_name names[] = {{"hidden", "hidden"},
                                          {"hidden_size", "hidden"},
                                          {"layers", "layers"},
                                          {"num_layers", "layers"},
                                          {"ffn", "ffn"}};
  xlm_run_settings *s;
  xlm_error err = {0};
  write_run("set: { layers: 1, hidden: 64, ffn: 96 }\nmesh: { rows: 2, columns: 3, tp: 2 }\n");
  assert_int_equal(
      flags(&s, 't', &err,
            FLAGS("--layers", "2", "--set", "hidden_size=128", "--hidden-size", "256", "--mesh", "rows=4")),
      XLM_OK);
  if (xlm_settings_file(s, path, &err)) fail_msg("%s", err.text);
  assert_int_equal(xlm_settings_put_whole(s, XLM_SET_set, "seq=32\nffn=7\nnum_layers=9", XLM_FROM_CHECKPOINT,
                                          "checkpoint", &err),
                   XLM_OK);
  assert_int_equal(xlm_settings_resolve(s, names, 5, &err), XLM_OK);
  assert_string_equal(xlm_settings_whole(s, XLM_SET_set), "seq=32\nffn=96\nlayers=2\nhidden_size=256");
  assert_string_equal(xlm_settings_whole(s, XLM_SET_mesh), "columns=3\nrows=4");
  assert_int_equal(s->value[XLM_SET_set].origin[0].source, XLM_FROM_CHECKPOINT);
  assert_string_equal(s->value[XLM_SET_set].origin[3].where, "--hidden-size");
}

static void test_file(void **state) {
  (void)state;
  write_run("model: models/llama.xlm\n"
            "set:      { ffn: 2048, hidden: 64 }\n"
            "data:     { train: [a.bin, b.bin], valid: held_out.bin }\n"
            "train:\n  max_steps: 50\n  learning_rate: 3.0e-4\n  dtype: bf16\n"
            "output:   { dir: out, metrics: metrics.jsonl }\n");
  xlm_run_settings *s;
  xlm_error err = {0};
  assert_int_equal(flags(&s, 't', &err, FLAGS("--max-steps", "7", "--set", "ffn=1")), XLM_OK);
  if (xlm_settings_file(s, path, &err)) fail_msg("%s", err.text);
  assert_int_equal(xlm_setting_int(s, XLM_SET_max_steps), 7); // the command line takes precedence
  assert_int_equal(s->value[XLM_SET_set].n, 2);               // of each dim, too
  assert_string_equal(s->value[XLM_SET_set].list[0], "hidden=64");
  assert_string_equal(s->value[XLM_SET_set].list[1], "ffn=1");
  assert_string_equal(xlm_setting_text(s, XLM_SET_dtype), "bf16");
  assert_string_equal(xlm_setting_text(s, XLM_SET_model), "models/llama.xlm");
  assert_int_equal(s->value[XLM_SET_data].n, 2);
  assert_string_equal(s->value[XLM_SET_valid].list[0], "held_out.bin");
  s = xlm_settings_new(arena, 't');
  assert_int_equal(xlm_settings_file(s, path, &err), XLM_OK);
  assert_string_equal(s->value[XLM_SET_set].list[1], "hidden=64");
  assert_int_equal(xlm_settings_put(s, XLM_SET_max_steps, "9", XLM_FROM_CHECKPOINT, "checkpoint", &err),
                   XLM_OK);
  assert_int_equal(xlm_setting_int(s, XLM_SET_max_steps), 50);
  write_run("");
  assert_int_equal(xlm_settings_file(s, path, &err), XLM_OK);
  write_run("preset:\ntrain:\n");
  assert_int_equal(xlm_settings_file(s, path, &err), XLM_OK);
}

static void test_file_mistakes(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
  } rows[] = {
      {"train:\n  max_step: 5\n", ":2: unknown key 'max_step' in `train`; did you mean 'max_steps'?"},
      {"max_steps: 5\n", ":1: unknown key 'max_steps'; it belongs in the section `train:`"},
      {"data: { metrics: x }\n", "it belongs in the section `output:`"},
      {"trian:\n  max_steps: 5\n", "did you mean 'train'?"},
      {"train:\n  max_steps: five\n", ":2: 'five' is not a whole number"},
      {"train:\n  max_steps: [5]\n", ":2: 'max_steps' needs one value"},
      {"train: 5\n", "the section `train` must have keys and values"},
      {"train:\n  seed: 1\n  seed: 2\n", ":3: the key 'seed' is given twice"},
      {"- 5\n", "must have keys and values"},
      {"train: {\n", ":2"},
      {"set: { a: [1] }\n", "must have names and numbers"},
      {"? [a]\n: 5\n", "a key must be a name"},
      {"data: {train: &x [*x]}\n", "needs one value"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    xlm_run_settings *s = xlm_settings_new(arena, 't');
    xlm_error err = {0};
    write_run(rows[i].text);
    assert_int_equal(xlm_settings_file(s, path, &err), XLM_USER);
    if (!strstr(err.text, rows[i].says)) fail_msg("%zu: '%s' does not say '%s'", i, err.text, rows[i].says);
  }
}

static void test_print(void **state) {
  (void)state;
  xlm_run_settings *s, *back = xlm_settings_new(arena, 't');
  xlm_error err = {0};
  assert_int_equal(
      flags(&s, 't', &err, FLAGS("--model", "a \"b\"\\c.xlm", "--data", "x y", "z: w", "--set", "a=1")),
      XLM_OK);
  xlm_text first = xlm_text_new(arena), second = xlm_text_new(arena);
  xlm_settings_print(s, &first);
  write_run(first.data);
  if (xlm_settings_file(back, path, &err)) fail_msg("%s\n%s", err.text, first.data);
  xlm_settings_print(back, &second);
  assert_string_equal(first.data, second.data);
  assert_non_null(strstr(first.data, "  max_steps: 10000\n"));
  xlm_text help = xlm_text_new(arena);
  xlm_settings_help('g', &help);
  assert_non_null(strstr(help.data, "--top-p"));
  assert_null(strstr(help.data, "--max-steps"));
}

static void test_bytes(void **state) {
  (void)state;
  uint64_t n;
  assert_true(xlm_settings_bytes("24GiB", &n) && n == (uint64_t)24 << 30);
  assert_true(xlm_settings_bytes("1.5 MB", &n) && n == 1500000);
  assert_true(xlm_settings_bytes("2G", &n) && n == (uint64_t)2 << 30);
  assert_false(xlm_settings_bytes("GiB", &n) || xlm_settings_bytes("-1", &n) ||
               xlm_settings_bytes("1 XB", &n));
}

// Every setting of an optimizer is one of runs, under the same name, with the same default and limits.
static void test_optimizer_settings(void **state) {
  (void)state;
  for (int i = 0; xlm_optimizers[i]; i++)
    for (int k = 0; k < XLM_OPTIMIZER_SETTINGS && xlm_optimizers[i]->settings[k].name; k++) {
      const xlm_optimizer_setting *o = &xlm_optimizers[i]->settings[k];
      xlm_setting_id id;
      if (!xlm_settings_find("train", o->name, &id)) fail_msg("settings.def has no %s", o->name);
      const xlm_setting_info *s = &xlm_setting_table[id];
      bool is_switch = s->type == XLM_SETTING_BOOL;
      double initial = is_switch ? !strcmp(s->initial, "true") : atof(s->initial);
      if (strcmp(s->id, o->name) || initial != o->initial)
        fail_msg("%s: another default than the optimizer's", o->name);
      if (!is_switch && (s->low != o->low || s->high != o->high)) fail_msg("%s: other limits", o->name);
    }
}

// An unknown optimizer is refused wherever it comes from.
static void test_unknown_optimizer(void **state) {
  (void)state;
  static const xlm_setting_source from[] = {XLM_FROM_CHECKPOINT, XLM_FROM_FILE, XLM_FROM_FLAG};
  for (int i = 0; i < 3; i++) {
    xlm_run_settings *s = xlm_settings_new(arena, 't');
    xlm_error err = {0};
    assert_int_equal(xlm_settings_put(s, XLM_SET_optimizer, "adamv", from[i], "here", &err), XLM_USER);
    assert_string_equal(err.text,
                        "here: 'adamv' is not one of adamw, sgd, lion, muon, adafactor; did you mean 'adamw'?");
    for (int k = 0; xlm_optimizers[k]; k++)
      assert_int_equal(xlm_settings_put(s, XLM_SET_optimizer, xlm_optimizers[k]->name, from[i], "here", &err),
                       XLM_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_flags),
      cmocka_unit_test(test_switches),
      cmocka_unit_test(test_flag_mistakes),
      cmocka_unit_test(test_dims_merge),
      cmocka_unit_test(test_file),
      cmocka_unit_test(test_file_mistakes),
      cmocka_unit_test(test_print),
      cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_optimizer_settings),
      cmocka_unit_test(test_unknown_optimizer),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
