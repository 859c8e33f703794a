// States, initial values, weights of other tools, checkpoints: on a small hand-made plan, whole and split
// over two ranks.
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
#include <jansson.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/lock.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/state/init.h"
#include "runtime/interchange/safetensors.h"
#include "runtime/state/store.h"
#include "runtime/interchange/weights.h"
#include "runtime/plan/mesh.h"

enum { D = 6, H = 4, HD = 3, E = 2, F = 5, STATES = 8, DIMS = 8 };
enum { DIM_D = 1, DIM_H, DIM_HD, DIM_E, DIM_F, DIM_ONE };

typedef struct world { // a plan for one or two ranks and the memory of its states
  xlm_plan plan;
  xlm_rank_plan rank[2], *rank_plans[2];
  uint32_t rank_plan_of[2];
  xlm_dim_info dims[2][DIMS];
  xlm_tensor tensors[STATES + 1];
  xlm_plan_state states[STATES];
  float memory[2][STATES][512];
  xlm_store *store;
  uint32_t refuses; // state + 1; 0 = none
} world;

static bool is_here(void *arg, uint32_t rank) {
  return rank < ((world *)arg)->plan.n_ranks;
}

// Bytes outside of the local tensor are nobody's business.
static char *place(world *w, uint32_t rank, uint32_t state, size_t at, size_t bytes) {
  size_t room = (size_t)xlm_type_elements(&w->tensors[state + 1].type, w->dims[rank]) * sizeof(float);
  assert_true(at <= room && bytes <= room - at);
  return (char *)w->memory[rank][state] + at;
}

static xlm_status put(void *arg, uint32_t rank, uint32_t state, size_t at, const void *from, size_t bytes,
                      xlm_error *err) {
  world *w = arg;
  if (w->refuses == state + 1) return xlm_fail(err, XLM_ENV, "the device refuses state %u", state);
  memcpy(place(w, rank, state, at, bytes), from, bytes);
  return XLM_OK;
}

static xlm_status get(void *arg, uint32_t rank, uint32_t state, size_t at, void *to, size_t bytes,
                      xlm_error *err) {
  world *w = arg;
  if (w->refuses == state + 1) return xlm_fail(err, XLM_ENV, "the device refuses state %u", state);
  memcpy(to, place(w, rank, state, at, bytes), bytes);
  return XLM_OK;
}

static void add_state(world *w, int i, const char *name, const char *role, const char *init, xlm_type type) {
  w->tensors[i + 1] = (xlm_tensor){.name = name, .type = type};
  w->states[i] = (xlm_plan_state){name, role, init, (uint32_t)i + 1, strcmp(role, "gradient") != 0};
}

static const xlm_plan_weight weights[] = {
    {"wq", "attn.c.weight", 0, 2, {{1, {DIM_D}, 0, 0}, {2, {DIM_H, DIM_HD}, 0, 3}}},
    {"wk", "attn.c.weight", 0, 2, {{1, {DIM_D}, 0, 0}, {2, {DIM_H, DIM_HD}, 1, 3}}},
    {"wv", "attn.c.weight", 0, 2, {{1, {DIM_D}, 0, 0}, {2, {DIM_H, DIM_HD}, 2, 3}}},
    {"gate", "moe.{experts}.w1", DIM_E, 2, {{1, {DIM_F}, 0, 0}, {1, {DIM_D}, 0, 0}}},
    {"bias", "moe.bias", 0, 1, {{1, {DIM_H}, 0, 0}}}, // a state
};
static const xlm_plan_config config[] = {{"hidden", 1, {"hidden_size"}, 6, true},
                                         {"eps", 1, {"rms_norm_eps"}, 1e-5, false}};

static xlm_dim_info split_dim(const char *name, int64_t full, int rank, bool mirrored) {
  xlm_mesh two = {.n = 1, .axis = {"tp"}, .size = {2}};
  xlm_dim_info d = {.name = name, .full = full, .axes = 1, .mirrored = mirrored};
  xlm_dim_set_piece(&d, xlm_mesh_local(&two, &d, (int32_t[XLM_MAX_AXES]){rank}));
  return d;
}

static world *new_world_of(int ranks, bool mirrored) {
  world *w = calloc(1, sizeof *w);
  static const xlm_dim_info base[DIMS] = {{0},
                                          {"hidden", D, D, 0},
                                          {"heads", H, H, 0},
                                          {"head", HD, HD, 0},
                                          {"experts", E, E, 0},
                                          {"ffn", F, F, 0}};
  xlm_type attention = {XLM_F32, 3, {DIM_D, DIM_H, DIM_HD}}, gate = {XLM_F32, 3, {DIM_E, DIM_D, DIM_F}};
  xlm_type scale = {XLM_F32, 1, {DIM_D}};
  add_state(w, 0, "wq", "parameter", "normal(0.5)", attention);
  add_state(w, 1, "wk", "parameter", "normal(0.5)", attention);
  add_state(w, 2, "wv", "parameter", "uniform(-1, 2)", attention);
  add_state(w, 3, "gate", "parameter", "normal(1)", gate);
  add_state(w, 4, "scale", "parameter", "ones", scale);
  add_state(w, 5, "adam.m/wq", "optimizer", "constant(0.25)", attention);
  add_state(w, 6, "grad/wq", "gradient", "zeros", attention);
  add_state(w, 7, "bias", "state", "uniform(-1, 2)", (xlm_type){XLM_F32, 1, {DIM_H}});
  for (int r = 0; r < ranks; r++) {
    memcpy(w->dims[r], base, sizeof base);
    if (ranks == 2) { // 4 heads = 2 + 2, 5 ffn = 3 + 2; the rest is on both ranks
      w->dims[r][DIM_H] = split_dim("heads", H, r, mirrored);
      w->dims[r][DIM_F] = split_dim("ffn", F, r, mirrored);
    }
    w->rank[r] = (xlm_rank_plan){.n_dims = DIMS,
                                 .dims = w->dims[r],
                                 .n_tensors = STATES + 1,
                                 .tensors = w->tensors,
                                 .n_states = STATES,
                                 .states = w->states};
    w->rank_plans[r] = &w->rank[r];
    w->rank_plan_of[r] = (uint32_t)r;
  }
  w->plan = (xlm_plan){.model = "llama",
                       .text_hash = "abc",
                       .seq = 16,
                       .mesh = {.n = 1, .axis = {"tp"}, .size = {ranks}},
                       .n_ranks = (uint32_t)ranks,
                       .n_rank_plans = (uint32_t)ranks,
                       .rank_plan_of = w->rank_plan_of,
                       .rank_plans = w->rank_plans,
                       .n_weights = 5,
                       .weights = weights,
                       .n_config = 2,
                       .config = config,
                       .weights_name = "huggingface"};
  memset(w->memory, 0xAA, sizeof w->memory);
  assert_int_equal(xlm_store_new(&w->plan, (xlm_states){w, is_here, put, get}, &w->store, NULL), XLM_OK);
  return w;
}

static world *new_world(int ranks) {
  return new_world_of(ranks, false);
}

static void free_world(world *w) {
  xlm_store_free(w->store);
  free(w);
}

static void init_world(world *w, uint64_t seed) {
  xlm_error err;
  if (xlm_store_init(w->store, seed, false, NULL, &err)) fail_msg("%s", err.text);
}

static void get_all(const world *w, const char *name, float *out) {
  const xlm_stored *t = xlm_store_find(w->store, name);
  assert_non_null(t);
  assert_int_equal(xlm_store_get(w->store, t, NULL, out, NULL), XLM_OK);
}

static void expect_same(const world *a, const world *b, bool parameters_only) {
  for (int i = 0; i < a->store->n; i++) {
    const xlm_stored *t = &a->store->at[i];
    if (!t->saved || (parameters_only && strcmp(t->role, "parameter"))) continue;
    float x[512], y[512];
    get_all(a, t->name, x);
    get_all(b, t->name, y);
    if (memcmp(x, y, sizeof(float) * (size_t)t->n)) fail_msg("'%s' differs", t->name);
  }
}

static char root[64];

static int make_root(void **state) {
  (void)state;
  strcpy(root, "/tmp/xlm-test-ckpt-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

static const char *in_root(const char *name) {
  static char paths[64][256];
  static int next;
  char *p = paths[next++ % 64];
  snprintf(p, sizeof paths[0], "%s/%s", root, name);
  return p;
}

static void test_init_text(void **state) {
  (void)state;
  xlm_init x;
  xlm_error err;
  assert_int_equal(xlm_init_parse("normal(0.02)", &x, NULL), XLM_OK);
  assert_true(x.kind == XLM_INIT_NORMAL && x.b == 0.02f);
  assert_int_equal(xlm_init_parse("uniform(-0.5, 2e-1)", &x, NULL), XLM_OK);
  assert_true(x.kind == XLM_INIT_UNIFORM && x.a == -0.5f && x.b == 0.2f);
  assert_int_equal(xlm_init_parse("ones", &x, NULL), XLM_OK);
  assert_true(x.kind == XLM_INIT_CONSTANT && x.a == 1);
  assert_int_equal(xlm_init_parse("constant(-3)", &x, NULL), XLM_OK);
  assert_true(x.a == -3);
  static const char *const bad[] = {"",           "normal", "normal()", "normal(1, 2)",
                                    "uniform(1)", "once",   "ones(1)",  "normal(1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(xlm_init_parse(bad[i], &x, &err), XLM_USER);
}

// Moments of the normal, range of the uniform, and the same values whatever the range asked for.
static void test_init_values(void **state) {
  (void)state;
  enum { N = 200000 };
  static float all[N], some[1000];
  xlm_philox key = xlm_philox_key(1, 2);
  xlm_init normal = {XLM_INIT_NORMAL, 0, 2}, uniform = {XLM_INIT_UNIFORM, -1, 3};
  xlm_init_fill(&normal, key, 0, N, all);
  double m[5] = {0};
  for (int i = 0; i < N; i++)
    for (int k = 1; k <= 4; k++) m[k] += __builtin_pow(all[i] / 2, k) / N;
  assert_true(__builtin_fabs(m[1]) < 0.01 && __builtin_fabs(m[2] - 1) < 0.01);
  assert_true(__builtin_fabs(m[3]) < 0.03 && __builtin_fabs(m[4] - 3) < 0.06);
  for (int at = 0; at < 3000; at += 17) {
    xlm_init_fill(&normal, key, at, 1 + at % 1000, some);
    assert_memory_equal(some, all + at, sizeof(float) * (size_t)(1 + at % 1000));
  }
  double mean = 0;
  xlm_init_fill(&uniform, key, 0, N, all);
  for (int i = 0; i < N; i++) {
    assert_true(all[i] >= -1 && all[i] <= 3);
    mean += all[i] / N;
  }
  assert_true(__builtin_fabs(mean - 1) < 0.02);
  // Box and Muller in double precision, from the same counters.
  xlm_init_fill(&normal, key, 4, 4, some);
  uint32_t w[4];
  xlm_philox_draw(key, 0, 1, w);
  for (int k = 0; k < 4; k += 2) {
    double radius = 2 * __builtin_sqrt(-2 * __builtin_log(((w[k] >> 1) + 0.5) * 0x1p-31));
    double angle = w[k + 1] * 0x1p-32 * 6.283185307179586;
    assert_true(__builtin_fabs(some[k] - radius * __builtin_cos(angle)) < 2e-6);
    assert_true(__builtin_fabs(some[k + 1] - radius * __builtin_sin(angle)) < 2e-6);
  }
}

static void test_init_layout(void **state) {
  (void)state;
  world *a = new_world(1), *b = new_world(2), *c = new_world(1), *d = new_world_of(2, true);
  init_world(a, 5), init_world(b, 5), init_world(d, 5);
  expect_same(a, b, false);
  expect_same(a, d, false);
  xlm_pool *pool;
  assert_int_equal(xlm_pool_new(3, &pool, NULL), XLM_OK);
  assert_int_equal(xlm_store_init(c->store, 5, false, pool, NULL), XLM_OK);
  xlm_pool_free(pool);
  expect_same(a, c, false);
  assert_true(a->memory[0][4][0] == 1 && a->memory[0][5][3] == 0.25f && a->memory[0][6][71] == 0);
  init_world(c, 6);
  assert_memory_not_equal(a->memory[0][0], c->memory[0][0], sizeof(float) * 72);
  assert_memory_not_equal(a->memory[0][0], a->memory[0][1], sizeof(float) * 72);
  free_world(a), free_world(b), free_world(c), free_world(d);
}

static xlm_box random_box(const xlm_stored *t, uint32_t *seed) {
  xlm_box b = {{0}, {0}};
  for (int i = 0; i < t->rank; i++) {
    int64_t from = (*seed = *seed * 1664525u + 1013904223u) >> 8,
            n = (*seed = *seed * 1664525u + 1013904223u) >> 8;
    b.begin[i] = from % t->shape[i];
    b.end[i] = b.begin[i] + 1 + n % (t->shape[i] - b.begin[i]);
  }
  return b;
}

// Where element i of the box lies in the tensor.
static int64_t place_of(const xlm_stored *t, const xlm_box *b, int64_t i) {
  int64_t at = 0, stride = 1;
  for (int d = t->rank - 1; d >= 0; d--) {
    int64_t size = b->end[d] - b->begin[d];
    at += (b->begin[d] + i % size) * stride;
    i /= size, stride *= t->shape[d];
  }
  return at;
}

// Any box of a tensor, whole or split, goes in and comes out as if it lay in one piece.
static void test_boxes(void **state) {
  (void)state;
  world *whole = new_world(1), *split = new_world(2), *mirrored = new_world_of(2, true);
  world *const all[] = {whole, split, mirrored};
  uint32_t seed = 1;
  for (int k = 0; k < 3; k++) init_world(all[k], 5);
  for (int i = 0; i < whole->store->n; i++)
    for (int round = 0; round < 300; round++) {
      const xlm_stored *first = &whole->store->at[i];
      xlm_box b = random_box(first, &seed);
      int64_t n = xlm_box_elements(first, &b);
      float expected[512], out[512], in[512];
      assert_int_equal(xlm_store_get(whole->store, first, NULL, expected, NULL), XLM_OK);
      for (int64_t j = 0; j < n; j++) in[j] = expected[place_of(first, &b, j)] = (float)(round * 1000 + j);
      for (int k = 0; k < 3; k++) {
        const xlm_stored *t = &all[k]->store->at[i];
        assert_int_equal(xlm_store_put(all[k]->store, t, &b, in, NULL), XLM_OK);
        assert_int_equal(xlm_store_get(all[k]->store, t, &b, out, NULL), XLM_OK);
        assert_memory_equal(out, in, sizeof(float) * (size_t)n);
        assert_int_equal(xlm_store_get(all[k]->store, t, NULL, out, NULL), XLM_OK);
        assert_memory_equal(out, expected, sizeof(float) * (size_t)t->n);
        assert_true(xlm_store_has(t, &b));
      }
    }
  for (int k = 0; k < 3; k++) free_world(all[k]);
}

// What a device says goes up: nothing is taken for done that was not.
static void test_refusals(void **state) {
  (void)state;
  world *w = new_world(2);
  xlm_error err = {0};
  float out[512];
  const xlm_stored *t = xlm_store_find(w->store, "gate");
  xlm_pool *pool;
  w->refuses = 4;
  assert_int_equal(xlm_pool_new(3, &pool, NULL), XLM_OK);
  assert_int_equal(xlm_store_init(w->store, 5, false, pool, &err), XLM_ENV);
  assert_string_equal(err.text, "the device refuses state 3");
  assert_int_equal(xlm_store_get(w->store, t, NULL, out, &err), XLM_ENV);
  assert_int_equal(xlm_store_put(w->store, t, NULL, out, &err), XLM_ENV);
  xlm_pool_free(pool);
  free_world(w);
}

static xlm_checkpoint_info info_at(int64_t step) {
  static const xlm_checkpoint_setting settings[] = {{"preset", "nano"}, {"set.hidden", "6"}};
  return (xlm_checkpoint_info){.step = step,
                               .tokens = step < INT64_MAX / 64 ? step * 64 : INT64_MAX,
                               .samples = step < INT64_MAX / 4 ? step * 4 : INT64_MAX,
                               .seed = UINT64_MAX,
                               .model_path = "models/llama.xlm",
                               .model_text = "model llama\n",
                               .text_hash = "abc",
                               .settings = settings,
                               .n_settings = 2};
}

static void save(const world *w, const char *dir, int64_t step, int keep) {
  xlm_checkpoint_info info = info_at(step);
  xlm_error err = {0};
  char path[4096];
  if (xlm_checkpoint_save(w->store, &w->plan, dir, &info, keep, path, &err)) fail_msg("%s", err.text);
  assert_int_equal(access(path, R_OK), 0);
}

static xlm_status import(const world *w, const xlm_safetensors *from, xlm_error *err) {
  xlm_weights *x;
  assert_int_equal(xlm_weights_new(w->store, &w->plan, &x, NULL), XLM_OK);
  xlm_status status = xlm_weights_import(x, from, err);
  xlm_weights_free(x);
  return status;
}

static void floats_of(const xlm_st_tensor *t, float *out) {
  assert_true(xlm_st_floats(t->dtype, t->data, t->n, out));
}

static void test_export(void **state) {
  (void)state;
  world *w = new_world_of(2, true), *back = new_world(1);
  init_world(w, 9);
  save(w, in_root("x"), 1, 0);
  xlm_safetensors *s;
  xlm_error err = {0};
  assert_int_equal(xlm_safetensors_open(in_root("x/step-00000001/model.safetensors"), &s, NULL), XLM_OK);
  assert_int_equal(xlm_safetensors_count(s), 5);
  const xlm_st_tensor *packed = xlm_safetensors_find(s, "attn.c.weight"),
                      *expert = xlm_safetensors_find(s, "moe.1.w1");
  assert_true(packed && packed->rank == 2 && packed->shape[0] == D && packed->shape[1] == 3 * H * HD);
  assert_true(expert && expert->rank == 2 && expert->shape[0] == F && expert->shape[1] == D);
  float external[512], own[512];
  floats_of(packed, external);
  get_all(w, "wk", own);
  for (int d = 0; d < D; d++)
    for (int h = 0; h < H * HD; h++)
      assert_true(external[d * 3 * H * HD + H * HD + h] == own[d * H * HD + h]);
  floats_of(expert, external);
  get_all(w, "gate", own);
  for (int f = 0; f < F; f++)
    for (int d = 0; d < D; d++) assert_true(external[f * D + d] == own[(1 * D + d) * F + f]);
  assert_int_equal(import(back, s, &err), XLM_OK);
  get_all(w, "bias", own);
  assert_memory_equal(back->memory[0][7], own, H * sizeof(float));
  expect_same(w, back, true);
  xlm_safetensors_close(s);
  free_world(w), free_world(back);
}

static void test_import_faults(void **state) {
  (void)state;
  world *w = new_world(1), *other = new_world(1);
  init_world(w, 9);
  other->plan.n_weights = 0; // own names
  xlm_error err = {0};
  save(w, in_root("x"), 1, 0);
  xlm_safetensors *s;
  assert_int_equal(xlm_safetensors_open(in_root("x/step-00000001/model.safetensors"), &s, NULL), XLM_OK);
  assert_int_equal(import(other, s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "lack 4 of the model's 5 tensors, first 'gate'"));
  xlm_store *wider, *own = w->store;
  w->dims[0][DIM_F].size = w->dims[0][DIM_F].full = 4;
  assert_int_equal(xlm_store_new(&w->plan, (xlm_states){w, is_here, put, get}, &wider, NULL), XLM_OK);
  w->store = wider;
  assert_int_equal(import(w, s, &err), XLM_USER);
  w->store = own;
  assert_non_null(strstr(err.text, "'moe.0.w1' has shape [5, 6] in the file, but the model wants [4, 6]"));
  xlm_store_free(wider);
  xlm_safetensors_close(s);
  free_world(w), free_world(other);
}

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
  assert_int_equal(xlm_checkpoint_open(dir, &c, &err), XLM_OK);
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
  if (xlm_checkpoint_open(dir, &c, &err) != XLM_OK) fail_msg("%s", err.text);
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
    assert_int_equal(xlm_checkpoint_open(dir, &c, &err), XLM_OK);
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
  assert_non_null(strstr(xlm_saver_note(s), "step-00000001' stays"));
  xlm_saver_close(s);
  assert_int_equal(access(in_root("foreign/step-00000001/model.safetensors"), F_OK), 0);
  assert_int_not_equal(access(in_root("foreign/step-00000002"), F_OK), 0);
  assert_int_not_equal(access(in_root("foreign/step-00000003"), F_OK), 0);
  assert_int_equal(xlm_checkpoint_clear(in_root("foreign"), &err), XLM_USER);
  free_world(w);
}

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
  assert_int_equal(xlm_lock_take(root, &first, &err), XLM_OK);
  if (first < 0) skip(); // a file system without locks
  assert_int_equal(xlm_lock_take(root, &second, &err), XLM_USER);
  char holder[64];
  snprintf(holder, sizeof holder, "process %ld on ", (long)getpid());
  assert_non_null(strstr(err.text, holder));
  assert_non_null(strstr(err.text, "--output-dir"));
  xlm_lock_release(first);
  assert_int_equal(xlm_lock_take(root, &second, &err), XLM_OK);
  xlm_lock_release(second);
  assert_int_equal(xlm_lock_take(in_root("no/such/folder"), &second, &err), XLM_ENV);
}

static void test_killed_writer(void **state) {
  (void)state;
  world *w = new_world(1);
  char command[256];
  init_world(w, 3);
  snprintf(command, sizeof command,
           "mkdir -p %s/killed/.writing-1 && touch %s/killed/.writing-1/model.safetensors", root, root);
  assert_int_equal(system(command), 0);
  assert_false(xlm_checkpoint_exists(in_root("killed")));
  save(w, in_root("killed"), 1, 3);
  assert_int_not_equal(access(in_root("killed/.writing-1"), F_OK), 0);
  free_world(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_init_text),
      cmocka_unit_test(test_init_values),
      cmocka_unit_test(test_init_layout),
      cmocka_unit_test(test_boxes),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_export),
      cmocka_unit_test(test_import_faults),
      cmocka_unit_test(test_save_load),
      cmocka_unit_test(test_keep_and_damage),
      cmocka_unit_test(test_killed_writer),
      cmocka_unit_test(test_impossible_manifest),
      cmocka_unit_test(test_lock),
      cmocka_unit_test(test_shards),
      cmocka_unit_test(test_failed_save),
      cmocka_unit_test(test_foreign_folder),
  };
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
