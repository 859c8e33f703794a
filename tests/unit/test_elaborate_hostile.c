// Elaboration of hostile and broken texts: limits end them with one error, and whatever still elaborates is
// sound.
#include "tests/unit/elaborate_text.h"

static void repeated(xlm_text *t, int n, const char *fmt) {
  for (int i = 0; i < n; i++) {
    for (const char *p = fmt; *p; p++) {
      if (*p == '#')
        xlm_text_printf(t, "%d", i);
      else if (*p == '@')
        xlm_text_printf(t, "%d", i + 1);
      else
        xlm_text_addn(t, p, 1);
    }
  }
}

static void expect_limit(const char *text, xlm_diag_id id) {
  outcome o = elaborate_with(text, strlen(text), NULL);
  assert_int_equal(o.diags.errors, 1);
  assert_string_equal(xlm_diag_code(o.diags.at[0].id), xlm_diag_code(id));
  xlm_arena_free(o.arena);
}

static void limits(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  expect_limit(HEAD "repeat 10000 {\n  repeat 10000 {\n    h = h + 1\n  }\n}\n" LOSS, XLM_E_TOO_MUCH);
  expect_limit(HEAD "repeat 10000 {\n  repeat 10000 {\n    repeat 10000 {\n    }\n  }\n}\n" LOSS,
               XLM_E_TOO_MUCH);
  expect_limit(
      HEAD
      "repeat 10000 as i {\n  repeat 3 as j {\n    dim width = 3 * i + j + 1\n    param w[width] ~ ones\n"
      "    h = h + sum(w)\n  }\n}\n" LOSS,
      XLM_E_TOO_MUCH);
  xlm_text t = xlm_text_new(a);
  xlm_text_add(&t, HEAD "block b0(x[..]) -> [..] {\n  return x\n}\n");
  repeated(&t, 40, "block b@(x[..]) -> [..] {\n  return b#(b#(x))\n}\n");
  xlm_text_add(&t, "h = b40(h)\n" LOSS);
  expect_limit(t.data, XLM_E_TOO_MUCH);
  t = xlm_text_new(a);
  repeated(&t, 5000, "dim d# = d@\n");
  xlm_text_add(&t, "dim d5000 = 1\n" HEAD LOSS);
  expect_limit(t.data, XLM_E_NESTED);
  t = xlm_text_new(a);
  repeated(&t, 20000, "dim d# = 1\n");
  xlm_text_add(&t, HEAD LOSS);
  expect_limit(t.data, XLM_E_TOO_MUCH);
  xlm_arena_free(a);
}

// --- mutants: broken texts give diagnostics or sound graphs

static char *mutate(const char *text, size_t *n, uint32_t seed) {
  uint64_t x = seed * 0x9E3779B97F4A7C15ull + 1;
  char *out = malloc(2 * *n + 64);
  memcpy(out, text, *n);
  for (int k = 0; k < 1 + (int)(seed % 3); k++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    size_t from = x % *n, len = 1 + (x >> 20) % 12, to = (x >> 32) % *n;
    if (from + len > *n) len = *n - from;
    if (x >> 60 & 1) { // a piece moves over another place
      if (to + len > *n) len = *n - to;
      memmove(out + to, out + from, len);
    } else { // or vanishes
      memmove(out + from, out + from + len, *n - from - len);
      *n -= len;
    }
  }
  out[*n] = 0;
  return out;
}

static void mutants(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "gpt2", "qwen3", "mixtral", "freestyle"};
  int elaborated = 0, sound = 0;
  for (uint32_t seed = 0; seed < 600; seed++) {
    size_t n;
    char *text = read_model(names[seed % 5], &n), *broken = mutate(text, &n, seed);
    outcome o = elaborate_with(
        broken, n,
        &(xlm_elaborate_options){.preset = "nano", .dtype = seed % 2 ? XLM_BF16 : XLM_F32, .training = true});
    xlm_text rendered = xlm_text_new(o.arena);
    xlm_diag_render(&o.diags, false, &rendered);
    elaborated += o.graph != NULL;
    if (o.graph && !o.diags.errors) {
      const char *unsound = xlm_graph_verify(o.graph, o.arena);
      if (unsound) fail_msg("mutant %u: %s", seed, unsound);
      sound++;
    }
    xlm_arena_free(o.arena);
    free(broken);
    free(text);
  }
  assert_true(elaborated > 100 && sound > 20 && sound < elaborated);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(limits), cmocka_unit_test(mutants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
