// GGUF files, read back: keys, names and places of tensors, values in every type.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/map.h"
#include "runtime/interchange/gguf.h"
#include "runtime/interchange/numbers.h"
#include "runtime/plan/code.h"
#include "tests/train/hand_world.h"

typedef struct reader {
  xlm_map map;
  size_t at;
} reader;

typedef struct tensor {
  char name[64];
  uint32_t rank, type;
  uint64_t shape[4], at;
} tensor;

static const void *take(reader *r, size_t n) {
  assert_true(r->at + n <= r->map.n);
  r->at += n;
  return r->map.data + r->at - n;
}

static uint32_t u32(reader *r) {
  uint32_t x;
  return memcpy(&x, take(r, 4), 4), x;
}

static uint64_t u64(reader *r) {
  uint64_t x;
  return memcpy(&x, take(r, 8), 8), x;
}

static void text(reader *r, char *out, size_t room) {
  uint64_t n = u64(r);
  assert_true(n < room);
  memcpy(out, take(r, n), n);
  out[n] = 0;
}

// The value as a text; arrays: their length.
static void value(reader *r, char *out, size_t room) {
  char ignored[64];
  uint32_t type = u32(r), x;
  float f;
  switch (type) {
  case 4:
    snprintf(out, room, "u32 %u", u32(r));
    return;
  case 6:
    x = u32(r);
    memcpy(&f, &x, 4);
    snprintf(out, room, "f32 %g", f);
    return;
  case 7:
    snprintf(out, room, "bool %d", *(const char *)take(r, 1));
    return;
  case 8:
    text(r, out, room);
    return;
  }
  assert_int_equal(type, 9);
  uint32_t of = u32(r);
  uint64_t n = u64(r);
  for (uint64_t i = 0; i < n; i++)
    if (of == 8)
      text(r, ignored, sizeof ignored);
    else
      take(r, of == 7 ? 1 : 4);
  snprintf(out, room, "%llu of %u", (unsigned long long)n, of);
}

static void expect_key(reader *r, const char *key, const char *want) {
  char name[64], got[64];
  text(r, name, sizeof name);
  value(r, got, sizeof got);
  assert_string_equal(name, key);
  assert_string_equal(got, want);
}

static tensor next_tensor(reader *r) {
  tensor t;
  text(r, t.name, sizeof t.name);
  t.rank = u32(r);
  assert_true(t.rank <= 4);
  for (uint32_t i = 0; i < t.rank; i++) t.shape[i] = u64(r);
  t.type = u32(r);
  t.at = u64(r);
  assert_true(t.at % 32 == 0);
  return t;
}

static const xlm_code_instr doubled[] = {{.fn = XLM_FN_MUL, .a = {0, XLM_CODE_IMM}, .imm = 2}};
static const xlm_code twice = {.n_in = 1, .n_out = 1, .n = 1, .at = doubled, .out = {1}};
static const xlm_plan_key keys[] = {{"architecture", "\"toy\"", {0, 0}},
                                    {"size", "6", {0, 0}},
                                    {"eps", "1e-05", {0, 0}},
                                    {"missing", "null", {0, 0}},
                                    {"attention.on", "true", {0, 0}},
                                    {"pattern", "[true, false]", {0, 0}},
                                    {"general.author", "\"me\"", {0, 0}},
                                    {"rope_scaling", "{}", {0, 0}}};

static void write_file(world *w, xlm_gguf_type type) {
  xlm_weights *x;
  xlm_error err = {0};
  xlm_arena *a = xlm_arena_new(0);
  assert_true(a && XLM_ARENA_TRY(a));
  xlm_gguf_keys tokens = xlm_gguf_keys_new(a);
  xlm_gguf_put_bytes_tokenizer(&tokens);
  assert_int_equal(xlm_weights_new(w->store, &w->plan, &x, &err), XLM_OK);
  if (xlm_gguf_write(in_root("m.gguf"), &w->plan, x, type, &tokens, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_weights_free(x);
  xlm_arena_free(a);
}

static uint64_t open_file(reader *r) { // the number of tensors, after checking the keys
  xlm_error err;
  *r = (reader){.at = 0};
  assert_int_equal(xlm_map_open(in_root("m.gguf"), &r->map, &err), XLM_OK);
  assert_memory_equal(take(r, 4), "GGUF", 4);
  assert_int_equal(u32(r), 3);
  uint64_t tensors = u64(r);
  assert_int_equal(u64(r), 4 + 5 + 8);
  return tensors;
}

static void expect_keys(reader *r, const char *model, const char *file_type) {
  expect_key(r, "general.architecture", "toy");
  expect_key(r, "general.name", model);
  expect_key(r, "general.file_type", file_type);
  expect_key(r, "general.quantization_version", "u32 2");
  expect_key(r, "toy.size", "u32 6");
  expect_key(r, "toy.eps", "f32 1e-05");
  expect_key(r, "toy.attention.on", "bool 1");
  expect_key(r, "toy.pattern", "2 of 7");
  expect_key(r, "general.author", "me");
  expect_key(r, "tokenizer.ggml.model", "gpt2");
  expect_key(r, "tokenizer.ggml.pre", "gpt-2");
  expect_key(r, "tokenizer.ggml.tokens", "256 of 8");
  expect_key(r, "tokenizer.ggml.token_type", "256 of 5");
  expect_key(r, "tokenizer.ggml.merges", "0 of 8");
  expect_key(r, "tokenizer.ggml.bos_token_id", "u32 0");
  expect_key(r, "tokenizer.ggml.eos_token_id", "u32 0");
  expect_key(r, "tokenizer.ggml.add_bos_token", "bool 0");
}

static void test_file(void **state) {
  (void)state;
  world *w = new_world(1);
  reader r;
  float own[512], there[512];
  init_world(w, 9);
  w->plan.keys = keys, w->plan.n_keys = sizeof keys / sizeof *keys;
  xlm_plan_weight entries[8];
  assert_in_range(w->plan.n_weights, 1, 8);
  memcpy(entries, w->plan.weights, w->plan.n_weights * sizeof *entries);
  for (uint32_t i = 0; i < w->plan.n_weights; i++)
    if (!strcmp(entries[i].param, "wk")) entries[i].code = &twice;
  w->plan.weights = entries;
  write_file(w, XLM_GGUF_F32);
  uint64_t n = open_file(&r);
  expect_keys(&r, w->plan.model, "u32 0");
  tensor t, packed = {.rank = 0};
  for (uint64_t i = 0; i < n; i++)
    if (!strcmp((t = next_tensor(&r)).name, "attn.c.weight")) packed = t;
  size_t data = (r.at + 31) / 32 * 32;
  assert_true(packed.rank == 2 && packed.shape[0] == 3 * H * HD && packed.shape[1] == D && packed.type == 0);
  memcpy(there, r.map.data + data + packed.at, sizeof(float) * D * 3 * H * HD);
  get_all(w, "wk", own); // its values are computed, those of its neighbours are not
  for (int d = 0; d < D; d++)
    for (int h = 0; h < H * HD; h++)
      assert_true(there[d * 3 * H * HD + H * HD + h] == 2 * own[d * H * HD + h]);
  get_all(w, "wq", own);
  for (int h = 0; h < H * HD; h++) assert_true(there[h] == own[h]);
  xlm_map_close(&r.map);
  free_world(w);
}

// ---- numbers ----

static void test_halves(void **state) {
  (void)state;
  static const struct {
    float x;
    uint16_t h;
  } rows[] = {{1, 0x3C00},     {-2, 0xC000},           {65504, 0x7BFF},        {65520, 0x7C00},
              {65519, 0x7BFF}, {0x1p-14f, 0x400},      {0x1p-24f, 1},          {0x1p-25f, 0},
              {0x1.8p-24f, 2}, {1 + 0x1p-11f, 0x3C00}, {1 + 0x3p-11f, 0x3C02}, {INFINITY, 0x7C00},
              {-0.0f, 0x8000}, {0.1f, 0x2E66}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (xlm_f32_to_f16(rows[i].x) != rows[i].h)
      fail_msg("%g: %04x, not %04x", rows[i].x, xlm_f32_to_f16(rows[i].x), rows[i].h);
  for (uint32_t h = 0; h < 0x7C00; h++) { // every finite number comes back
    uint16_t half = (uint16_t)h;
    float x;
    assert_true(xlm_st_floats(XLM_ST_F16, &half, 1, &x) && xlm_f32_to_f16(x) == half);
  }
}

static void test_blocks(void **state) {
  (void)state;
  float in[64], scale;
  unsigned char out[2 * XLM_Q8_BLOCK_BYTES];
  for (int i = 0; i < 32; i++) in[i] = (float)(i - 16) / 16, in[32 + i] = 0;
  xlm_q8_from_floats(in, 64, out);
  uint16_t half;
  memcpy(&half, out, 2);
  assert_true(xlm_st_floats(XLM_ST_F16, &half, 1, &scale) && fabsf(scale - 1.0f / 127) < 1e-5f);
  for (int i = 0; i < 32; i++) assert_true(fabsf((float)(int8_t)out[2 + i] * scale - in[i]) <= scale);
  assert_true((int8_t)out[2] == -127 && out[2 + 16] == 0);
  for (int i = 0; i < XLM_Q8_BLOCK_BYTES; i++) assert_true(out[XLM_Q8_BLOCK_BYTES + i] == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_halves),
                                     cmocka_unit_test(test_blocks)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
