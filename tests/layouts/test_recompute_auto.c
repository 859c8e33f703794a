// Automatic recompute: the fewest rounds that fit, not one more.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/times.h"
#include "compiler/parse/load.h"
#include "compiler/pass/pass.h"
#include "runtime/base/map.h"
#include "tests/train/train_util.h"

// llama with its rounds in the pipeline, with some before it, and with none in it.
typedef enum rounds { PIPED, BOTH, OUTSIDE } rounds;

static const xlm_source *source_of(xlm_arena *a, rounds where) {
  static const char head[] = "repeat layers as i over pp {";
  static const char *const heads[] = {
      [PIPED] = head,
      [BOTH] =
          "repeat fronts as k {\n  h = h + mlp.first(norm.before(h), ffn)\n}\nrepeat layers as i over pp {",
      [OUTSIDE] = "repeat layers as i {"};
  xlm_map m;
  assert_int_equal(xlm_map_open(XLM_SOURCE_DIR "/models/llama.xlm", &m, NULL), XLM_OK);
  const char *text = xlm_arena_strndup(a, (const char *)m.data, m.n), *at = strstr(text, head);
  const char *end = strstr(text, "weights huggingface"); // which would need more entries
  assert_true(at && end);
  text = xlm_arena_printf(a, "%.*s%s%s%.*s", (int)(at - text), text, where == BOTH ? "dim fronts = 5\n" : "",
                          heads[where], (int)(end - at - strlen(head)), at + strlen(head));
  xlm_map_close(&m);
  return xlm_source_load(a, XLM_SOURCE_DIR "/models/llama.xlm", text, strlen(text));
}

static uint64_t arena_with(rounds where, xlm_recompute mode, uint64_t limit, double *flops) {
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults("llama");
  o.sets = "layers=6";
  xlm_compile_options c = toy_compile_options(a, &o);
  c.recompute = mode;
  c.memory_limit = limit;
  const xlm_plan *p = toy_plan(a, source_of(a, where), &c);
  uint64_t bytes = p->rank_plans[0]->arena_bytes;
  *flops = 0;
  for (uint32_t i = 0; i < p->rank_plans[0]->n_instrs; i++) *flops += p->rank_plans[0]->instrs[i].flops;
  xlm_arena_free(a);
  return bytes;
}

static void fewest_of(rounds where) {
  double none, full, some, less;
  uint64_t most = arena_with(where, XLM_RECOMPUTE_NONE, 0, &none),
           least = arena_with(where, XLM_RECOMPUTE_FULL, 0, &full);
  assert_true(least < most && none < full);
  assert_true(arena_with(where, XLM_RECOMPUTE_AUTO, most, &some) == most && some == none);
  for (int part = 1; part < 4; part++) {
    uint64_t limit = least + (most - least) / 4 * (uint64_t)part;
    uint64_t fits = arena_with(where, XLM_RECOMPUTE_AUTO, limit, &some);
    assert_true(fits <= limit && none < some && some < full);
    // a tighter limit costs more
    assert_true(arena_with(where, XLM_RECOMPUTE_AUTO, fits - 1, &less) < fits && less > some);
  }
}

static void fewest_rounds(void **state) {
  (void)state;
  for (rounds where = PIPED; where <= OUTSIDE; where++) fewest_of(where);
}

static void nothing_fits(
    void **state) { // then what needs least is what there is, and the caller says that it does not fit
  (void)state;
  double full, some;
  for (rounds where = PIPED; where <= OUTSIDE; where++) {
    uint64_t least = arena_with(where, XLM_RECOMPUTE_FULL, 0, &full);
    assert_true(arena_with(where, XLM_RECOMPUTE_AUTO, 1, &some) == least && some == full);
  }
}

// The estimates are good enough that hardly more is planned than the stages as chosen, which planning uses:
// one stage with one round fewer, which does not fit, and one stage of a number that the estimates were wrong
// about.
static void few_tries(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults("llama");
  o.sets = "layers=16";
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = (xlm_mesh){.n = 1, .axis = {"pp"}, .size = {4}};
  c.train.microbatches = 8;
  uint64_t most[2] = {0};
  for (int full = 0; full < 2; full++) {
    c.recompute = full ? XLM_RECOMPUTE_FULL : XLM_RECOMPUTE_NONE;
    const xlm_plan *p = toy_plan(a, toy_source(a, "llama"), &c);
    for (uint32_t i = 0; i < p->n_rank_plans; i++)
      if (p->rank_plans[i]->arena_bytes > most[full]) most[full] = p->rank_plans[i]->arena_bytes;
  }
  for (int part = 1; part < 8; part++) {
    xlm_times times = {0};
    c.recompute = XLM_RECOMPUTE_AUTO;
    c.memory_limit = most[1] + (most[0] - most[1]) / 8 * (uint64_t)part;
    c.times = &times;
    const xlm_plan *p = toy_plan(a, toy_source(a, "llama"), &c);
    int i = 0;
    while (strcmp(times.at[i].name, "lower")) i++;
    for (uint32_t k = 0; k < p->n_rank_plans; k++)
      assert_true(p->rank_plans[k]->arena_bytes <= c.memory_limit);
    if (times.at[i].runs > p->n_rank_plans + 2)
      fail_msg("%lld rank plans for four", (long long)times.at[i].runs);
  }
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(fewest_rounds), cmocka_unit_test(nothing_fits),
                                     cmocka_unit_test(few_tries)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
