// Evaluation tasks against lm-evaluation-harness: the same models, the same published files
// (tests/train/tasks, made by tools/parity/lm_eval_tasks.py). Loglikelihoods of every text within 1e-4, what
// is counted equal, in several layouts and forms of the files.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/train/scratch.h"

#define FOLDER XLM_SOURCE_DIR "/tests/train/tasks"

static json_t *expected;

static int load(void **state) {
  expected = json_load_file(FOLDER "/expected.json", 0, NULL);
  return expected ? make_root(state) : -1;
}

static int unload(void **state) {
  json_decref(expected);
  return remove_root(state);
}

// Runs `xlmrun eval` on a model with more arguments; returns the exit code. Standard output goes to out.json,
// records to samples.jsonl.
static int eval(const char *model, const char *arguments) {
  char command[4096];
  snprintf(
      command, sizeof command,
      "cd '" XLM_SOURCE_DIR "' && '" XLM_BINARY_DIR "/xlmrun' eval models/%s.xlm --init-from " FOLDER "/%s "
      "--seq-length 64 --threads 2 --format json --samples %s/samples.jsonl %s > %s/out.json 2> %s/err.txt",
      model, model, root, arguments, root, root);
  int status = system(command);
  return status < 0 ? status : status >> 8;
}

static double number(const json_t *v) {
  return json_is_number(v) ? json_number_value(v) : NAN;
}

// lm_eval writes "N/A" where there is no error, and has that of a perplexity from random samples.
static void check_measures(const json_t *got, const json_t *want) {
  const char *name;
  json_t *m;
  json_object_foreach(json_object_get((json_t *)(uintptr_t)got, "measures"), name, m) {
    double value = number(json_object_get(want, name)), x = number(json_object_get(m, "value"));
    char error[64];
    snprintf(error, sizeof error, "%s_stderr", name);
    double stderr_there = number(json_object_get(want, error)), here = number(json_object_get(m, "stderr"));
    assert_true(fabs(x - value) <= 1e-5 * fabs(value));
    if (isnan(stderr_there))
      assert_true(isnan(here));
    else if (strcmp(name, "perplexity") != 0)
      assert_true(fabs(here - stderr_there) <= 1e-9);
  }
}

static json_t *result_of(const json_t *results, const char *task) {
  size_t i;
  json_t *x;
  json_array_foreach(json_object_get(results, "tasks"), i,
                     x) if (!strcmp(json_string_value(json_object_get(x, "task")), task)) return x;
  return NULL;
}

// Long texts: lm_eval adds up in f32.
static void check_record(const json_t *got, const json_t *want, double tolerance) {
  const json_t *lls = json_object_get(want, "loglikelihoods"), *greedy = json_object_get(want, "greedy");
  assert_int_equal(json_array_size(json_object_get(got, "loglikelihoods")), json_array_size(lls));
  for (size_t i = 0; i < json_array_size(lls); i++) {
    double x = number(json_array_get(json_object_get(got, "loglikelihoods"), i)),
           y = number(json_array_get(lls, i));
    if (!(fabs(x - y) <= tolerance + 1e-6 * fabs(y))) fail_msg("loglikelihood %.9g, not %.9g", x, y);
    if (greedy)
      assert_int_equal(json_is_true(json_array_get(json_object_get(got, "greedy"), i)),
                       json_is_true(json_array_get(greedy, i)));
  }
}

// Every line of samples.jsonl, in the order of the tasks.
static int check_records(const json_t *model, double tolerance) {
  FILE *f = fopen(in_root("samples.jsonl"), "r");
  char task[64] = "";
  size_t i = 0;
  int n = 0;
  assert_non_null(f);
  for (json_t *r; (r = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL)); json_decref(r), n++) {
    const char *name = json_string_value(json_object_get(r, "task"));
    if (strcmp(name, task) != 0) snprintf(task, sizeof task, "%s", name), i = 0;
    const json_t *records = json_object_get(json_object_get(model, name), "records");
    assert_true(i < json_array_size(records));
    check_record(r, json_array_get(records, i++), tolerance);
  }
  fclose(f);
  return n;
}

#define ALL_TASKS                                                                                            \
  "--tasks hellaswag,arc_easy,arc_challenge,openbookqa,sciq,boolq,winogrande "                               \
  "--tasks piqa,lambada_openai,wikitext "
enum { RECORDS = 6 + 5 + 4 + 3 + 3 + 4 + 4 + 5 + 6 + 3 };

// want: what lm_eval has of each task.
static void check_against(json_t *want, const char *model, const char *arguments, int records) {
  int code = eval(model, arguments);
  if (code) {
    char text[512] = "";
    FILE *f = fopen(in_root("err.txt"), "r");
    if (f) text[fread(text, 1, sizeof text - 1, f)] = 0, fclose(f);
    fail_msg("exit code %d: %s: %s", code, arguments, text);
  }
  json_t *got = json_load_file(in_root("out.json"), 0, NULL);
  assert_non_null(got);
  assert_int_equal(json_integer_value(json_object_get(got, "window")), 64);
  const char *task;
  json_t *x;
  json_object_foreach(want, task, x) {
    const json_t *result = result_of(got, task);
    if (!result) continue; // not asked for, or with examples
    assert_int_equal(json_integer_value(json_object_get(result, "records")),
                     json_array_size(json_object_get(x, "records")));
    check_measures(result, json_object_get(x, "measures"));
  }
  assert_int_equal(check_records(want, 1e-4), records);
  json_decref(got);
}

static void check(const char *model, const char *arguments, int records) {
  check_against(json_object_get(expected, model), model, arguments, records);
}

static int64_t length(void) { // of the sequences of the last evaluation
  json_t *got = json_load_file(in_root("out.json"), 0, NULL);
  int64_t n = json_integer_value(json_object_get(got, "length"));
  json_decref(got);
  return n;
}

static void test_gpt2(void **state) {
  (void)state;
  check("gpt2", ALL_TASKS "--task-data " FOLDER "/raw", RECORDS);
}

// Sequences are as long as the longest row; of GPT-2's learned positions the first are taken.
static void test_short(void **state) {
  (void)state;
  check("gpt2", "--tasks piqa --task-data " FOLDER "/raw", 5);
  assert_int_equal(length(), 48);
  check("gpt2", "--tasks piqa --task-data " FOLDER "/raw --tp 2", 5);
  check("llama", "--tasks piqa --task-data " FOLDER "/raw", 5);
}

// Its tokenizer puts a token before every text.
static void test_llama(void **state) {
  (void)state;
  check("llama", ALL_TASKS "--task-data " FOLDER "/raw --micro-batch-size 3", RECORDS);
}

// Examples in the prompt: the same ones, in the same order.
static void test_shots(void **state) {
  static const struct {
    const char *task;
    int shots, records;
  } cases[] = {{"arc_easy", 2, 5}, {"winogrande", 3, 4}, {"hellaswag", 7, 6}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char key[64], arguments[512];
    snprintf(key, sizeof key, "%s %d", cases[i].task, cases[i].shots);
    snprintf(arguments, sizeof arguments, "--tasks %s --shots %d --task-data " FOLDER "/raw", cases[i].task,
             cases[i].shots);
    json_t *of_model = json_object_get(json_object_get(expected, "llama"), key);
    assert_non_null(of_model);
    json_t *want = json_pack("{s:O}", cases[i].task, of_model);
    check_against(want, "llama", arguments, cases[i].records);
    json_decref(want);
  }
}

static void test_layouts(void **state) {
  (void)state;
  check("llama", ALL_TASKS "--task-data " FOLDER "/raw --tp 2", RECORDS);
  check("llama", ALL_TASKS "--task-data " FOLDER "/raw --dp 2 --pp 2 --micro-batch-size 2", RECORDS);
  check("llama", "--tasks wikitext --task-data " FOLDER "/raw --cp 2", 3);
}

static void test_documents(void **state) {
  (void)state;
  check("gpt2", "--tasks wikitext --task-data wikitext=" FOLDER "/hub/documents.jsonl", 3);
}

// Skipped by a build without Arrow.
static void test_tables(void **state) {
  (void)state;
  if (eval("gpt2", "--tasks piqa --task-data " FOLDER "/hub") == 1) {
    char command[256];
    snprintf(command, sizeof command, "grep -q 'built without Arrow' %s", in_root("err.txt"));
    assert_int_equal(system(command), 0);
    skip();
  }
  check("gpt2", ALL_TASKS "--task-data " FOLDER "/hub", RECORDS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gpt2),   cmocka_unit_test(test_short),   cmocka_unit_test(test_llama),
      cmocka_unit_test(test_shots),  cmocka_unit_test(test_layouts), cmocka_unit_test(test_documents),
      cmocka_unit_test(test_tables),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
