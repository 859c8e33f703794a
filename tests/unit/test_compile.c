// The driver from text to plan: what it answers when the plan cannot be made.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "runtime/device/kernel.h"

static const char text[] = "model m\n"
                           "dim vocab = 8\n"
                           "dim hidden = 4\n"
                           "dim seq = 2\n"
                           "input tokens[batch, seq] of vocab\n"
                           "input targets[batch, seq] of vocab\n"
                           "param embed[vocab, hidden] ~ normal(1)\n"
                           "h = lookup(embed, tokens)\n"
                           "loss cross_entropy(h @ embed, targets)\n";

static bool no_lookup(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                      int threads, uint64_t *bytes) {
  return strcmp(instr->op, "lookup") &&
         xlm_backend_cpu()->info.workspace(instr, tensors, dims, threads, bytes);
}

static bool no_memory(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                      int threads, uint64_t *bytes) {
  (void)instr, (void)tensors, (void)dims, (void)threads;
  *bytes = XLM_NO_WORKSPACE;
  return false;
}

static const xlm_plan *plan(xlm_arena *a, const xlm_backend_info *backend, xlm_diags *d) {
  const xlm_source *source = xlm_source_new(a, "model.xlm", text, strlen(text));
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.batch = 1;
  o.backend = backend;
  xlm_diags_init(d, a, source);
  return xlm_compile(a, source, &o, d, NULL, NULL).plan;
}

static void missing_kernel(void **state) { // the user's choice of a backend: said with the line of the model
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_backend_info some = {.name = "toy", .workspace = no_lookup};
  xlm_diags d;
  assert_null(plan(a, &some, &d));
  assert_int_equal(d.errors, 1);
  xlm_text t = xlm_text_new(a);
  xlm_diag_render(&d, false, &t);
  assert_non_null(strstr(t.data, "error[E0411]: the toy backend has no kernel for `lookup`"));
  assert_non_null(strstr(t.data, "lookup(embed, tokens)"));
  xlm_arena_free(a);
}

static void
memory_of_a_backend(void **state) { // the environment's failure: back to where the arena's owner stands
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  volatile bool back = true;
  if (XLM_ARENA_TRY(a)) {
    xlm_backend_info none = {.name = "toy", .workspace = no_memory};
    xlm_diags d;
    (void)plan(a, &none, &d);
    back = false;
  }
  assert_true(back);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(missing_kernel), cmocka_unit_test(memory_of_a_backend)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
