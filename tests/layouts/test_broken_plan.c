// Plans from files that a compiler would not make: each is rejected with a message that says where, and none
// crashes the program.
//
//   test_broken_plan         known errors, and some mutants
//   test_broken_plan SEED    with other mutants, from SEED on
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/fuzz/fuzz_plan.c"
#include "tests/fuzz/mutate_json.h"
#include "tests/train/train_util.h"

static xlm_arena *arena;
static uint32_t first_seed = 1;

static int set_up(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

typedef struct layout {
  const char *model;
  xlm_mesh mesh;
  const char *schedule;
  int zero;
  int64_t microbatches; // 0 = 1
  bool decodes;         // has the programs of decoding instead of those of training
} layout;

static xlm_text plan_text(const layout *l) {
  toy_options o = toy_defaults(l->model);
  o.sets = !strcmp(l->model, "mixtral")
               ? "layers=2 hidden=8 heads=2 kv_heads=2 ffn=8 vocab=16 seq=8 experts=4"
               : "layers=2 hidden=8 heads=2 kv_heads=2 ffn=8 vocab=16 seq=8";
  o.batch = 4;
  o.with_eval = true;
  if (l->microbatches) o.microbatches = l->microbatches;
  xlm_compile_options c = toy_compile_options(arena, &o);
  c.mesh = l->mesh;
  c.zero = l->zero;
  c.schedule = l->schedule;
  if (l->decodes) c.programs = XLM_WITH_PREFILL | XLM_WITH_DECODE, c.chunk = 3;
  xlm_text t = xlm_text_new(arena);
  xlm_plan_print_json(toy_plan(arena, toy_source(arena, l->model), &c), &t);
  return t;
}

static const layout alone = {"llama", {0}, "1f1b", 0};
static const layout thrice = {"llama", {.n = 1, .axis = {"dp"}, .size = {2}}, "1f1b", 0, 3};
static const layout grid = {"llama", {.n = 2, .axis = {"dp", "tp"}, .size = {2, 2}}, "1f1b", 1};

// The error in the plan; NULL: none.
static const char *verdict(const char *text, size_t n) {
  const xlm_plan *p = NULL;
  xlm_error err = {0};
  if (xlm_plan_read_json(arena, text, n, &p, &err) != XLM_OK) return xlm_arena_strdup(arena, err.text);
  return xlm_plan_verify_saved(p, arena).text;
}

// ---- one lie each ----

static json_t *at(json_t *root, const char *path) { // "rank_plans 0 tensors 3 dims"
  char word[64];
  int used;
  json_t *v = root;
  for (const char *p = path; sscanf(p, " %63s%n", word, &used) == 1; p += used) {
    v = json_is_array(v) ? json_array_get(v, (size_t)atoi(word)) : json_object_get(v, word);
    if (!v) fail_msg("the plan has no %s", path);
  }
  return v;
}

static size_t find_op(json_t *root, const char *op) {
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 instructions"), i,
                     x) if (!strcmp(json_string_value(json_object_get(x, "op")), op)) return i;
  fail_msg("the plan has no %s", op);
  return 0;
}

static json_t *op_at(json_t *root, const char *op) {
  return json_array_get(at(root, "rank_plans 0 instructions"), find_op(root, op));
}

static void drop_operand(json_t *root) {
  json_array_remove(json_object_get(op_at(root, "contract"), "in"), 1);
}
static void swap_operands(json_t *root) {
  json_t *in = json_object_get(op_at(root, "lookup"), "in"), *first = json_incref(json_array_get(in, 0));
  json_array_remove(in, 0);
  json_array_append_new(in, first);
}
static void rename_op(json_t *root) {
  json_object_set_new(op_at(root, "rope"), "op", json_string("softmax_bwd"));
}
static void unknown_op(json_t *root) {
  json_object_set_new(op_at(root, "rope"), "op", json_string("launch"));
}
static void view_as_kernel(json_t *root) {
  json_object_set_new(op_at(root, "rope"), "op", json_string("rename"));
}
static void other_stream(json_t *root) {
  json_object_set_new(op_at(root, "lookup"), "stream", json_integer(1));
}
static void drop_attributes(json_t *root) {
  json_object_set_new(op_at(root, "all_gather"), "attrs", json_object());
}
static void empty_dim(json_t *root) {
  json_array_clear(json_object_get(json_object_get(op_at(root, "lookup"), "attrs"), "vocab"));
}
static void no_seq(json_t *root) {
  json_object_del(json_object_get(op_at(root, "rope"), "attrs"), "seq");
}
static void no_feature(json_t *root) {
  json_object_del(json_object_get(op_at(root, "rope"), "attrs"), "feature");
}
static void other_feature(json_t *root) {
  json_t *attrs = json_object_get(op_at(root, "rope"), "attrs");
  json_object_set(attrs, "feature", json_object_get(attrs, "seq"));
}
static void foreign_attribute(json_t *root) {
  json_object_set_new(json_object_get(op_at(root, "rope"), "attrs"), "axes", json_integer(1));
}
static void not_a_flag(json_t *root) {
  json_object_set_new(json_object_get(op_at(root, "attend"), "attrs"), "causal", json_integer(1LL << 40));
}
static void set_dim(json_t *root, const char *dim, const char *field, int64_t value) {
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 dims"), i,
                     x) if (!strcmp(json_string_value(json_object_get(x, "name")), dim))
      json_object_set_new(x, field, json_integer(value));
}
static void other_mesh(json_t *root) {
  json_t *mesh = at(root, "mesh");
  json_object_set_new(json_array_get(mesh, 0), "size", json_integer(1));
  json_object_set_new(json_array_get(mesh, 1), "size", json_integer(4));
}
static void fewer_ranks(json_t *root) {
  json_array_remove(at(root, "rank_plan_of"), 0);
}
static void unsplit(json_t *root) {
  set_dim(root, "ffn", "axes", 0);
}
static void part_outside(json_t *root) {
  set_dim(root, "ffn", "offset", 6);
}
static void longer_dim(json_t *root) { // the copy that is split
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 dims"), i,
                     x) if (!strcmp(json_string_value(json_object_get(x, "name")), "ffn") &&
                            json_integer_value(json_object_get(x, "axes")))
      json_object_set_new(x, "full", json_integer(10));
}
static void between_lines(json_t *root) {
  json_object_set_new(op_at(root, "contract"), "workspace_at", json_integer(4));
}
static void wrong_grain(json_t *root) {
  set_dim(root, "ffn", "grain", 3);
}
static void same_state(json_t *root) {
  json_object_set(at(root, "rank_plans 0 states 1"), "name", at(root, "rank_plans 0 states 0 name"));
}
static void other_role(json_t *root) {
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 inputs"), i, x) {
    bool tokens = !strcmp(json_string_value(json_object_get(x, "role")), "tokens");
    json_object_set_new(x, "role", json_string(tokens ? "lr" : "tokens"));
  }
}
static void longer_samples(json_t *root) {
  json_object_set_new(root, "seq", json_integer(800000));
}
static void more_microbatches(json_t *root) {
  json_object_set_new(root, "microbatches", json_integer(1000000));
}
static void weight_twice(json_t *root) {
  json_t *factors = at(root, "weights 0 factors");
  json_array_append(factors, json_array_get(factors, json_array_size(factors) - 1));
}
static void part_of_nothing(json_t *root) {
  json_t *factor = at(root, "weights 0 factors 0");
  json_object_set_new(factor, "dim", json_integer(0));
  json_object_set_new(factor, "at", json_integer(3));
  json_object_set_new(factor, "of", json_integer(3));
}
static void part_of_a_dim(json_t *root) {
  json_object_set_new(at(root, "weights 0 factors 0"), "size", json_integer(2));
}
static void no_text(json_t *root) {
  json_object_del(root, "source_text");
}
static json_t *variant(json_t *root, const char *kind, const char *name, int64_t *index) {
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 segments"), i, x) {
    if (strcmp(json_string_value(json_object_get(x, "kind")), kind)) continue;
    *index = (int64_t)i;
    if (!strcmp(json_string_value(json_object_get(x, "variant")), name)) return x;
  }
  fail_msg("the plan has no %s %s", name, kind);
  return NULL;
}
static void run_backward(json_t *root, int of, const char *name) { // the of-th one as variant `name`
  size_t i;
  json_t *x;
  int64_t b;
  (void)variant(root, "B", name, &b);
  json_array_foreach(at(root, "rank_plans 0 schedule"), i, x) {
    json_t *s = json_array_get(at(root, "rank_plans 0 segments"),
                               (size_t)json_integer_value(json_object_get(x, "segment")));
    if (!strcmp(json_string_value(json_object_get(s, "kind")), "B") && of-- == 0)
      json_object_set_new(x, "segment", json_integer(b));
  }
}
static void first_again(json_t *root) {
  run_backward(root, 1, "first");
}
static void no_first(json_t *root) {
  run_backward(root, 0, "middle");
}
static void last_too_soon(json_t *root) {
  run_backward(root, 1, "last");
}
static void call_it(json_t *root, const char *name, const char *other) {
  int64_t b;
  json_object_set_new(variant(root, "B", name, &b), "variant", json_string(other));
}
static void only_one(json_t *root) {
  call_it(root, "first", "only");
}
static void unknown_variant(json_t *root) {
  call_it(root, "first", "second");
}
static void set_store(json_t *root, const char *name, int64_t store) { // of the first sum
  int64_t b;
  json_t *s = variant(root, "B", name, &b);
  json_int_t first = json_integer_value(json_object_get(s, "first")),
             n = json_integer_value(json_object_get(s, "n"));
  for (json_int_t i = first; i < first + n; i++) {
    json_t *x = json_array_get(at(root, "rank_plans 0 instructions"), (size_t)i);
    if (strcmp(json_string_value(json_object_get(x, "op")), "contract_acc")) continue;
    json_object_set_new(json_object_get(x, "attrs"), "store", json_integer(store));
    return;
  }
  fail_msg("the %s backward has no sum", name);
}
static void adds_first(json_t *root) {
  set_store(root, "first", 0);
}
static void stores_last(json_t *root) {
  set_store(root, "last", 1);
}
static void overflow(json_t *root) {
  size_t i;
  json_t *x;
  json_array_foreach(at(root, "rank_plans 0 dims"), i, x)
      json_object_set_new(x, "size", json_integer(1LL << 40));
}

static const struct {
  const layout *of;
  void (*lie)(json_t *root);
  const char *told;
} lies[] = {{&alone, drop_operand, "`contract`"},
            {&alone, swap_operands, "is not as its rule says"},
            {&alone, rename_op, "`softmax_bwd`"},
            {&alone, unknown_op, "unknown operation `launch`"},
            {&alone, view_as_kernel, "no kernel runs it"},
            {&alone, other_stream, "`lookup`"},
            {&alone, empty_dim, "`vocab` names 0 dimensions"},
            {&alone, no_seq, "its attribute `seq` does not follow from its operands"},
            {&alone, no_feature, "it lacks the attribute `feature`"},
            {&alone, other_feature, "`rope`"},
            {&alone, foreign_attribute, "it takes no attribute `axes`"},
            {&alone, not_a_flag, "`causal` is"},
            {&grid, drop_attributes, "`all_gather`"},
            {&grid, other_mesh, "4 members"},
            {&grid, longer_dim, "the mesh gives it 5 of the 10 elements of `ffn`"},
            {&alone, between_lines, "a multiple of 64"},
            {&grid, fewer_ranks, "3 ranks"},
            {&grid, unsplit, "dimension `ffn`"},
            {&grid, part_outside, "dimension `ffn`"},
            {&grid, wrong_grain, "dimension `ffn`"},
            {&alone, same_state, "is another one"},
            {&alone, other_role, "has another type"},
            {&alone, longer_samples, "has another type"},
            {&alone, more_microbatches, "microbatch"},
            {&alone, weight_twice, "the weight of"},
            {&alone, part_of_nothing, "the weight of"},
            {&alone, part_of_a_dim, "the weight of"},
            {&alone, no_text, "source_text"},
            {&thrice, first_again, "the first variant of segment B out of its order"},
            {&thrice, no_first, "adds to what an earlier step left"},
            {&thrice, last_too_soon, "variant of segment B out of its order"},
            {&thrice, only_one, "variant of segment B out of its order"},
            {&thrice, unknown_variant,
             "`variant`: no variant of a segment is called `second`: there are only, first, middle, last"},
            {&thrice, adds_first, "adds to what an earlier step left"},
            {&thrice, stores_last, "overwrites what it should add to"},
            {&alone, overflow, "size of tensor"}};

static void test_lies(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    xlm_text t = plan_text(lies[i].of);
    if (verdict(t.data, t.n)) fail_msg("plan %d: %s", (int)i, verdict(t.data, t.n));
    json_t *root = json_loadb(t.data, t.n, 0, NULL);
    assert_non_null(root);
    lies[i].lie(root);
    char *text = json_dumps(root, 0);
    const char *why = verdict(text, strlen(text));
    if (!why || !strstr(why, lies[i].told))
      fail_msg("lie %d: no word of %s: %s", (int)i, lies[i].told, why ? why : "accepted");
    free(text);
    json_decref(root);
  }
}

// ---- every attribute of every operation ----

typedef struct attr_trial {
  json_t *root, *attrs; // of one instruction
  const char *key;
  uint32_t n_dims;
  int refused, run;
} attr_trial;

// A plan with `value` as the attribute (NULL: without it) is rejected with a message, or runs without harm.
static void try_attr(attr_trial *t, json_t *value) {
  json_t *was = json_deep_copy(t->attrs);
  if (value)
    json_object_set_new(t->attrs, t->key, value);
  else
    json_object_del(t->attrs, t->key);
  char *text = json_dumps(t->root, JSON_COMPACT);
  int before = fuzz_sound;
  LLVMFuzzerTestOneInput((uint8_t *)text, strlen(text));
  *(fuzz_sound > before ? &t->run : &t->refused) += 1;
  free(text);
  json_object_clear(t->attrs);
  json_object_update(t->attrs, was);
  json_decref(was);
}

static void try_dims(attr_trial *t, json_t *list) {
  try_attr(t, json_array());
  for (size_t i = 0; i < json_array_size(list); i++)
    for (int k = 0; k < 2; k++) {
      json_int_t d = json_integer_value(json_array_get(list, i));
      json_t *other = json_deep_copy(list);
      json_array_set_new(other, i, json_integer(k ? 1 : d % (t->n_dims - 1) + 1));
      try_attr(t, other);
    }
  json_t *twice = json_deep_copy(list);
  if (json_array_size(list)) json_array_append(twice, json_array_get(list, 0));
  try_attr(t, twice);
}

static void try_values(attr_trial *t, json_t *value) {
  static const json_int_t ints[] = {-1, 0, 7, (json_int_t)1 << 49, INT64_MAX};
  static const double reals[] = {-1, 1e300};
  static const char *const texts[] = {"", "nonsense", "f32", "1,1;1,1"};
  try_attr(t, NULL);
  if (json_is_array(value)) try_dims(t, value);
  for (size_t i = 0; json_is_integer(value) && i < sizeof ints / sizeof *ints; i++)
    try_attr(t, json_integer(ints[i]));
  for (size_t i = 0; json_is_real(value) && i < sizeof reals / sizeof *reals; i++)
    try_attr(t, json_real(reals[i]));
  for (size_t i = 0; json_is_string(value) && i < sizeof texts / sizeof *texts; i++)
    try_attr(t, json_string(texts[i]));
}

static void try_plan(const layout *l, attr_trial *t) {
  xlm_text text = plan_text(l);
  t->root = json_loadb(text.data, text.n, 0, NULL);
  bool seen[XLM_OP_COUNT][XLM_ATTR_KEYS] = {{false}};
  json_t *x, *value;
  size_t i;
  t->n_dims = (uint32_t)json_array_size(at(t->root, "rank_plans 0 dims")) + 1;
  json_array_foreach(at(t->root, "rank_plans 0 instructions"), i, x) {
    xlm_op_id op = xlm_op_find(json_string_value(json_object_get(x, "op")));
    t->attrs = json_object_get(x, "attrs");
    const char *keys[XLM_ATTR_KEYS], *name;
    int n = 0;
    json_object_foreach(t->attrs, name, value) keys[n++] = xlm_arena_strdup(arena, name);
    for (int k = 0; k < n; k++) {
      xlm_attr_key key;
      t->key = keys[k];
      assert_true(xlm_attr_parse(t->key, &key));
      if (seen[op][key]) continue;
      seen[op][key] = true;
      json_t *copy = json_deep_copy(json_object_get(t->attrs, t->key));
      try_values(t, copy);
      json_decref(copy);
    }
  }
  json_decref(t->root);
}

static void every_attribute(void **state) {
  (void)state;
  static const layout layouts[] = {
      {"llama", {.n = 2, .axis = {"dp", "tp"}, .size = {2, 2}}, "1f1b", 1},
      {"mixtral", {0}, "1f1b", 0},
      {"mixtral", {.n = 1, .axis = {"ep"}, .size = {2}}, "1f1b", 0},
  };
  attr_trial t = {0};
  fuzz_packed = true;
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) try_plan(&layouts[i], &t);
  fuzz_packed = false;
  fuzz_read = fuzz_sound = fuzz_run = 0;
  printf("%d refused, %d sound\n", t.refused, t.run);
  assert_true(t.refused > 100 && t.run > 0);
}

// ---- any lie ----

static void cut_short(void **state) {
  (void)state;
  xlm_text t = plan_text(&alone);
  int read = (int)fuzz_read, run = (int)fuzz_run; // by the tests before this one
  for (size_t n = 0; n < t.n - 2; n += 1 + n / 50) {
    char *part = malloc(n + 1);
    memcpy(part, t.data, n);
    LLVMFuzzerTestOneInput((uint8_t *)part, n);
    free(part);
  }
  assert_int_equal(fuzz_read, read);
  LLVMFuzzerTestOneInput((uint8_t *)t.data, t.n);
  assert_int_equal(fuzz_run, run + 1);
}

static void fuzz(size_t (*change)(char *, size_t, uint32_t), double seconds) {
  static const layout layouts[] = {
      {"llama", {0}, "1f1b", 0},
      {"llama", {.n = 2, .axis = {"dp", "tp"}, .size = {2, 2}}, "1f1b", 1},
      {"llama", {.n = 1, .axis = {"pp"}, .size = {2}}, "zb-h1", 0},
      {"mixtral", {.n = 1, .axis = {"ep"}, .size = {2}}, "1f1b", 0},
      {"llama", {.n = 1, .axis = {"pp"}, .size = {2}}, "1f1b", 0, .decodes = true},
  };
  enum { LAYOUTS = sizeof layouts / sizeof *layouts, MUTANTS = 4000 };
  xlm_text texts[LAYOUTS];
  for (int i = 0; i < LAYOUTS; i++) texts[i] = plan_text(&layouts[i]);
  clock_t begin = clock();
  fuzz_read = fuzz_sound = fuzz_run = 0;
  for (uint32_t seed = first_seed;
       seed - first_seed < MUTANTS && (double)(clock() - begin) / CLOCKS_PER_SEC < seconds; seed++) {
    const xlm_text *t = &texts[seed % LAYOUTS];
    char *text = malloc(t->n + 256);
    memcpy(text, t->data, t->n);
    size_t n = change(text, t->n, seed);
    text = realloc(text, n + 1);
    LLVMFuzzerTestOneInput((uint8_t *)text, n);
    free(text);
  }
  printf("%d read, %d sound, %d run\n", fuzz_read, fuzz_sound, fuzz_run);
}

static void test_mutants(void **state) {
  (void)state;
  fuzz(mutate, 5);
}

static void test_numbers(void **state) {
  (void)state;
  fuzz(mutate_number, 10);
  assert_true(fuzz_read > fuzz_sound && fuzz_sound >= fuzz_run && fuzz_run > 0);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(every_attribute, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(cut_short, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(test_mutants, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down)};
  if (argc == 2) first_seed = (uint32_t)strtoul(argv[1], NULL, 10);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
