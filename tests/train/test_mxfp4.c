// Weights of 4 bits: every number of a file is where the format's definition has it, turned; parameters
// packed in one tensor get theirs; what is no such tensor is refused.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/interchange/mxfp4.h"
#include "runtime/interchange/weights.h"
#include "tests/train/train_util.h"

enum { EXPERTS = 2, FFN = 3, ROWS = 2 * FFN, GROUPS = 2, HIDDEN = 32 * GROUPS, VOCAB = 8 };

static const char text[] =
    "dim vocab = 8\ndim hidden = 64\ndim experts = 2\ndim ffn = 3\ndim layers = 1\n"
    "input tokens[batch, seq] of vocab\ninput targets[batch, seq] of vocab\n"
    "param embed[vocab, hidden] ~ normal(1)\n"
    "param gate[experts, hidden, ffn] ~ normal(1)\nparam up[experts, hidden, ffn] ~ normal(1)\n"
    "h = lookup(embed, tokens) * (sum(gate) + sum(up))\n"
    "loss cross_entropy(h @ embed, targets)\npreset nano { }\n"
    "weights other {\n  embed = \"embed\"\n"
    "  gate = \"model.experts\" [experts, hidden, ffn 0 of 2]\n"
    "  up = \"model.experts\" [experts, hidden, ffn 1 of 2]\n}\n";

static char path[] = "/tmp/xlm-mxfp4-XXXXXX";

static int bits(int expert, int row, int column) { // of a number; all 16 occur
  return (7 * expert + 5 * row + 3 * column + column / 16) % 16;
}
static int scale(int expert, int row, int group) {
  return 120 + (expert + 4 * row + 2 * group) % 11;
}

// By the definition: a bit for the sign, two for the exponent (its bias is 1), one for the fraction.
static float number(int expert, int row, int column) {
  int x = bits(expert, row, column), exponent = x >> 1 & 3;
  double size = exponent ? (1 + 0.5 * (x & 1)) * pow(2, exponent - 1) : 0.5 * (x & 1);
  return (float)((x & 8 ? -size : size) * pow(2, scale(expert, row, column / 32) - 127));
}

static void write_file(int64_t scales_rows) {
  static unsigned char blocks[EXPERTS][ROWS][GROUPS][16], scales[EXPERTS][ROWS][GROUPS];
  static float embed[VOCAB * HIDDEN];
  for (int e = 0; e < EXPERTS; e++)
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < HIDDEN; c += 2) {
        blocks[e][r][c / 32][c % 32 / 2] = (unsigned char)(bits(e, r, c) | bits(e, r, c + 1) << 4);
        scales[e][r][c / 32] = (unsigned char)scale(e, r, c / 32);
      }
  const xlm_st_tensor list[] = {
      {.name = "embed", .dtype = XLM_ST_F32, .rank = 2, .shape = {VOCAB, HIDDEN}},
      {.name = "experts_blocks", .dtype = XLM_ST_U8, .rank = 4, .shape = {EXPERTS, ROWS, GROUPS, 16}},
      {.name = "experts_scales",
       .dtype = XLM_ST_U8,
       .rank = 3,
       .shape = {EXPERTS * ROWS / scales_rows, scales_rows, GROUPS}}};
  xlm_out out;
  uint64_t hash, size;
  unlink(path);
  assert_int_equal(xlm_out_open(path, &out, NULL), XLM_OK);
  assert_int_equal(xlm_safetensors_begin(&out, list, 3, NULL), XLM_OK);
  assert_int_equal(xlm_out_write(&out, embed, sizeof embed, NULL), XLM_OK);
  assert_int_equal(xlm_out_write(&out, blocks, sizeof blocks, NULL), XLM_OK);
  assert_int_equal(xlm_out_write(&out, scales, sizeof scales, NULL), XLM_OK);
  assert_int_equal(xlm_out_close(&out, XLM_OK, &hash, &size, NULL), XLM_OK);
}

static xlm_safetensors *file(int64_t scales_rows) {
  xlm_safetensors *s;
  write_file(scales_rows);
  assert_int_equal(xlm_safetensors_open(path, &s, NULL), XLM_OK);
  return s;
}

static void test_read(void **state) {
  (void)state;
  xlm_safetensors *s = file(ROWS);
  xlm_mxfp4 m = {0};
  float x[EXPERTS * HIDDEN * ROWS];
  assert_int_equal(xlm_mxfp4_find(s, "none", &m, NULL), XLM_OK);
  assert_null(m.blocks);
  assert_int_equal(xlm_mxfp4_find(s, "model.experts", &m, NULL), XLM_OK);
  assert_true(m.blocks && m.tensor.rank == 3 && m.tensor.n == EXPERTS * HIDDEN * ROWS);
  assert_true(m.tensor.shape[0] == EXPERTS && m.tensor.shape[1] == HIDDEN && m.tensor.shape[2] == ROWS);
  static const int each[] = {1, 7, HIDDEN * ROWS, EXPERTS * HIDDEN * ROWS}; // also across the matrices
  for (size_t k = 0; k < sizeof each / sizeof *each; k++) {
    for (int64_t at = 0, n; at < m.tensor.n; at += n) {
      n = each[k] < m.tensor.n - at ? each[k] : m.tensor.n - at;
      assert_int_equal(xlm_mxfp4_read(&m, s, at, n, x + at, NULL), XLM_OK);
    }
    for (int i = 0; i < EXPERTS * HIDDEN * ROWS; i++)
      assert_true(x[i] == number(i / (HIDDEN * ROWS), i % ROWS, i / ROWS % HIDDEN));
  }
  xlm_mxfp4_free(&m);
  xlm_safetensors_close(s);
}

typedef struct made {
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_exec *exec;
  xlm_store *store;
  xlm_weights *weights;
} made;

static made make(void) {
  made m = {.arena = xlm_arena_new(0)};
  xlm_error err;
  xlm_backend b = toy_backend(NULL);
  toy_options o = toy_defaults("packed");
  xlm_compile_options c = toy_compile_options(m.arena, &o);
  c.settings.n_sets = 0;
  m.plan = toy_plan(m.arena, xlm_source_new(m.arena, "packed.xlm", text, sizeof text - 1), &c);
  if (xlm_exec_open(m.plan, 0, &b, 1, NULL, &m.exec, &err) != XLM_OK ||
      xlm_store_new(m.plan, xlm_exec_states(m.exec), &m.store, &err) != XLM_OK ||
      xlm_store_init(m.store, 1, true, xlm_exec_pool(m.exec), &err) != XLM_OK ||
      xlm_weights_new(m.store, m.plan, &m.weights, &err) != XLM_OK)
    fail_msg("%s", err.text);
  return m;
}

static void unmake(made m) {
  xlm_weights_free(m.weights);
  xlm_store_free(m.store);
  xlm_exec_close(m.exec);
  xlm_arena_free(m.arena);
}

static void expect(const made *m, const char *name, int slot) {
  float x[EXPERTS * HIDDEN * FFN];
  int i = 0;
  while (strcmp(m->store->at[i].name, name) != 0) i++;
  assert_int_equal(xlm_store_get(m->store, &m->store->at[i], NULL, x, NULL), XLM_OK);
  for (int k = 0; k < EXPERTS * HIDDEN * FFN; k++)
    assert_true(x[k] == number(k / (HIDDEN * FFN), 2 * (k % FFN) + slot, k / FFN % HIDDEN));
}

static void test_import(void **state) {
  (void)state;
  made m = make();
  xlm_safetensors *s = file(ROWS);
  xlm_weights_left left;
  xlm_error err = {0};
  if (xlm_weights_import(m.weights, s, &err) != XLM_OK ||
      xlm_weights_find_left(m.weights, s, &left, &err) != XLM_OK)
    fail_msg("%s", err.text);
  assert_int_equal(left.n, 0);
  expect(&m, "gate", 0), expect(&m, "up", 1);
  xlm_safetensors_close(s);
  unmake(m);
}

static void test_others(void **state) {
  (void)state;
  made m = make();
  xlm_safetensors *s = file(FFN);
  xlm_weights_left left;
  xlm_error err = {0};
  assert_int_equal(xlm_weights_import(m.weights, s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "'experts_blocks' and 'experts_scales' are not weights of 4 bits"));
  assert_int_equal(xlm_weights_find_left(m.weights, s, &left, &err), XLM_USER);
  xlm_safetensors_close(s);
  unmake(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_import),
                                     cmocka_unit_test(test_others)};
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
