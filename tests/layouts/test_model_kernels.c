// The real NVRTC compiles every fused program of the shipped models, at their full sizes, in f32 and in
// bf16, without a GPU. Skipped without the library, and in builds with sanitizers, which would look into it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "ops/cuda/fused_source.h"
#include "ops/cuda/nvrtc.h"
#include "runtime/base/dict.h"
#include "runtime/device/kernel.h"
#include "tests/train/train_util.h"

static const struct {
  const char *model, *preset;
} models[] = {{"gpt2", "small"},  {"gpt2", "xl"},        {"llama", "l3_8b"}, {"llama", "l3_405b"},
              {"qwen3", "small"}, {"qwen3", "xl"},       {"mixtral", NULL},  {"mixtral", "small"},
              {"deepseek", "v3"}, {"freestyle", "small"}};

static const char *const archs[] = {"sm_80", "sm_90", "sm_100"};

typedef struct finder {
  xlm_arena *a;
  xlm_dict found; // sources
  int compiled;
} finder;

static const xlm_plan *plan_of(xlm_arena *a, const char *model, const char *preset, xlm_dtype dtype) {
  const xlm_backend *cuda = xlm_backend_find("cuda");
  const xlm_source *source = toy_source(a, model);
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.preset = preset, o.settings.dtype = dtype, o.settings.batch = 1;
  o.train.microbatches = 2;
  o.backend = &cuda->info, o.target = xlm_backend_target(cuda, "sm_90", 1);
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  xlm_compiled c = xlm_compile(a, source, &o, &d, NULL, NULL);
  xlm_text said = xlm_text_new(a);
  xlm_diag_render(&d, false, &said);
  if (!c.plan) fail_msg("%s", said.data);
  return c.plan;
}

static const char *source_of(finder *f, const xlm_rank_plan *r, const xlm_instr *in) {
  const xlm_type **types = XLM_NEW_N(f->a, const xlm_type *, in->n_in + in->n_out);
  for (int i = 0; i < in->n_in + in->n_out; i++)
    types[i] = &r->tensors[i < in->n_in ? in->in[i] : in->out[i - in->n_in]].type;
  const xlm_call c = {.instr = in, .dims = r->dims, .in_type = types, .out_type = types + in->n_in};
  xlm_fused_shape s = xlm_fused_shape_of(&c);
  return xlm_fused_blocks(&s) ? xlm_fused_source(f->a, &s) : NULL;
}

static void compile(finder *f, const char *model, const char *source) {
  xlm_nvrtc_image image = {0};
  xlm_error err = {0};
  if (!source || xlm_dict_get(&f->found, source)) return;
  xlm_dict_put(f->a, &f->found, source, f);
  for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
    if (xlm_nvrtc_compile(source, archs[i], f->a, &image, &err) != XLM_OK) fail_msg("%s: %s", model, err.text);
    assert_true(image.bytes > 0);
  }
  f->compiled++;
}

static void every_program_compiles(void **state) {
  (void)state;
#ifdef XLM_SANITIZED
  skip();
#endif
  finder f = {.a = xlm_arena_new(0)};
  xlm_nvrtc_image image;
  xlm_error err = {0};
  assert_non_null(f.a);
  if (xlm_nvrtc_compile("", "sm_90", f.a, &image, &err) != XLM_OK && strstr(err.text, "LD_LIBRARY_PATH")) {
    print_message("%s\n", err.text);
    xlm_arena_free(f.a);
    skip();
  }
  for (size_t i = 0; i < sizeof models / sizeof *models; i++)
    for (int k = 0; k < 2; k++) {
      const xlm_plan *p = plan_of(f.a, models[i].model, models[i].preset, k ? XLM_BF16 : XLM_F32);
      int before = f.compiled;
      const xlm_rank_plan *r = p->rank_plans[0];
      for (uint32_t n = 0; n < r->n_instrs; n++)
        if (r->instrs[n].op == XLM_OP_FUSED) compile(&f, models[i].model, source_of(&f, r, &r->instrs[n]));
      print_message("%s %s: %d new kernels\n", models[i].model, models[i].preset ? models[i].preset : "",
                    f.compiled - before);
    }
  assert_true(f.compiled > 100);
  xlm_arena_free(f.a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_program_compiles)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
