// See hand_world.h.
#include "tests/train/hand_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/plan/mesh.h"

static bool is_here(void *arg, uint32_t rank) {
  const world *w = arg;
  return rank < w->plan.n_ranks && (!w->only || rank == w->only - 1);
}

// Bytes outside of the local tensor must not be accessed.
static char *place(world *w, uint32_t rank, uint32_t state, size_t at, size_t bytes) {
  const xlm_type *type = &w->tensors[w->first_state[rank] + state + 1].type;
  size_t room = (size_t)xlm_type_elements(type, w->dims[rank]) * sizeof(float);
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

xlm_states states_of(world *w) {
  return (xlm_states){w, is_here, put, get};
}

static void add_state(world *w, int i, const char *name, xlm_role role, xlm_init init, xlm_type type) {
  w->tensors[i + 1] = (xlm_tensor){.name = name, .type = type};
  w->states[i] = (xlm_plan_state){name, role, init, (uint32_t)i + 1, role != XLM_ROLE_GRADIENT};
}

#define WHOLE(g, d)                                                                                          \
  { .group = g, .dim = d, .step = 1 }
#define PART(g, k, m)                                                                                        \
  { .group = g, .at = k, .of = m }
static const xlm_plan_factor of_wq[] = {WHOLE(0, DIM_D), PART(1, 0, 3), WHOLE(1, DIM_H), WHOLE(1, DIM_HD)},
                             of_wk[] = {WHOLE(0, DIM_D), PART(1, 1, 3), WHOLE(1, DIM_H), WHOLE(1, DIM_HD)},
                             of_wv[] = {WHOLE(0, DIM_D), PART(1, 2, 3), WHOLE(1, DIM_H), WHOLE(1, DIM_HD)},
                             of_gate[] = {WHOLE(0, DIM_F), WHOLE(1, DIM_D)}, of_bias[] = {WHOLE(0, DIM_H)};
static const xlm_plan_weight weights[] = {
    {"wq", "attn.c.weight", .n_groups = 2, .n_factors = 4, .factors = of_wq},
    {"wk", "attn.c.weight", .n_groups = 2, .n_factors = 4, .factors = of_wk},
    {"wv", "attn.c.weight", .n_groups = 2, .n_factors = 4, .factors = of_wv},
    {"gate", "moe.{experts}.w1", .each = DIM_E, .n_groups = 2, .n_factors = 2, .factors = of_gate},
    {"bias", "moe.bias", .n_groups = 1, .n_factors = 1, .factors = of_bias}, // a state
};
static const xlm_plan_config config[] = {{"hidden", 1, {"hidden_size"}, 6, XLM_NUMBER_INT},
                                         {"seq", 1, {"max_position_embeddings"}, 16, XLM_NUMBER_INT},
                                         {"eps", 1, {"rms_norm_eps"}, 1e-5, XLM_NUMBER_REAL}};
static const xlm_plan_key keys[] = {{"architectures", "[\"LlamaForCausalLM\"]", {0}}};

static xlm_dim_info split_dim(const char *name, int64_t full, int rank, bool mirrored) {
  xlm_mesh two = {.n = 1, .axis = {"tp"}, .size = {2}};
  xlm_dim_info d = {.name = name, .full = full, .axes = 1, .mirrored = mirrored};
  xlm_dim_set_piece(&d, xlm_mesh_local(&two, &d, (int32_t[XLM_MAX_AXES]){rank}));
  return d;
}

world *new_world_of(int ranks, bool mirrored) {
  world *w = calloc(1, sizeof *w);
  static const xlm_dim_info base[DIMS] = {{0},
                                          {"hidden", D, D, 0},
                                          {"heads", H, H, 0},
                                          {"head", HD, HD, 0},
                                          {"experts", E, E, 0},
                                          {"ffn", F, F, 0}};
  xlm_type attention = {XLM_F32, 3, {DIM_D, DIM_H, DIM_HD}}, gate = {XLM_F32, 3, {DIM_E, DIM_D, DIM_F}};
  xlm_type scale = {XLM_F32, 1, {DIM_D}};
  add_state(w, 0, "wq", XLM_ROLE_PARAMETER, (xlm_init){XLM_INIT_NORMAL, {0.5}}, attention);
  add_state(w, 1, "wk", XLM_ROLE_PARAMETER, (xlm_init){XLM_INIT_NORMAL, {0.5}}, attention);
  add_state(w, 2, "wv", XLM_ROLE_PARAMETER, (xlm_init){XLM_INIT_UNIFORM, {-1, 2}}, attention);
  add_state(w, 3, "gate", XLM_ROLE_PARAMETER, (xlm_init){XLM_INIT_NORMAL, {1}}, gate);
  add_state(w, 4, "scale", XLM_ROLE_PARAMETER, (xlm_init){XLM_INIT_ONES}, scale);
  add_state(w, 5, "adam.m/wq", XLM_ROLE_OPTIMIZER, (xlm_init){XLM_INIT_CONSTANT, {0.25}}, attention);
  add_state(w, 6, "grad/wq", XLM_ROLE_GRADIENT, (xlm_init){XLM_INIT_ZEROS}, attention);
  add_state(w, 7, "bias", XLM_ROLE_STATE, (xlm_init){XLM_INIT_UNIFORM, {-1, 2}},
            (xlm_type){XLM_F32, 1, {DIM_H}});
  for (int r = 0; r < ranks; r++) {
    memcpy(w->dims[r], base, sizeof base);
    if (ranks == 2) { // 4 heads = 2 + 2, 5 ffn = 3 + 2; other tensors are on both ranks
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
                       .n_config = 3,
                       .n_keys = 1,
                       .config = config,
                       .keys = keys,
                       .weights_name = "huggingface"};
  memset(w->memory, 0xAA, sizeof w->memory);
  assert_int_equal(xlm_store_new(&w->plan, states_of(w), &w->store, NULL), XLM_OK);
  return w;
}

world *new_world(int ranks) {
  return new_world_of(ranks, false);
}

static void renew_store(world *w) {
  xlm_store_free(w->store);
  assert_int_equal(xlm_store_new(&w->plan, states_of(w), &w->store, NULL), XLM_OK);
}

world *new_world_of_stages(void) {
  world *w = new_world(2);
  for (int r = 0; r < 2; r++) {
    w->dims[r][DIM_H] = (xlm_dim_info){.name = "heads", .full = H, .size = H};
    w->dims[r][DIM_F] = (xlm_dim_info){.name = "ffn", .full = F, .size = F};
    w->first_state[r] = r ? STAGE_STATES : 0;
    w->rank[r].states = w->states + w->first_state[r];
    w->rank[r].n_states = r ? STATES - STAGE_STATES : STAGE_STATES;
  }
  renew_store(w);
  return w;
}

void let_only(world *w, uint32_t rank) {
  w->only = rank + 1;
  renew_store(w);
}

void free_world(world *w) {
  xlm_store_free(w->store);
  free(w);
}

void init_world(world *w, uint64_t seed) {
  xlm_error err;
  if (xlm_store_init(w->store, seed, false, NULL, &err)) fail_msg("%s", err.text);
}

void get_all(const world *w, const char *name, float *out) {
  const xlm_stored *t = xlm_store_find(w->store, name);
  assert_non_null(t);
  assert_int_equal(xlm_store_get(w->store, t, NULL, out, NULL), XLM_OK);
}

void expect_same(const world *a, const world *b, bool parameters_only) {
  for (int i = 0; i < a->store->n; i++) {
    const xlm_stored *t = &a->store->at[i];
    if (!t->saved || (parameters_only && t->role != XLM_ROLE_PARAMETER)) continue;
    float x[512], y[512];
    get_all(a, t->name, x);
    get_all(b, t->name, y);
    if (memcmp(x, y, sizeof(float) * (size_t)t->n)) fail_msg("'%s' differs", t->name);
  }
}

static char root[64];

int make_root(void **state) {
  (void)state;
  strcpy(root, "/tmp/xlm-test-ckpt-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

int remove_root(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

const char *in_root(const char *name) {
  static char paths[64][256];
  static int next;
  char *p = paths[next++ % 64];
  snprintf(p, sizeof paths[0], "%s/%s", root, name);
  return p;
}

xlm_checkpoint_info info_at(int64_t step) {
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

void save(const world *w, const char *dir, int64_t step, int keep) {
  xlm_checkpoint_info info = info_at(step);
  xlm_error err = {0};
  char path[4096];
  if (xlm_checkpoint_save(w->store, &w->plan, dir, &info, keep, path, &err)) fail_msg("%s", err.text);
  assert_int_equal(access(path, R_OK), 0);
}
