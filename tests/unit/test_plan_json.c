// The plan as JSON: it reads back as the same plan, and a damaged or hostile file is rejected with a message,
// never accepted and never fatal.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "compiler/parse/load.h"
#include "runtime/base/map.h"
#include "runtime/device/kernel.h"
#include "tests/fuzz/mutate_json.h"
#include "tests/here.h"

enum { STEPS = XLM_WITH_TRAIN | XLM_WITH_EVAL, ALL = STEPS | XLM_WITH_PREFILL | XLM_WITH_DECODE };

static const xlm_plan *make_with(xlm_arena *a, const char *model, const xlm_set *sets, int n_sets,
                                 const xlm_mesh *mesh, const char *schedule, uint32_t programs) {
  const char *path = xlm_arena_printf(a, "%s/models/%s.xlm", XLM_SOURCE_DIR, model);
  xlm_map text;
  xlm_error err;
  assert_int_equal(xlm_map_open(path, &text, &err), XLM_OK);
  const xlm_source *source =
      xlm_source_load(a, path, xlm_arena_strndup(a, (const char *)text.data, text.n), text.n);
  xlm_map_close(&text);
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.preset = "nano";
  o.settings.batch = 2;
  o.settings.sets = sets;
  o.settings.n_sets = n_sets;
  o.train.microbatches = 2;
  o.mesh = *mesh;
  o.schedule = schedule;
  o.programs = programs, o.chunk = 16;
  plan_for_here(&o, "cpu", 1);
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  const xlm_plan *p = xlm_compile(a, source, &o, &d, NULL, NULL).plan;
  assert_non_null(p);
  return p;
}

static const xlm_plan *make_plan(xlm_arena *a, const char *model, const xlm_set *sets, int n_sets) {
  return make_with(a, model, sets, n_sets, &(xlm_mesh){0}, "1f1b", STEPS);
}

static xlm_text print(xlm_arena *a, const xlm_plan *p) {
  xlm_text t = xlm_text_new(a);
  xlm_plan_print_json(p, &t);
  return t;
}

static void test_round_trip(void **state) {
  static const char *const models[] = {"llama", "gpt2", "qwen3", "mixtral", "freestyle"};
  (void)state;
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    xlm_arena *a = xlm_arena_new(0);
    const xlm_plan *p = make_with(a, models[i], NULL, 0, &(xlm_mesh){0}, "1f1b", ALL), *again = NULL;
    xlm_text first = print(a, p);
    xlm_error err = {0};
    if (xlm_plan_read_json(a, first.data, first.n, &again, &err) != XLM_OK)
      fail_msg("%s: %s", models[i], err.text);
    xlm_text second = print(a, again);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.data, second.data, first.n);
    assert_true(again->rank_plans[0]->arena_bytes == p->rank_plans[0]->arena_bytes);
    assert_int_equal(again->rank_plans[0]->n_instrs, p->rank_plans[0]->n_instrs);
    xlm_text with = xlm_text_new(a); // as `xlmc plan --format json` writes it
    xlm_json j;
    xlm_json_to_text(&j, &with);
    xlm_json_object(&j, NULL, XLM_JSON_LINES);
    xlm_plan_write_json(p, &j);
    xlm_json_put_made(&j, "report", "{\"stages\": [{\"slots\": 7}]}");
    xlm_json_close(&j);
    assert_int_equal(xlm_plan_read_json(a, with.data, with.n, &again, &err), XLM_OK);
    second = print(a, again);
    assert_memory_equal(first.data, second.data, first.n);
    xlm_arena_free(a);
  }
}

static const xlm_dim_info *split_seq(const xlm_plan *p) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t i = 1; i < r->n_dims; i++)
    if (!strcmp(r->dims[i].name, "seq") && r->dims[i].axes) return &r->dims[i];
  fail_msg("`seq` is not split");
  return NULL;
}

static void test_split_dimensions(void **state) { // over cp, from both ends: in two runs
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = make_with(a, "llama", NULL, 0, &(xlm_mesh){.n = 1, .axis = {"cp"}, .size = {3}}, "1f1b",
                                STEPS),
                 *again = NULL;
  xlm_text text = print(a, p);
  assert_int_equal(xlm_plan_read_json(a, text.data, text.n, &again, NULL), XLM_OK);
  const xlm_dim_info *x = split_seq(p), *y = split_seq(again);
  assert_true(x->tail && x->mirrored == 1 && x->size < x->full);
  assert_true(y->tail == x->tail && y->tail_offset == x->tail_offset && y->mirrored == x->mirrored);
  assert_string_equal(print(a, again).data, text.data);
  xlm_arena_free(a);
}

// ---- files that lie ----

static const xlm_set small[] = {{"layers", "1"}, {"hidden", "8"}, {"heads", "2"},
                                {"ffn", "8"},    {"seq", "8"},    {"vocab", "16"}};
enum { N_SMALL = sizeof small / sizeof *small };

static xlm_status read_text(const char *text, size_t n, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = NULL;
  xlm_status s = xlm_plan_read_json(a, text, n, &p, err);
  xlm_arena_free(a);
  return s;
}

static void test_numbers_out_of_range(void **state) {
  static const char *const keys[] = {
      "xlm_plan", "batch", "threads", "arena_bytes", "peak_instr",   "eval",    "size",  "tensor", "train",
      "area",     "bytes", "offset",  "workspace",   "workspace_at", "segment", "first", "n",      "view_of"};
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = print(a, make_plan(a, "llama", small, N_SMALL));
  for (size_t i = 0; i < 2 * sizeof keys / sizeof *keys; i++) {
    const char *key = xlm_arena_printf(a, "\"%s\": ", keys[i / 2]), *at = strstr(t.data, key);
    if (!at) fail_msg("the plan has no %s", key);
    const char *value = at + strlen(key), *rest = value + strspn(value, "-0123456789");
    const char *lie = xlm_arena_printf(a, "%.*s%s%s", (int)(value - t.data), t.data,
                                       i % 2 ? "-7" : "9223372036854775807", rest);
    xlm_error err = {0};
    if (read_text(lie, strlen(lie), &err) != XLM_USER)
      fail_msg("%s%s was accepted", key, i % 2 ? "-7" : "2^63 - 1");
    assert_non_null(strstr(err.text, "not a plan"));
  }
  xlm_arena_free(a);
}

// Weights in panels, as plans that only decode have them.
static void test_panels(void **state) {
  static const char *const lies[] = {"[0, 1, 0]",   "[24, 0, 0]", "[24, 2, 0]", "[24, 9, 1]",   "[24, 1]",
                                     "[999, 1, 0]", "[-1, 1, 0]", "24",         "[24, 1, 0, 0]"};
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t =
      print(a, make_with(a, "gpt2", NULL, 0, &(xlm_mesh){0}, "1f1b", XLM_WITH_PREFILL | XLM_WITH_DECODE));
  const xlm_plan *again;
  xlm_error err = {0};
  assert_int_equal(xlm_plan_read_json(a, t.data, t.n, &again, &err), XLM_OK);
  assert_string_equal(print(a, again).data, t.data);
  const char *up = strstr(t.data, "\"name\": \"layers.0.mlp.up\", \"dtype\"");
  const char *value = strstr(up ? up : t.data, "\"panels\": ") + strlen("\"panels\": "),
             *end = strchr(value, ']') + 1;
  assert_true(up && value < strchr(up, '}'));
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    const char *lie = xlm_arena_printf(a, "%.*s%s%s", (int)(value - t.data), t.data, lies[i], end);
    if (read_text(lie, strlen(lie), &err) != XLM_USER) fail_msg("panels %s were accepted", lies[i]);
    assert_non_null(strstr(err.text, "not a plan"));
  }
  const char *activation = strstr(t.data, "\"category\": \"activations\""); // not of a state
  assert_non_null(activation);
  const char *lie =
      xlm_arena_printf(a, "%.*s\"panels\": [24, 1, 0], %s", (int)(activation - t.data), t.data, activation);
  assert_int_equal(read_text(lie, strlen(lie), &err), XLM_USER);
  assert_non_null(strstr(err.text, "cannot be in panels"));
  xlm_arena_free(a);
}

// Slots are the memory of a pipeline's values: a plan with one that is too small, missing or out of order
// must not run.
static void test_slots_out_of_range(void **state) {
  static const struct {
    const char *before;
    int skip; // numbers
    const char *lie;
  } lies[] = {{"\"slots\": [[", 0, "64"},
              {"\"slots\": [[", 1, "64"},
              {"\"slots\": [[", 1, "99999999"},
              {"\"microbatch\": 0, \"slots\": [", 0, "-1"},
              {"\"microbatch\": 0, \"slots\": [", 0, "7"},
              {"\"microbatch\": 0, \"slots\": [", 0, "-2"},
              {"\"microbatch\": 0, \"slots\": [", 1, "-1"},
              {"\"microbatch\": 0, \"slots\": [", 1, "\"0\""}};
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  static const xlm_set two[] = {{"layers", "2"}, {"hidden", "8"}, {"heads", "2"},
                                {"ffn", "8"},    {"seq", "8"},    {"vocab", "16"}};
  xlm_mesh mesh = {.n = 1, .axis = {"pp"}, .size = {2}};
  xlm_text t = print(a, make_with(a, "llama", two, 6, &mesh, "zb-h1", STEPS));
  const xlm_plan *again;
  xlm_error err = {0};
  assert_int_equal(xlm_plan_read_json(a, t.data, t.n, &again, &err), XLM_OK);
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    const char *value = strstr(t.data, lies[i].before);
    assert_non_null(value);
    value += strlen(lies[i].before);
    for (int k = 0; k < lies[i].skip; k++) value = strchr(value, ',') + 2;
    const char *lie = xlm_arena_printf(a, "%.*s%s%s", (int)(value - t.data), t.data, lies[i].lie,
                                       value + strspn(value, "-0123456789"));
    if (read_text(lie, strlen(lie), &err) != XLM_USER) fail_msg("lie %d was accepted", (int)i);
    assert_non_null(strstr(err.text, "not a plan"));
  }
  xlm_arena_free(a);
}

static void test_nonsense(void **state) {
  static const char *const texts[] = {"",
                                      "x",
                                      "null",
                                      "[]",
                                      "{}",
                                      "{\"xlm_plan\": 1}",
                                      "{\"xlm_plan\": 2}",
                                      "\xff\xfe",
                                      "{\"xlm_plan\": 1, \"xlm_plan\": 1}"};
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    xlm_error err = {0};
    assert_int_equal(read_text(texts[i], strlen(texts[i]), &err), XLM_USER);
    assert_non_null(strstr(err.text, "not a plan"));
  }
  enum { DEEP = 100000 };
  char *deep = malloc(DEEP);
  xlm_error err = {0};
  memset(deep, '[', DEEP);
  assert_int_equal(read_text(deep, DEEP, &err), XLM_USER);
  free(deep);
}

// What the reader accepts, it has understood: written and read again it is the same.
static void check_accepted(xlm_arena *a, const xlm_plan *p, uint32_t seed) {
  xlm_text first = print(a, p);
  const xlm_plan *again = NULL;
  xlm_error err = {0};
  if (xlm_plan_read_json(a, first.data, first.n, &again, &err) != XLM_OK)
    fail_msg("mutant %u: %s", seed, err.text);
  xlm_text second = print(a, again);
  if (first.n != second.n || memcmp(first.data, second.data, first.n))
    fail_msg("mutant %u reads back differently", seed);
}

static void test_mutants(void **state) {
  enum { MUTANTS = 4000, SECONDS = 6 };
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = print(a, make_plan(a, "llama", small, N_SMALL));
  char *mutant = malloc(t.n + 256);
  uint32_t accepted = 0, refused = 0;
  clock_t begin = clock();
  for (uint32_t seed = 0; seed < MUTANTS && (clock() - begin) / CLOCKS_PER_SEC < SECONDS; seed++) {
    memcpy(mutant, t.data, t.n);
    size_t n = mutate(mutant, t.n, seed);
    char *exact = malloc(n + 1); // so that a read behind the end is seen by the sanitizers
    memcpy(exact, mutant, n);
    xlm_arena *b = xlm_arena_new(0);
    const xlm_plan *p = NULL;
    xlm_error err = {0};
    xlm_status s = xlm_plan_read_json(b, exact, n, &p, &err);
    assert_true(s == XLM_OK || (s == XLM_USER && *err.text));
    if (s == XLM_OK) check_accepted(b, p, seed);
    if (s == XLM_OK)
      accepted++;
    else
      refused++;
    xlm_arena_free(b);
    free(exact);
  }
  assert_true(accepted > 0 && refused > 0);
  free(mutant);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_split_dimensions),
                                     cmocka_unit_test(test_numbers_out_of_range),
                                     cmocka_unit_test(test_panels),
                                     cmocka_unit_test(test_slots_out_of_range),
                                     cmocka_unit_test(test_nonsense),
                                     cmocka_unit_test(test_mutants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
