// Parameters are stored in the type in which they are read, in plans that only decode. That logits keep their
// bits is tested where models are decoded (test_incremental), that weights arrive rounded in
// test_run_samples.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "tests/train/train_util.h"

static const char model[] = "model m\n"
                            "dim vocab = 16\n"
                            "dim hidden = 8\n"
                            "dim wide = 4\n"
                            "input tokens[batch, seq] of vocab\n"
                            "input targets[batch, seq] of vocab\n"
                            "param tied[vocab, hidden] ~ normal(1)\n"
                            "param both[hidden, wide] ~ normal(1)\n"
                            "param lost[hidden, wide] ~ normal(1)\n"
                            "param full[hidden] ~ ones\n"
                            "h = lookup(tied, tokens)\n"
                            "h = cast(f32(h) * f32(full))\n"
                            "y = h @ both + h @ lost\n"
                            "z = cast(contract(f32(h), f32(both), over hidden))\n"
                            "h = h + y @ lost + z @ both\n"
                            "logits = h @ tied\n"
                            "loss cross_entropy(logits, targets) + mean(square(f32(lost)))\n"
                            "output logits\n";

static const xlm_plan *plan_of(xlm_arena *a, xlm_dtype dtype, uint32_t programs) {
  toy_options o = toy_defaults("llama");
  o.dtype = dtype;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.settings.training = false, c.settings.sets = NULL, c.settings.n_sets = 0, c.settings.preset = NULL;
  c.programs = programs;
  c.chunk = 4;
  return toy_plan(a, xlm_source_new(a, "model.xlm", model, strlen(model)), &c);
}

static xlm_dtype type_of(const xlm_plan *p, const char *name) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t i = 0; i < r->n_states; i++)
    if (!strcmp(r->states[i].name, name)) return r->tensors[r->states[i].tensor].type.dtype;
  fail_msg("no state %s", name);
  return XLM_F32;
}

static uint64_t bytes_of(const xlm_plan *p) {
  return p->rank_plans[0]->category_bytes[XLM_CATEGORY_PARAMETER];
}

static void types(void **state) {
  (void)state;
  enum { DECODING = XLM_WITH_PREFILL | XLM_WITH_DECODE };
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *half = plan_of(a, XLM_BF16, DECODING),
                 *all = plan_of(a, XLM_BF16, DECODING | XLM_WITH_EVAL),
                 *whole = plan_of(a, XLM_F32, DECODING);
  assert_int_equal(type_of(half, "tied"), XLM_BF16); // read twice, in bf16
  assert_int_equal(type_of(half, "both"), XLM_F32);  // read in both
  assert_int_equal(type_of(half, "lost"), XLM_F32);  // decided alike for programs that have losses
  assert_int_equal(type_of(half, "full"), XLM_F32);
  assert_int_equal(type_of(all, "tied"), XLM_F32); // such plans are for exports, too
  assert_int_equal(type_of(whole, "tied"), XLM_F32);
  assert_int_equal(bytes_of(whole) - bytes_of(half), 16 * 8 * 2);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(types)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
