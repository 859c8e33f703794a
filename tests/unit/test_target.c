// Targets: any machine can plan for any other, and a plan runs only where it can.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/verify/verify_plan.h"
#include "tests/here.h"
#include "tests/train/train_util.h"

static xlm_arena *arena;

static int set_up(void **state) {
  (void)state;
  arena = xlm_arena_new((size_t)2 << 30);
  return arena ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

static xlm_plan *plan_of(const char *model, const char *backend, const char *arch, int threads,
                         xlm_dtype dtype) {
  toy_options t = toy_defaults(model);
  t.sets = "layers=2";
  t.microbatches = 3;
  xlm_compile_options o = toy_compile_options(arena, &t);
  const xlm_backend *b = xlm_backend_find(backend);
  o.settings.dtype = dtype;
  o.backend = &b->info;
  o.target = xlm_backend_target(b, arch, threads);
  const xlm_source *source = toy_source(arena, model);
  xlm_diags d;
  xlm_diags_init(&d, arena, source);
  const xlm_plan *p = xlm_compile(arena, source, &o, &d, NULL, NULL).plan;
  assert_non_null(p);
  return (xlm_plan *)(uintptr_t)p; // ours: tests change it
}

static xlm_plan *plan_for(const char *backend, const char *arch, int threads, xlm_dtype dtype) {
  return plan_of("llama", backend, arch, threads, dtype);
}

static bool has_variant(const xlm_plan *p, xlm_op_id op, const char *variant) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == op && !strcmp(r->instrs[i].variant, variant)) return true;
  return false;
}

// Every copy of a CPU kernel plans the same for every target.
static void copies_agree(void **state) {
  (void)state;
  const xlm_backend *cpu = xlm_backend_find("cpu");
  int here = xlm_target_arch(&cpu->info, cpu->here());
  for (int a = 0; cpu->info.archs[a]; a++) {
    const xlm_plan *p = plan_for("cpu", cpu->info.archs[a], 3, XLM_BF16);
    const xlm_rank_plan *r = p->rank_plans[0];
    for (int copy = 0; copy <= here; copy++)
      for (uint32_t i = 0; i < r->n_instrs; i++) {
        xlm_kernel_choice c;
        const xlm_kernel *k = cpu->find(cpu->info.archs[copy], r->instrs[i].op);
        assert_int_equal(xlm_kernel_plan(k, &r->instrs[i], r->tensors, r->dims, &p->mesh, &p->target, &c),
                         XLM_PLANNED);
        assert_string_equal(c.variant, r->instrs[i].variant);
        assert_true(c.workspace <= r->instrs[i].workspace);
      }
  }
}

static void archs_differ(void **state) {
  (void)state;
  xlm_plan *base = plan_for("cpu", "base", 2, XLM_BF16), *wide = plan_for("cpu", "avx512", 2, XLM_BF16),
           *pairs = plan_for("cpu", "avx512_bf16", 2, XLM_BF16),
           *amx = plan_for("cpu", "avx512_amx", 2, XLM_BF16),
           *single = plan_for("cpu", "avx512_amx", 2, XLM_F32);
  assert_true(base->rank_plans[0]->arena_bytes != wide->rank_plans[0]->arena_bytes);
  assert_true(has_variant(wide, XLM_OP_CONTRACT, "tiled") &&
              !has_variant(wide, XLM_OP_CONTRACT, "tiled_bf16"));
  assert_true(has_variant(pairs, XLM_OP_CONTRACT, "tiled_bf16") &&
              !has_variant(pairs, XLM_OP_CONTRACT, "tiled_amx"));
  assert_true(has_variant(amx, XLM_OP_CONTRACT, "tiled_amx") &&
              !has_variant(amx, XLM_OP_CONTRACT, "tiled_bf16"));
  assert_true(has_variant(single, XLM_OP_CONTRACT, "tiled") &&
              !has_variant(single, XLM_OP_CONTRACT, "tiled_amx"));
}

static void devices_are_planned_for(void **state) {
  (void)state;
  xlm_plan *p = plan_for("cuda", "sm_90", 1, XLM_BF16);
  const xlm_rank_plan *r = p->rank_plans[0];
  uint64_t all = 0;
  for (uint32_t i = 1; i < r->n_tensors; i++) all |= r->tensors[i].offset;
  for (int k = 0; k < XLM_AREAS; k++) all |= r->area_begin[k];
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    all |= r->instrs[i].workspace_at;
    if (r->instrs[i].op == XLM_OP_CONTRACT) assert_in_range(r->instrs[i].workspace, 256, 32 << 20); // blas.h
  }
  assert_int_equal(all % 256, 0);
  assert_true(has_variant(p, XLM_OP_CONTRACT, "cublaslt") &&
              has_variant(p, XLM_OP_ATTEND_BWD, "tensor_core"));
  assert_null(xlm_plan_verify_saved(p, arena).text);
}

// Products of experts, which no library computes, use tensor cores in bf16, forward and backward.
static void products_of_experts_use_tensor_cores(void **state) {
  (void)state;
  const xlm_rank_plan *r = plan_of("mixtral", "cuda", "sm_90", 1, XLM_BF16)->rank_plans[0];
  int n[2] = {0, 0};
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    const xlm_instr *in = &r->instrs[i];
    bool acc = in->op == XLM_OP_CONTRACT_ACC;
    if ((!acc && in->op != XLM_OP_CONTRACT) || in->n_in == 2 + acc) continue; // no offsets
    assert_string_equal(in->variant, "tensor_core");
    n[acc]++;
  }
  assert_true(n[0] && n[1]);
  r = plan_of("mixtral", "cuda", "sm_90", 1, XLM_F32)->rank_plans[0];
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == XLM_OP_CONTRACT && r->instrs[i].n_in == 3)
      assert_string_equal(r->instrs[i].variant, "simt");
}

// The number of members is known when a kernel is chosen.
static void members_choose_the_all_reduce(void **state) {
  (void)state;
  xlm_dim_info dims[] = {{0}, {.name = "n", .size = 2000, .full = 2000}};
  xlm_tensor x = {.type = {.dtype = XLM_F32, .rank = 1, .dim = {1}}};
  uint32_t operand = 0;
  xlm_attr axes = {.key = XLM_A_axes, .i = 2};
  xlm_instr in = {.op = XLM_OP_ALL_REDUCE, .n_in = 1, .n_out = 1, .in = &operand, .out = &operand};
  in.attrs = (xlm_attrs){.at = &axes, .n = 1};
  for (int backend = 0; backend < 2; backend++)
    for (int32_t tp = 1; tp <= 8; tp *= 2) {
      const xlm_backend *b = xlm_backend_find(backend ? "cuda" : "cpu");
      xlm_target t = xlm_backend_target(b, b->info.archs[0], 1);
      xlm_mesh mesh = {.n = 2, .axis = {"dp", "tp"}, .size = {16, tp}};
      xlm_kernel_choice c;
      assert_int_equal(b->info.plan(&in, &x, dims, &mesh, &t, &c), XLM_PLANNED);
      assert_string_equal(c.variant,
                          tp <= 4 ? "oneshot" : "twoshot"); // 8,000 bytes each, up to 32 KiB together
    }
}

// ---- loading ----

static void refused(const xlm_target *t, const char *why) {
  const xlm_backend *b;
  xlm_error err;
  assert_int_equal(xlm_backend_check(t, &b, &err), XLM_USER);
  if (!strstr(err.text, why)) fail_msg("no word of %s: %s", why, err.text);
}

static void plans_run_where_they_can(void **state) {
  (void)state;
  const xlm_backend *b;
  xlm_error err;
  xlm_target base = {"cpu", "base", 1, 64, 0};
  assert_int_equal(xlm_backend_check(&base, &b, &err), XLM_OK);
  assert_ptr_equal(b, xlm_backend_find("cpu"));
  refused(&(xlm_target){"cuda", "sm_90", 1, 256, 0}, "this build has no CUDA kernels");
  refused(&(xlm_target){"cpu", "avx1024", 1, 64, 0}, "does not exist");
  refused(&(xlm_target){"abacus", "base", 1, 64, 0}, "does not exist");
  refused(&(xlm_target){"cpu", "base", 1, 32, 0}, "aligned to 32 bytes");
}

static void open_with(const char *variant, const char *why) { // the first product as another variant
  xlm_plan *p = plan_for("cpu", "base", 1, XLM_F32);
  xlm_instr *instrs = (xlm_instr *)(uintptr_t)p->rank_plans[0]->instrs;
  uint32_t i = 0;
  while (instrs[i].op != XLM_OP_CONTRACT) i++;
  instrs[i].variant = variant;
  xlm_exec *e = NULL;
  xlm_error err;
  xlm_status s = xlm_exec_open(p, 0, xlm_backend_find("cpu"), 1, NULL, &e, &err);
  assert_int_equal(s, why ? XLM_USER : XLM_OK);
  if (why && !strstr(err.text, why)) fail_msg("no word of %s: %s", why, err.text);
  xlm_exec_close(e);
}

static void variants_are_honoured(void **state) {
  (void)state;
  open_with("tiled", NULL);
  open_with("magic", "no kernel variant `magic`");
  open_with("tiled_bf16", "`tiled_bf16` cannot be taken here on base");
  open_with("few_rows", "`few_rows` cannot be taken here");
}

// ---- the hash ----

static void hashes_tell_contents(void **state) {
  (void)state;
  xlm_plan *p = plan_for("cpu", "base", 2, XLM_F32), *same = plan_for("cpu", "base", 2, XLM_F32),
           *more = plan_for("cpu", "base", 3, XLM_F32);
  uint64_t all = xlm_plan_hash(p, true, arena), work = xlm_plan_hash(p, false, arena);
  assert_true(all == xlm_plan_hash(same, true, arena) && all != xlm_plan_hash(more, true, arena));
  assert_true(work == xlm_plan_hash(more, false, arena)); // the number of threads changes offsets and nothing
                                                          // else
  same->source_path = "elsewhere.xlm";
  assert_true(all == xlm_plan_hash(same, true, arena));
  xlm_instr *instrs = (xlm_instr *)(uintptr_t)same->rank_plans[0]->instrs; // the counts stay
  uint32_t i = 0;
  while (instrs[i].n_in < 2 || instrs[i].in[0] == instrs[i].in[1]) i++;
  uint32_t *in = (uint32_t *)(uintptr_t)instrs[i].in, first = in[0];
  in[0] = in[1];
  assert_true(all != xlm_plan_hash(same, true, arena) && work != xlm_plan_hash(same, false, arena));
  in[0] = first;
  instrs[i].workspace_at += 64;
  assert_true(all != xlm_plan_hash(same, true, arena) && work == xlm_plan_hash(same, false, arena));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(copies_agree, set_up, tear_down),
      cmocka_unit_test_setup_teardown(archs_differ, set_up, tear_down),
      cmocka_unit_test_setup_teardown(devices_are_planned_for, set_up, tear_down),
      cmocka_unit_test_setup_teardown(products_of_experts_use_tensor_cores, set_up, tear_down),
      cmocka_unit_test(members_choose_the_all_reduce),
      cmocka_unit_test_setup_teardown(plans_run_where_they_can, set_up, tear_down),
      cmocka_unit_test_setup_teardown(variants_are_honoured, set_up, tear_down),
      cmocka_unit_test_setup_teardown(hashes_tell_contents, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
