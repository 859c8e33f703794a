// Every wait of real plans left out once on the fake card: each is found. And no operation lacks a kernel.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/layouts/ranks.h"
#include "tests/train/toy_team.h"

#define fail() _fail(__FILE__, __LINE__) // cmocka's again, for fail_msg: ranks.h takes it away

static xlm_status touch_only(const xlm_call *c) { // what the fake knows of the instruction, and nothing else
  fake_cuda_enqueue(xlm_cuda_device_of(c->device)->queue[c->queue], "the kernel", NULL, NULL, NULL);
  return XLM_OK;
}

static xlm_status touch_all(const xlm_call *const *calls, int n) {
  (void)n;
  return touch_only(calls[0]);
}

static const xlm_kernel *find_touching(const char *arch, xlm_op_id op) {
  static xlm_kernel k[XLM_OP_COUNT];
  const xlm_kernel *real = xlm_backend_find("cuda")->find(arch, op);
  k[op] = *real;
  k[op].prepare = NULL, k[op].run = touch_only;
  if (real->run_all) k[op].run_all = touch_all;
  return &k[op];
}

// A few steps of one rank, alone: nothing is computed or sent, so the host waits for nothing and hides no
// missing wait.
static xlm_status step_alone(const xlm_plan *p, uint32_t rank, const xlm_device_kind *kind, xlm_error *err) {
  static const xlm_comm_backend quiet = {.name = "quiet"};
  xlm_comm comm = {.backend = &quiet, .mesh = p->mesh, .rank = rank, .n_ranks = p->n_ranks};
  xlm_backend b = *xlm_backend_find("cuda");
  xlm_exec *e;
  b.find = find_touching, b.device = kind;
  fake_cuda_reset(rank);
  if (xlm_exec_open(p, rank, &b, 1, &comm, &e, err) != XLM_OK) fail_msg("%s", err->text);
  xlm_status s = XLM_OK;
  for (int i = 0; i < 3 && s == XLM_OK; i++) s = xlm_exec_step(e, (xlm_step_env){.step = i}, NULL, NULL, err);
  const char *found = fake_cuda_error();
  if (s == XLM_OK && found) s = xlm_fail(err, XLM_ENV, "%s", found);
  xlm_exec_close(e);
  return s;
}

static bool runs(const xlm_rank_plan *r, uint32_t i) { // in a training step
  for (uint32_t k = 0; k < r->n_schedule; k++) {
    const xlm_segment *s = &r->segments[r->schedule[k].segment];
    if (i >= s->first && i < s->first + s->n) return true;
  }
  return false;
}

// Of one rank; returns how many there are.
static int leave_out(const xlm_plan *p, uint32_t rank, const xlm_device_kind *kind) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  xlm_instr *instrs = (xlm_instr *)(uintptr_t)r->instrs;
  xlm_error err = {0};
  int waits = 0;
  if (step_alone(p, rank, kind, &err) != XLM_OK) fail_msg("rank %u, as planned: %s", rank, err.text);
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    uint32_t after = instrs[i].after;
    if (!after || !runs(r, i)) continue;
    instrs[i].after = 0;
    if (step_alone(p, rank, kind, &err) == XLM_OK)
      fail_msg("rank %u: instruction %u does not wait for %u, and nothing was found", rank, i, after - 1);
    if (!strstr(err.text, "no order between")) fail_msg("%s", err.text);
    instrs[i].after = after;
    waits++;
  }
  return waits;
}

static void every_wait_is_needed_and_found(void **state) {
  (void)state;
  static const struct {
    const char *model, *mesh;
    int microbatches, zero;
  } plans[] = {{"llama", "pp 2 tp 2", 4, 0}, {"gpt2", "dp 2 tp 2", 2, 3}, {"mixtral", "pp 2 ep 2", 2, 0}};
  int waits = 0;
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
    xlm_arena *a = xlm_arena_new(0);
    toy_options o = toy_defaults(plans[i].model);
    o.batch = 8 / plans[i].microbatches, o.microbatches = plans[i].microbatches;
    xlm_compile_options c = toy_compile_options(a, &o);
    c.mesh = ranks_mesh(plans[i].mesh), c.zero = plans[i].zero;
    const xlm_plan *p = toy_plan_on("cuda", a, toy_source(a, plans[i].model), &c);
    for (uint32_t k = 0; k < p->n_rank_plans; k++) {
      uint32_t rank = 0;
      while (p->rank_plan_of[rank] != k) rank++;
      waits += leave_out(p, rank, &xlm_device_cuda_eager);
    }
    xlm_arena_free(a);
  }
  print_message("%d waits left out, all found\n", waits);
  assert_true(waits > 50);
}

static void what_the_cpu_runs_has_a_cuda_kernel(void **state) {
  (void)state;
  const xlm_backend *cpu = xlm_backend_find("cpu"), *cuda = xlm_backend_find("cuda");
  for (int op = 0; op < XLM_OP_COUNT; op++) {
    const xlm_kernel *one = cpu->find(NULL, (xlm_op_id)op), *other = cuda->find(NULL, (xlm_op_id)op);
    if (one && (!other || !other->run)) fail_msg("`%s` has no CUDA kernel", xlm_op_name((xlm_op_id)op));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_wait_is_needed_and_found),
      cmocka_unit_test(what_the_cpu_runs_has_a_cuda_kernel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
