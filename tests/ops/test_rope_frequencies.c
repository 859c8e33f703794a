// Scaled frequencies of rope against numbers from the formulas of transformers' modeling_rope_utils, in double:
// `_compute_llama3_parameters` and `_compute_yarn_parameters`.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compiler/ir/build.h"
#include "runtime/device/rope.h"

enum { SOME = 8 };

typedef struct example {
  const char *model;
  int64_t head;
  double base;
  xlm_rope_scaling scaling;
  double factor, original, low, high;
  int pair[SOME];
  double frequency[SOME];
} example;

static const example examples[] = {
    {"Llama 3.1",
     128,
     500000,
     XLM_ROPE_LLAMA3,
     8,
     8192,
     1,
     4,
     {0, 1, 21, 30, 32, 35, 40, 63},
     {1.0, 0.8146172338565447, 0.013490419890226748, 0.0013718935677611381, 0.0005248461609929547,
      9.556212353964683e-05, 3.428102195952591e-05, 3.068925988914511e-07}},
    {"Qwen2.5, 131072 tokens",
     128,
     1000000,
     XLM_ROPE_YARN,
     4,
     32768,
     1,
     32,
     {0, 1, 21, 30, 32, 35, 40, 63},
     {1.0, 0.8058421877614819, 0.010746078283213174, 0.0010643609812470017, 0.0006029411764705882,
      0.0002462584069089387, 4.445698525097307e-05, 3.102344401879299e-07}},
    {"gpt-oss",
     64,
     150000,
     XLM_ROPE_YARN_EXACT,
     32,
     4096,
     1,
     32,
     {0, 1, 10, 14, 16, 19, 24, 31},
     {1.0, 0.6890443058881633, 0.019335001126540362, 0.0020937923789696887, 0.00045648391922324086,
      2.6396469031472782e-05, 4.0999784818029795e-06, 3.0235114281192144e-07}},
};

static void are_those_of_transformers(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    const example *e = &examples[i];
    const xlm_dim_info dims[] = {{0}, {.name = "seq", .size = 4, .full = 4}, {.name = "head", .size = e->head}};
    xlm_attr_list l = xlm_attr_list_new(a);
    xlm_attr_put_dims(&l, XLM_A_seq, (xlm_dim[]){1}, 1);
    xlm_attr_put_dims(&l, XLM_A_feature, (xlm_dim[]){2}, 1);
    xlm_attr_put_float(&l, XLM_A_base, e->base);
    xlm_attr_put_enum(&l, XLM_A_scaling, e->scaling);
    xlm_attr_put_float(&l, XLM_A_factor, e->factor);
    xlm_attr_put_float(&l, XLM_A_original, e->original);
    xlm_attr_put_float(&l, XLM_A_low, e->low);
    xlm_attr_put_float(&l, XLM_A_high, e->high);
    const xlm_instr instr = {.op = XLM_OP_ROPE, .n_in = 1, .attrs = xlm_attr_freeze(&l)};
    const xlm_call c = {.instr = &instr, .dims = dims};
    xlm_rope r = xlm_rope_of(&c);
    assert_int_equal(r.pairs, e->head / 2);
    for (int k = 0; k < SOME; k++) {
      double got = xlm_rope_frequency(&c, &r, e->pair[k]);
      if (!(fabs(got / e->frequency[k] - 1) < 1e-12))
        fail_msg("%s, pair %d: %.17g, expected %.17g", e->model, e->pair[k], got, e->frequency[k]);
    }
  }
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(are_those_of_transformers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
