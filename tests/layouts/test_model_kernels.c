// The real NVRTC compiles every fused program of the shipped models, at their full sizes, in f32 and in
// bf16, without a GPU: each for one of the architectures, with XLM_EXHAUSTIVE=1 for all. Skipped without the
// library, and in builds with sanitizers, which would look into it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "ops/cuda/fused_source.h"
#include "ops/cuda/images.h"
#include "runtime/base/dict.h"
#include "runtime/device/kernel.h"
#include "tests/train/train_util.h"

static const struct {
  const char *model, *preset;
} models[] = {{"gpt2", "small"},  {"gpt2", "xl"},        {"llama", "l3_8b"}, {"llama", "l3_405b"},
              {"qwen3", "small"}, {"qwen3", "xl"},       {"mixtral", NULL},  {"mixtral", "small"},
              {"deepseek", "v3"}, {"freestyle", "small"}};

static const char *const archs[] = {"sm_80", "sm_90", "sm_100"};
enum { ARCHS = sizeof archs / sizeof *archs };

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
  for (int i = 0; i < ARCHS; i++) {
    if (i != f->compiled % ARCHS && !getenv("XLM_EXHAUSTIVE")) continue;
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

// ---- many at once ----

enum { MOST = 64 };

static int jobs_of(finder *f, xlm_image_job jobs[MOST]) {
  const xlm_rank_plan *r = plan_of(f->a, "gpt2", "small", XLM_BF16)->rank_plans[0];
  int n = 0;
  for (uint32_t i = 0; i < r->n_instrs && n < MOST; i++) {
    const char *source = r->instrs[i].op == XLM_OP_FUSED ? source_of(f, r, &r->instrs[i]) : NULL;
    if (!source || xlm_dict_get(&f->found, source)) continue;
    xlm_dict_put(f->a, &f->found, source, f);
    jobs[n++] =
        (xlm_image_job){.source = source, .key = xlm_nvrtc_key(source, "sm_90"), .arena = xlm_arena_new(0)};
  }
  return n;
}

// As they are made one by one; the second time they come from the disk, where a bad source is none.
static void images_are_made_at_once(void **state) {
  (void)state;
#ifdef XLM_SANITIZED
  skip();
#endif
  finder f = {.a = xlm_arena_new(0)};
  xlm_image_job jobs[MOST];
  xlm_nvrtc_image alone = {0};
  char home[] = "/tmp/xlm-images-XXXXXX", command[64];
  assert_non_null(mkdtemp(home));
  setenv("XDG_CACHE_HOME", home, 1);
  bool here = xlm_nvrtc_compile("", "sm_90", f.a, &alone, NULL) == XLM_OK;
  int n = here ? jobs_of(&f, jobs) : 0;
  for (int round = 0; here && round < 2; round++) {
    xlm_images_make(jobs, n, "sm_90");
    for (int i = 0; i < n; i++) {
      assert_int_equal(jobs[i].status, XLM_OK);
      if (i % 4 == 0) assert_int_equal(xlm_nvrtc_compile(jobs[i].source, "sm_90", f.a, &alone, NULL), XLM_OK);
      if (i % 4 == 0) assert_int_equal(jobs[i].image.bytes, alone.bytes);
      if (i % 4 == 0) assert_memory_equal(jobs[i].image.data, alone.data, alone.bytes);
      if (i % 4 != 0) jobs[i].source = "this does not compile";
      jobs[i].image = (xlm_nvrtc_image){0};
    }
  }
  if (here) {
    jobs[1].fresh = true;
    xlm_images_make(jobs, n, "sm_90");
    assert_int_equal(jobs[1].status, XLM_ENV);
    assert_non_null(strstr(jobs[1].err.text, "cannot compile a kernel for sm_90"));
    assert_int_equal(jobs[2].status, XLM_OK);
    assert_true(n > 8);
  }
  for (int i = 0; i < n; i++) xlm_arena_free(jobs[i].arena);
  xlm_arena_free(f.a);
  snprintf(command, sizeof command, "rm -r %s", home);
  assert_int_equal(system(command), 0);
  if (!here) skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_program_compiles),
                                     cmocka_unit_test(images_are_made_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
