// Layouts of a `weights` section: slots inside groups and of unequal sizes, factors of a dimension, optional
// entries. Every element of the files is where a formula written by hand has it, and comes back from there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/interchange/weights.h"
#include "tests/train/train_util.h"

enum { D = 6, H = 6, KV = 3, G = H / KV, HD = 4, F = 5 };

static const char text[] =
    "dim vocab = 8\ndim hidden = 6\ndim heads = 6\ndim kv_heads = 3\ndim group = heads / kv_heads\n"
    "dim head = 4\ndim ffn = 5\ndim layers = 1\n"
    "input tokens[batch, seq] of vocab\ninput targets[batch, seq] of vocab\n"
    "param embed[vocab, hidden] ~ normal(1)\n"
    "param aq[hidden, heads, head] ~ normal(1)\nparam ak[hidden, kv_heads, head] ~ normal(1)\n"
    "param av[hidden, kv_heads, head] ~ normal(1)\n" // whole projections, of unequal sizes
    "param bq[hidden, heads, head] ~ normal(1)\nparam bk[hidden, kv_heads, head] ~ normal(1)\n"
    "param bv[hidden, kv_heads, head] ~ normal(1)\n" // each group of heads
    "param cq[hidden, heads, head] ~ normal(1)\nparam ck[hidden, heads, head] ~ normal(1)\n" // each head
    "param gate[hidden, ffn] ~ normal(1)\nparam up[hidden, ffn] ~ normal(1)\n"               // alternating
    "param turned[hidden, heads, head] ~ normal(1)\n" // the finer factor first
    "state seen[heads] ~ ones\n"
    "h = lookup(embed, tokens)\n"
    "h = h * (sum(aq) + sum(ak) + sum(av) + sum(bq) + sum(bk) + sum(bv) + sum(cq) + sum(ck) + sum(gate) + "
    "sum(up) + "
    "sum(turned) + sum(seen))\n"
    "loss cross_entropy(h @ embed, targets)\npreset nano { }\n"
    "weights other {\n"
    "  embed = \"embed\"\n"
    "  aq = \"a\" [0 of (heads head, kv_heads head, kv_heads head), hidden]\n"
    "  ak = \"a\" [1 of (heads head, kv_heads head, kv_heads head), hidden]\n"
    "  av = \"a\" [2 of (heads head, kv_heads head, kv_heads head), hidden]\n"
    "  bq = \"b\" [kv_heads 0 of (group, 1, 1) head, hidden] where heads = kv_heads group\n"
    "  bk = \"b\" [kv_heads 1 of (group, 1, 1) head, hidden]\n"
    "  bv = \"b\" [kv_heads 2 of (2, 1, 1) head, hidden]\n"
    "  cq = \"c\" [hidden, heads 0 of 2 head]\n  ck = \"c\" [hidden, heads 1 of 2 head]\n"
    "  gate = \"f\" [ffn 0 of 2, hidden]\n  up = \"f\" [ffn 1 of 2, hidden]\n"
    "  turned = \"t\" [group kv_heads, head, hidden] where heads = kv_heads group optional\n"
    "  seen = \"s\" [group, kv_heads] where heads = kv_heads group\n"
    "}\n";

typedef struct made {
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_exec *exec;
  xlm_store *store;
} made;

static made make(uint64_t seed) {
  made m = {.arena = xlm_arena_new(0)};
  xlm_error err;
  xlm_backend b = toy_backend(NULL);
  toy_options o = toy_defaults("layouts");
  xlm_compile_options c = toy_compile_options(m.arena, &o);
  c.settings.n_sets = 0;
  m.plan = toy_plan(m.arena, xlm_source_new(m.arena, "layouts.xlm", text, sizeof text - 1), &c);
  if (xlm_exec_open(m.plan, 0, &b, 1, NULL, &m.exec, &err) != XLM_OK ||
      xlm_store_new(m.plan, xlm_exec_states(m.exec), &m.store, &err) != XLM_OK ||
      xlm_store_init(m.store, seed, true, xlm_exec_pool(m.exec), &err) != XLM_OK)
    fail_msg("%s", err.text);
  return m;
}

static void unmake(made m) {
  xlm_store_free(m.store);
  xlm_exec_close(m.exec);
  xlm_arena_free(m.arena);
}

static void own(const made *m, const char *name, float *out) {
  for (int i = 0; i < m->store->n; i++)
    if (!strcmp(m->store->at[i].name, name)) {
      assert_int_equal(xlm_store_get(m->store, &m->store->at[i], NULL, out, NULL), XLM_OK);
      return;
    }
  fail_msg("no state %s", name);
}

// ---- where the elements are ----

static int at_a(const char *p, int h, int e) {
  return (p[1] == 'q' ? h : p[1] == 'k' ? H + h : H + KV + h) * HD + e;
}
static int at_b(const char *p, int h, int e) {
  int slot = p[1] == 'q' ? h / G * (G + 2) + h % G : h * (G + 2) + G + (p[1] == 'v');
  return slot * HD + e;
}
static int at_turned(const char *p, int h, int e) {
  (void)p;
  return (h % G * KV + h / G) * HD + e;
}

static void expect_rows(const made *m, const xlm_safetensors *s, const char *tensor, const char *param,
                        int heads, int rows, int (*row)(const char *, int, int)) {
  const xlm_st_tensor *t = xlm_safetensors_find(s, tensor);
  float there[2000], here[D * H * HD];
  assert_true(t && t->n == rows * D && t->shape[t->rank - 1] == D &&
              xlm_st_floats(t->dtype, t->data, t->n, there));
  own(m, param, here);
  for (int d = 0; d < D; d++)
    for (int h = 0; h < heads; h++)
      for (int e = 0; e < HD; e++)
        if (there[row(param, h, e) * D + d] != here[(d * heads + h) * HD + e])
          fail_msg("%s of %s: element %d, %d, %d is another one", param, tensor, d, h, e);
}

static void expect_others(const made *m, const xlm_safetensors *s) {
  float there[2000], here[D * H * HD];
  const xlm_st_tensor *c = xlm_safetensors_find(s, "c"), *f = xlm_safetensors_find(s, "f"),
                      *seen = xlm_safetensors_find(s, "s");
  assert_true(c && c->shape[0] == D && c->shape[1] == 2 * H * HD &&
              xlm_st_floats(c->dtype, c->data, c->n, there));
  own(m, "ck", here);
  for (int d = 0; d < D; d++)
    for (int i = 0; i < H * HD; i++)
      assert_true(there[d * 2 * H * HD + (i / HD * 2 + 1) * HD + i % HD] == here[d * H * HD + i]);
  assert_true(f && f->shape[0] == 2 * F && xlm_st_floats(f->dtype, f->data, f->n, there));
  own(m, "up", here);
  for (int d = 0; d < D; d++)
    for (int i = 0; i < F; i++) assert_true(there[(2 * i + 1) * D + d] == here[d * F + i]);
  assert_true(seen && seen->rank == 2 && seen->shape[0] == G && seen->shape[1] == KV);
}

static made *saved;
static char folder[] = "/tmp/xlm-layouts-XXXXXX", path[4096];

static xlm_safetensors *file(void) {
  char at[4200];
  xlm_safetensors *s;
  snprintf(at, sizeof at, "%s/model.safetensors", path);
  assert_int_equal(xlm_safetensors_open(at, &s, NULL), XLM_OK);
  return s;
}

static void test_places(void **state) {
  (void)state;
  xlm_safetensors *s = file();
  assert_int_equal(xlm_safetensors_count(s), 7);
  const char *const a[] = {"aq", "ak", "av"}, *const b[] = {"bq", "bk", "bv"};
  for (int i = 0; i < 3; i++) {
    expect_rows(saved, s, "a", a[i], i ? KV : H, (H + 2 * KV) * HD, at_a);
    expect_rows(saved, s, "b", b[i], i ? KV : H, KV * (G + 2) * HD, at_b);
  }
  expect_rows(saved, s, "t", "turned", H, H * HD, at_turned);
  expect_others(saved, s);
  xlm_safetensors_close(s);
}

static void test_back(void **state) {
  (void)state;
  static const char *const names[] = {"embed", "aq", "ak",   "av", "bq",     "bk",  "bv",
                                      "cq",    "ck", "gate", "up", "turned", "seen"};
  made other = make(8);
  xlm_safetensors *s = file();
  xlm_weights *w;
  xlm_error err = {0};
  float x[D * H * HD], y[D * H * HD];
  assert_int_equal(xlm_weights_new(other.store, other.plan, &w, &err), XLM_OK);
  if (xlm_weights_import(w, s, &err) != XLM_OK) fail_msg("%s", err.text);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    memset(x, 0, sizeof x), memset(y, 0, sizeof y);
    own(saved, names[i], x), own(&other, names[i], y);
    assert_memory_equal(x, y, sizeof x);
  }
  xlm_weights_free(w);
  xlm_safetensors_close(s);
  unmake(other);
}

// A file without `t` and `s`, and one that lacks `f`, too.
static void test_missing(void **state) {
  (void)state;
  made other = make(8);
  xlm_error err = {0};
  float before[D * H * HD], after[D * H * HD];
  own(&other, "turned", before);
  for (int lacks = 0; lacks < 2; lacks++) {
    char at[4200], command[13000];
    snprintf(at, sizeof at, "%s/part%d.safetensors", folder, lacks);
    // The header's names are changed in place: a tensor of another name is as good as none.
    snprintf(command, sizeof command,
             "sed 's/\"t\":/\"T\":/; s/\"s\":/\"S\":/%s' '%s/model.safetensors' > '%s'",
             lacks ? "; s/\"f\":/\"F\":/" : "", path, at);
    assert_int_equal(system(command), 0);
    xlm_safetensors *s;
    xlm_weights *w;
    assert_int_equal(xlm_safetensors_open(at, &s, &err), XLM_OK);
    assert_int_equal(xlm_weights_new(other.store, other.plan, &w, &err), XLM_OK);
    assert_int_equal(xlm_weights_import(w, s, &err), lacks ? XLM_USER : XLM_OK);
    if (lacks) assert_non_null(strstr(err.text, "lack 1 of the model's 7 tensors, first 'f'"));
    xlm_weights_free(w);
    xlm_safetensors_close(s);
  }
  own(&other, "turned", after);
  assert_memory_equal(before, after, sizeof before);
  unmake(other);
}

int main(void) {
  made m = make(7);
  xlm_error err;
  xlm_checkpoint_info info = {
      .model_path = "layouts.xlm", .model_text = text, .text_hash = "", .plan_hash = ""};
  if (!mkdtemp(folder) || xlm_checkpoint_save(m.store, m.plan, folder, &info, 0, path, &err) != XLM_OK)
    return 1;
  saved = &m;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_back),
                                     cmocka_unit_test(test_missing)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command)) failed = 1;
  unmake(m);
  return failed;
}
