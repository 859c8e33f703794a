// Training with attention by cuDNN, on the fake card: the plan names it, and steps are the CPU's.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake_cuda/fixture.h"
#include "tests/train/train_util.h"

enum { STEPS = 3 };

typedef struct curve {
  double loss[STEPS], norm[STEPS];
} curve;

static int variants(const xlm_plan *p, const char *variant) { // instructions of attention with it
  const xlm_rank_plan *r = p->rank_plans[0];
  int n = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == XLM_OP_ATTEND || r->instrs[i].op == XLM_OP_ATTEND_BWD)
      n += !strcmp(r->instrs[i].variant, variant);
  return n;
}

static curve train(const char *device, const char *model) {
  curve c;
  assert_int_equal(setenv("XLM_TEST_DEVICE", device, 1), 0);
  toy_options o = toy_defaults(model);
  o.sets = "layers=1", o.dtype = XLM_BF16, o.seq = 128, o.batch = 2, o.microbatches = 2;
  toy *t = toy_open(&o);
  assert_int_equal(variants(t->plan, "cudnn") > 0, strcmp(device, "cpu") != 0);
  assert_int_equal(variants(t->plan, "tensor_core"), 0);
  for (int i = 0; i < STEPS; i++) {
    toy_step(t, 1e-3);
    c.loss[i] = t->loss, c.norm[i] = t->norm;
  }
  toy_close(t);
  return c;
}

static void steps_are_the_cpus(void **state) {
  static const char *const models[] = {"llama", "gpt2"};
  static const char *const devices[] = {"cuda", "cuda-eager"};
  (void)state;
  for (int m = 0; m < 2; m++) {
    curve here = train("cpu", models[m]), there = train(devices[m], models[m]);
    for (int i = 0; i < STEPS; i++) {
      print_message("%s, step %d: loss %.5f and %.5f, norm %.5f and %.5f\n", models[m], i, here.loss[i],
                    there.loss[i], here.norm[i], there.norm[i]);
      assert_true(fabs(there.loss[i] - here.loss[i]) <= 2e-4 * here.loss[i]);
      assert_true(fabs(there.norm[i] - here.norm[i]) <= 2e-3 * here.norm[i]);
    }
  }
}

static void own_kernels_on_request(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  toy_options o = toy_defaults("llama");
  o.dtype = XLM_BF16, o.seq = 128;
  xlm_compile_options c = toy_compile_options(a, &o);
  for (int own = 0; own < 2; own++) {
    xlm_diags d;
    const xlm_source *source = toy_source(a, "llama");
    const xlm_backend *cuda = xlm_backend_find("cuda");
    c.backend = &cuda->info, c.target = xlm_backend_target(cuda, "sm_80", 1), c.target.own_attention = own;
    xlm_diags_init(&d, a, source);
    const xlm_plan *p = xlm_compile(a, source, &c, &d, NULL, NULL).plan;
    assert_non_null(p);
    assert_int_equal(variants(p, own ? "tensor_core" : "cudnn"), 4);
  }
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(steps_are_the_cpus, fake_setup, fake_nothing_is_left),
      cmocka_unit_test(own_kernels_on_request)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
