// The formatter: canonical texts by example; idempotence, equal trees and kept comments over the same
// examples and over what the mutants of test_parse.c leave parseable.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_parse.c"
#include "tests/unit/model_text.h"

static void expect(const char *text, const char *canonical) {
  xlm_arena *a = xlm_arena_new(0);
  fuzz_result r = fuzz_once(a, text, strlen(text));
  assert_string_equal(r.text.data, canonical);
  LLVMFuzzerTestOneInput((const uint8_t *)text, strlen(text));
  xlm_arena_free(a);
}

static void spaces(void **state) {
  (void)state;
  expect("", "");
  expect("x=a+b*-c", "x = a + b * -c\n");
  expect("x  =  f ( a ,b=3, over  c , d )", "x = f(a, b = 3, over c, d)\n");
  expect("x = rename(y,a->b c)", "x = rename(y, a -> b c)\n");
  expect("x = ((a+b))*(c)", "x = (a + b) * (c)\n");
  expect("x = not(a)", "x = not (a)\n");
  expect("(a,b)=f ( x )\n(c)=a", "(a, b) = f(x)\nc = a\n");
  expect("x=if a then b else c", "x = if a then b else c\n");
  expect("check a==b,\n  \"no \\\"\\\\\\n\"", "check a == b, \"no \\\"\\\\\\n\"\n");
  expect("x = 10_000 + 1E-05", "x = 10_000 + 1E-05\n");
  expect("\xEF\xBB\xBFx=1\r\ny=2 # a \r\n", "x = 1\ny = 2  # a\n");
  expect("param w[a over(b,c),d over none,..]~ones", "param w[a over (b, c), d over none, ..] ~ ones\n");
  expect("recompute repeat 3 as i over pp shared{x=recompute f.g(x)}",
         "recompute repeat 3 as i over pp shared {\n  x = recompute f.g(x)\n}\n");
}

static void alignment(void **state) {
  (void)state;
  expect("dim a = 1 as x\nlet abc = 10\ndim b = 100 as y,z\n\ndim long_name = 1",
         "dim a   = 1   as x\nlet abc = 10\ndim b   = 100 as y, z\n\ndim long_name = 1\n");
  expect("param a[x] ~ ones\nparam abc[x, y] ~ ones\nx = 1\nstate c[x] ~ ones",
         "param a[x]      ~ ones\nparam abc[x, y] ~ ones\nx = 1\nstate c[x] ~ ones\n");
  expect("shard a over b\nshard a, c over b where free\ninput a[x] of b\ninput abc[x] of b",
         "shard a    over b\nshard a, c over b where free\ninput a[x]   of b\ninput abc[x] of b\n");
  expect("preset a { b = 1 c = 10 }\npreset long { b = 100 c = 1 }\npreset e {}",
         "preset a    { b = 1    c = 10 }\npreset long { b = 100  c = 1 }\npreset e    { }\n");
  expect("group \"a.*\"{lr=1 optimizer=muon}\ngroup \"b\" { lr = 10 }",
         "group \"a.*\" { lr = 1  optimizer = muon }\ngroup \"b\"   { lr = 10 }\n");
  expect("preset a {\n b = 1 abc = 2 }", "preset a {\n  b   = 1\n  abc = 2\n}\n");
  expect("weights w {\n a=\"x\"[ ]\n bcd[i].e=\"y\"  [a b,0 of 3 c]\n}",
         "weights w {\n  a        = \"x\" []\n  bcd[i].e = \"y\" [a b, 0 of 3 c]\n}\n");
}

static void comments(void **state) {
  (void)state;
  expect("# a\n\n\n\n# b\nx = 1 # c\nyy = 2     # d\nz = 3\n# e",
         "# a\n\n# b\nx = 1   # c\nyy = 2  # d\nz = 3\n# e\n");
  expect("x = f(a, # one\n  # two\n  b) # three", "# one\n# two\nx = f(a, b)  # three\n");
  expect("y = 1\n\nx = f(a, # one\n  b)", "y = 1\n\n# one\nx = f(a, b)\n");
  expect("repeat 3 { # head\n\n  # first\n  x = 1\n\n  # last\n\n} # end\n",
         "repeat 3 {  # head\n  # first\n  x = 1\n\n  # last\n}  # end\n");
  expect("if a { x = 1 } # one\n# two\nelse { # three\n  x = 2\n}\n",
         "if a {\n  x = 1\n  # one\n  # two\n} else {  # three\n  x = 2\n}\n");
  expect("if a {\n} else if b { # one\n} # two\n", "if a {\n} else if b {  # one\n}  # two\n");
  expect("preset a { b = 1 # one\n}", "preset a {\n  b = 1  # one\n}\n");
  expect("block f(x[..], # one\n  y) -> [..] { return x }",
         "# one\nblock f(x[..], y) -> [..] {\n  return x\n}\n");
  expect("repeat 3 {\n  # only\n}", "repeat 3 {\n  # only\n}\n");
}

static void wrapping(void **state) {
  (void)state;
  expect("x = first_function(a_rather_long_argument, another_rather_long_argument(with, arguments), "
         "yet_another_one, the_last_one)",
         "x = first_function(a_rather_long_argument, another_rather_long_argument(with, arguments), "
         "yet_another_one,\n"
         "    the_last_one)\n");
  expect("x = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa + "
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb + ccccccccccc",
         "x = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa + "
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb + ccccccccccc\n");
}

static void whole_model(void **state) {
  (void)state;
  LLVMFuzzerTestOneInput((const uint8_t *)model_text, sizeof model_text - 1);
  xlm_arena *a = xlm_arena_new(0);
  fuzz_result r = fuzz_once(a, model_text, sizeof model_text - 1);
  assert_int_equal(r.errors, 0);
  assert_non_null(strstr(r.text.data, "\ndim kv_heads = heads          as num_key_value_heads\n"));
  assert_non_null(strstr(r.text.data, "\n  param wk[hidden, kv_heads, head] ~ normal(0.02)\n"));
  assert_non_null(strstr(r.text.data, "\npreset small  { hidden = 768   layers = 12  heads = 12 }\n"));
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(spaces), cmocka_unit_test(alignment),
                                     cmocka_unit_test(comments), cmocka_unit_test(wrapping),
                                     cmocka_unit_test(whole_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
