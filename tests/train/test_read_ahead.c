// What idle workers prefetch while decoding: after every instruction the weight that is read next, in the
// order of the program and around its end; nothing where no instruction is bound by reading.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec/exec_priv.h"
#include "tests/train/train_util.h"

enum { LAYERS = 3, WEIGHTS = 6 * LAYERS + 1 }; // q, k, v, output, up and down of every layer; the tied head

static xlm_exec *open_exec(xlm_arena *a, int programs) {
  toy_options o = toy_defaults("gpt2");
  o.batch = 1, o.sets = "layers=3 hidden=400 heads=4";
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = programs;
  c.settings.training = false, c.outputs_only = true, c.chunk = 8;
  xlm_exec *e;
  xlm_error err;
  if (xlm_exec_open(toy_plan_on("cpu", a, toy_source(a, "gpt2"), &c), 0, xlm_backend_find("cpu"), 1, NULL, &e,
                    &err) != XLM_OK)
    fail_msg("%s", err.text);
  return e;
}

// The operand of a product that is a matrix of parameters: at most one is.
static int weight_of(const xlm_exec *e, const xlm_instr *in) {
  for (int i = 0; i < in->n_in && strstr(xlm_op_name(in->op), "contract") == xlm_op_name(in->op); i++) {
    const xlm_tensor *t = &e->rank->tensors[in->in[i]];
    if (t->area == XLM_AREA_STATE && t->type.rank >= 2) return i;
  }
  return -1;
}

static void the_next_weight(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_exec *e = open_exec(a, XLM_WITH_PREFILL | XLM_WITH_DECODE);
  const xlm_segment *s = &e->rank->segments[e->rank->segment_of[XLM_PROGRAM_DECODE]];
  const char *at[WEIGHTS];
  size_t bytes[WEIGHTS];
  uint32_t instr[WEIGHTS];
  int n = 0;
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &e->rank->instrs[i];
    int operand = weight_of(e, in);
    if (operand < 0) continue;
    assert_in_range(n, 0, WEIGHTS - 1);
    at[n] = e->bound[i].call.in[operand], bytes[n] = e->rank->tensors[in->in[operand]].bytes, instr[n++] = i;
  }
  assert_int_equal(n, WEIGHTS);
  int next = 0;
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    if (next < n && instr[next] == i) next++;
    const xlm_pool_span *ahead = e->bound[i].work.ahead;
    assert_non_null(ahead);
    assert_ptr_equal(ahead->at, at[next % n]);
    assert_int_equal(ahead->bytes, bytes[next % n]);
  }
  assert_int_equal(next, n);
  xlm_exec_close(e);
  xlm_arena_free(a);
}

static void nothing(void **state) { // whole texts are bound by arithmetic
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_exec *e = open_exec(a, XLM_WITH_EVAL);
  for (uint32_t i = 0; i < e->rank->n_instrs; i++) assert_null(e->bound[i].work.ahead);
  xlm_exec_close(e);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_next_weight), cmocka_unit_test(nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
