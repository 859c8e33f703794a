// Every shipped model, small, end to end: it learns; the way it is run (recompute, threads, contents of dead
// memory) does not change a bit; the division of the batch only changes rounding; and the float64 reference
// backend agrees.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/train/train_util.h"

enum { STEPS = 4, REFERENCE_STEPS = 2 }; // the reference is slow
static const double rate = 3e-3;

typedef struct result {
  double loss[STEPS], norm[STEPS];
  char *states; // all saved states one after the other, malloc'd
  size_t bytes;
} result;

static void copy_states(const toy *t, result *r) {
  for (int pass = 0; pass < 2; pass++) {
    r->bytes = 0;
    for (int i = 0; i < t->store->n; i++) {
      const xlm_stored *s = &t->store->at[i];
      if (!s->saved) continue;
      size_t n = (size_t)s->n * xlm_dtype_bytes(s->dtype);
      if (pass) assert_int_equal(xlm_store_get(t->store, s, NULL, r->states + r->bytes, NULL), XLM_OK);
      r->bytes += n;
    }
    if (!pass) r->states = malloc(r->bytes + 1);
    assert_non_null(r->states);
  }
}

static result train(const toy_options *o, bool poison, int steps) {
  result r = {.states = NULL};
  toy *t = toy_open(o);
  xlm_exec_poison(t->exec, poison);
  for (int i = 0; i < steps; i++) {
    toy_step(t, rate);
    r.loss[i] = t->loss, r.norm[i] = t->norm;
    if (!isfinite(t->loss) || !isfinite(t->norm))
      fail_msg("%s %s: loss %g, norm %g at step %d", o->model, xlm_dtype_name(o->dtype), t->loss, t->norm, i);
  }
  copy_states(t, &r);
  toy_close(t);
  return r;
}

static void expect_same_bits(const toy_options *o, const result *a, const toy_options *with, bool poison) {
  result b = train(with, poison, STEPS);
  bool same = !memcmp(a->loss, b.loss, sizeof a->loss) && !memcmp(a->norm, b.norm, sizeof a->norm) &&
              a->bytes == b.bytes && !memcmp(a->states, b.states, a->bytes);
  free(b.states);
  if (!same)
    fail_msg("%s %s, %lld microbatches: recompute %d, %d threads, poison %d change the result (loss %.17g -> "
             "%.17g, "
             "norm %.17g -> %.17g)",
             o->model, xlm_dtype_name(o->dtype), (long long)o->microbatches, with->recompute, with->threads,
             poison, a->loss[STEPS - 1], b.loss[STEPS - 1], a->norm[0], b.norm[0]);
}

static void run_variants(toy_options o) {
  result base = train(&o, false, STEPS);
  if (!(base.loss[0] > 5 && base.loss[0] < 6 && base.loss[STEPS - 1] < base.loss[0] - 0.02))
    fail_msg("%s %s does not learn: %g -> %g", o.model, xlm_dtype_name(o.dtype), base.loss[0],
             base.loss[STEPS - 1]);
  toy_options full = o, threads = o;
  full.recompute = XLM_RECOMPUTE_FULL;
  threads.threads = 3;
  expect_same_bits(&o, &base, &o, true);
  expect_same_bits(&o, &base, &full, true);
  if ((o.dtype == XLM_BF16) == (o.microbatches == 2)) // threads that wait for each other are slow on few
                                                      // processors
    expect_same_bits(&o, &base, &threads, false);
  free(base.states);
}

static void test_model(void **state) {
  const char *model = *state;
  static const xlm_dtype dtypes[] = {XLM_F32, XLM_BF16};
  for (int d = 0; d < 2; d++)
    for (int64_t m = 1; m <= 2; m++) {
      toy_options o = toy_defaults(model);
      o.dtype = dtypes[d];
      o.microbatches = m;
      run_variants(o);
    }
}

static double difference(double a, double b) {
  return fabs(a - b) / fabs(b);
}

// The batch in one piece or in two: equal up to rounding. The balance loss is per microbatch, so it is
// excluded.
static void test_microbatches(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    toy_options one = toy_defaults(toy_models[i]), two = one;
    bool balances = !strcmp(one.model, "mixtral") || !strcmp(one.model, "olmoe") ||
                    !strcmp(one.model, "qwen3_moe") || !strcmp(one.model, "gpt_oss");
    if (balances) one.sets = two.sets = "balance=0";
    one.batch = 4;
    two.microbatches = 2;
    result a = train(&one, false, STEPS), b = train(&two, false, STEPS);
    free(a.states), free(b.states);
    for (int s = 0; s < STEPS; s++)
      if (difference(a.loss[s], b.loss[s]) > 1e-5 || (s == 0 && difference(a.norm[s], b.norm[s]) > 1e-5))
        fail_msg("%s, step %d: loss %.9g as one batch and %.9g as two, norms %.9g and %.9g", one.model, s,
                 a.loss[s], b.loss[s], a.norm[s], b.norm[s]);
  }
}

static void expect_near(const toy_options *o, const result *x, const result *reference, double first,
                        double later) {
  for (int s = 0; s < STEPS; s++) {
    double limit = s ? later : first;
    if (difference(x->loss[s], reference->loss[s]) > limit ||
        (s == 0 && difference(x->norm[s], reference->norm[s]) > limit * 10))
      fail_msg("%s %s, step %d: loss %.9g, in the reference %.9g; norm %.9g, in the reference %.9g", o->model,
               xlm_dtype_name(o->dtype), s, x->loss[s], reference->loss[s], x->norm[s], reference->norm[s]);
  }
}

static bool has_ffn(const char *model) {
  return strcmp(model, "gpt2") && strcmp(model, "mamba2") && strcmp(model, "neox");
}

static void test_reference(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    toy_options f64 = toy_defaults(toy_models[i]), f32 = f64, bf16 = f64;
    f64.sets = f32.sets = bf16.sets = has_ffn(toy_models[i]) ? "hidden=32 ffn=40" : "hidden=32";
    f64.dtype = XLM_F64;
    bf16.dtype = XLM_BF16;
    result r = train(&f64, false, REFERENCE_STEPS), a = train(&f32, false, REFERENCE_STEPS),
           b = train(&bf16, false, REFERENCE_STEPS);
    expect_near(&f32, &a, &r, 1e-5, 1e-4);
    expect_near(&bf16, &b, &r, 3e-3, 1e-2);
    free(r.states), free(a.states), free(b.states);
  }
}

// One loop is a plain Llama: the same names, so the same initial weights, and the same bits from then on.
static void test_one_loop(void **state) {
  (void)state;
  toy_options plt = toy_defaults("plt"), llama = toy_defaults("llama");
  plt.sets = "loops=1";
  result a = train(&llama, false, STEPS), b = train(&plt, false, STEPS);
  assert_memory_equal(a.loss, b.loss, sizeof a.loss);
  assert_memory_equal(a.norm, b.norm, sizeof a.norm);
  assert_true(a.bytes == b.bytes && !memcmp(a.states, b.states, a.bytes));
  free(a.states), free(b.states);
}

int main(void) {
  struct CMUnitTest tests[TOY_MODELS + 3] = {
      cmocka_unit_test(test_microbatches), cmocka_unit_test(test_reference), cmocka_unit_test(test_one_loop)};
  for (int i = 0; i < TOY_MODELS; i++)
    tests[i + 3] = (struct CMUnitTest){
        .name = toy_models[i], .test_func = test_model, .initial_state = (void *)(uintptr_t)toy_models[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
