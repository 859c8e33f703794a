// Overlap of kernels and communication: concurrent instructions do not conflict in memory, there is something
// to overlap, gradients are reduced once and during the last backward, and no bits change.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/pass/pass.h"
#include "compiler/verify/verify_plan.h"
#include "runtime/plan/streams.h"
#include "tests/train/toy_team.h"

static xlm_arena *arena;

static int set_up(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

static xlm_mesh mesh2(const char *a, int n, const char *b, int m) {
  return (xlm_mesh){.n = 2, .axis = {a, b}, .size = {n, m}};
}

static xlm_plan *plan_of(const char *model, xlm_mesh mesh, int64_t microbatches, int zero,
                         const char *schedule, int chunks) {
  toy_options o = toy_defaults(model);
  o.batch = 8 / microbatches;
  o.microbatches = microbatches;
  o.sets = "layers=4";
  xlm_compile_options c = toy_compile_options(arena, &o);
  c.mesh = mesh;
  c.zero = zero;
  c.schedule = schedule;
  c.chunks = chunks;
  return (xlm_plan *)(uintptr_t)toy_plan(arena, toy_source(arena, model), &c); // ours: tests break it
}

// ---- memory ----

// Simple by design: all pairs that could run concurrently, by the waits alone.
static bool touches(const xlm_rank_plan *r, const xlm_instr *x,
                    const xlm_instr *y) { // x writes, y reads or writes
  for (int i = 0; i <= x->n_out; i++)
    for (int k = 0; k <= y->n_in + y->n_out; k++) {
      uint64_t a, an, b, bn;
      if (i == x->n_out) {
        a = r->area_begin[XLM_AREA_TEMP] + x->workspace_at, an = x->workspace;
      } else {
        const xlm_tensor *t = &r->tensors[x->out[i]];
        a = r->area_begin[t->area] + t->offset, an = t->bytes;
      }
      if (k == y->n_in + y->n_out) {
        b = r->area_begin[XLM_AREA_TEMP] + y->workspace_at, bn = y->workspace;
      } else {
        const xlm_tensor *t = &r->tensors[k < y->n_in ? y->in[k] : y->out[k - y->n_in]];
        b = r->area_begin[t->area] + t->offset, bn = t->bytes;
      }
      if (an && bn && a < b + bn && b < a + an) return true;
    }
  return false;
}

static void check_segment(const xlm_rank_plan *r, const xlm_segment *s) {
  uint32_t ended[XLM_STREAMS] = {0}; // of the other stream: all before this have ended
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *x = &r->instrs[i];
    xlm_stream other = x->stream == XLM_STREAM_COMM ? XLM_STREAM_KERNELS : XLM_STREAM_COMM;
    assert_true(!x->after ||
                (x->after > s->first && x->after <= i && r->instrs[x->after - 1].stream == other));
    if (x->after > ended[x->stream]) ended[x->stream] = x->after;
    for (uint32_t k = s->first; k < i; k++) {
      const xlm_instr *y = &r->instrs[k];
      if (y->stream == x->stream || k < ended[x->stream]) continue;
      if (touches(r, x, y) || touches(r, y, x))
        fail_msg("instruction %u (%s) and %u (%s) may run at once", k, xlm_op_name(y->op), i,
                 xlm_op_name(x->op));
    }
  }
}

static const struct {
  const char *model;
  xlm_mesh mesh;
  int64_t microbatches;
  int zero;
  const char *schedule;
  int chunks;
} cases[] = {{"llama", {2, {"dp", "tp"}, {2, 2}}, 4, 0, "1f1b", 1},
             {"llama", {2, {"pp", "dp"}, {2, 2}}, 4, 1, "interleaved", 2},
             {"gpt2", {2, {"pp", "dp"}, {2, 2}}, 4, 3, "zb-h1", 1},
             {"llama", {1, {"dp"}, {4}}, 1, 3, "1f1b", 1},
             {"mixtral", {2, {"ep", "tp"}, {2, 2}}, 2, 0, "1f1b", 1},
             {"deepseek", {2, {"dp", "ep"}, {2, 2}}, 2, 2, "1f1b", 1}};
enum { CASES = sizeof cases / sizeof *cases };

static xlm_plan *case_plan(int i) {
  return plan_of(cases[i].model, cases[i].mesh, cases[i].microbatches, cases[i].zero, cases[i].schedule,
                 cases[i].chunks);
}

static void nothing_meets_in_memory(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    const xlm_plan *p = case_plan(i);
    for (uint32_t c = 0; c < p->n_rank_plans; c++)
      for (uint32_t s = 0; s < p->rank_plans[c]->n_segments; s++)
        check_segment(p->rank_plans[c], &p->rank_plans[c]->segments[s]);
  }
}

// Every wait in the plan is needed: without it the plan is rejected.
static void a_missing_wait_is_found(void **state) {
  (void)state;
  xlm_plan *p = case_plan(0);
  xlm_rank_plan *r = p->rank_plans[0];
  xlm_instr *instrs = (xlm_instr *)(uintptr_t)r->instrs;
  int broken = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    uint32_t after = instrs[i].after;
    if (!after) continue;
    instrs[i].after = 0;
    xlm_plan_check check = xlm_plan_verify(p, arena);
    assert_non_null(check.text);
    if (!strstr(check.text, "does not wait for")) fail_msg("%s", check.text);
    instrs[i].after = after;
    broken++;
  }
  assert_true(broken > 20);
  xlm_plan_check sound = xlm_plan_verify(p, arena);
  assert_null(sound.text);
}

// ---- something to run at once ----

// Number of communications with products that run concurrently before the result is needed.
static int hidden(const xlm_plan *p, xlm_op_id op, xlm_segment_kind kind) {
  const xlm_rank_plan *r = p->rank_plans[0];
  int n = 0;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = r->segments[s].first; i < r->segments[s].first + r->segments[s].n; i++) {
      if (r->segments[s].kind != kind || xlm_plan_whole(r, s) != s || r->instrs[i].op != op) continue;
      bool product = false;
      for (uint32_t k = i + 1; k < r->segments[s].first + r->segments[s].n && r->instrs[k].after <= i; k++)
        product |= r->instrs[k].model_flops > 0;
      n += product;
    }
  return n;
}

static void there_is_something_beside(void **state) {
  (void)state;
  xlm_plan *tp = plan_of("llama", mesh2("dp", 1, "tp", 2), 1, 0, "1f1b", 1);
  assert_true(hidden(tp, XLM_OP_REDUCE_SCATTER, XLM_SEG_B) >= 4); // weight gradients run beside them
  xlm_plan *dp = plan_of("llama", mesh2("dp", 2, "tp", 1), 4, 0, "1f1b", 1);
  assert_true(hidden(dp, XLM_OP_ALL_REDUCE, XLM_SEG_B) >= 20); // the backward goes on
  xlm_plan *zero = plan_of("llama", mesh2("dp", 2, "tp", 1), 1, 3, "1f1b", 1);
  assert_true(hidden(zero, XLM_OP_ALL_GATHER, XLM_SEG_F) >= 20); // the layer before is computed
}

// Shared experts are computed while the rows of the others are sent, in both directions.
static void rows_travel_beside_shared_experts(void **state) {
  (void)state;
  xlm_plan *ep = plan_of("deepseek", mesh2("ep", 2, "tp", 1), 1, 0, "1f1b", 1);
  assert_true(hidden(ep, XLM_OP_SEND_ROWS, XLM_SEG_F) >= 2);
  assert_true(hidden(ep, XLM_OP_COLLECT_ROWS, XLM_SEG_F) >= 2);
}

// ---- once per step ----

static bool is_gradient_reduction(const xlm_instr *in) {
  return in->op == XLM_OP_ALL_REDUCE || in->op == XLM_OP_REDUCE_SCATTER;
}

static int64_t count_reductions(const xlm_rank_plan *r, bool in_step) {
  int64_t n = 0;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = r->segments[s].first; i < r->segments[s].first + r->segments[s].n; i++) {
      xlm_segment_kind k = r->segments[s].kind;
      bool counts = in_step ? k == XLM_SEG_STEP : k == XLM_SEG_B || k == XLM_SEG_W;
      if (counts && is_gradient_reduction(&r->instrs[i])) n += xlm_plan_runs(r, s);
    }
  return n;
}

static int64_t count_parameters(const xlm_rank_plan *r) {
  int64_t n = 0;
  for (uint32_t i = 0; i < r->n_states; i++) n += r->states[i].role == XLM_ROLE_PARAMETER;
  return n;
}

static void gradients_are_reduced_once(void **state) {
  (void)state;
  static const struct {
    const char *schedule;
    int pp, chunks;
  } of[] = {{"1f1b", 1, 1}, {"1f1b", 2, 1}, {"interleaved", 2, 2}, {"zb-h1", 2, 1}, {"gpipe", 2, 1}};
  for (size_t i = 0; i < sizeof of / sizeof *of; i++)
    for (int zero = 0; zero < 2; zero++) {
      xlm_plan *p = plan_of("llama", mesh2("pp", of[i].pp, "dp", 2), 4, zero, of[i].schedule, of[i].chunks);
      for (uint32_t c = 0; c < p->n_rank_plans; c++) {
        const xlm_rank_plan *r = p->rank_plans[c];
        assert_int_equal(count_reductions(r, false), count_parameters(r));
        assert_true(count_reductions(r, true) <= 3); // loss and norms
        int last = 0;                                // only there is anything done once
        for (uint32_t s = 0; s < r->n_segments; s++) last += r->segments[s].variant == XLM_VARIANT_LAST;
        assert_int_equal(last, 1);
      }
    }
}

// Each microbatch runs the right variant of its segment, and every variant is used.
static void check_variants(const xlm_plan *p, const char *forward, const char *backward) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t s = 0; s < r->n_segments; s++) assert_true(xlm_plan_runs(r, s) > 0);
  char ran[2][8] = {"", ""};
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *s = &r->segments[r->schedule[i].segment];
    if (s->kind <= XLM_SEG_B) ran[s->kind][r->schedule[i].microbatch] = *xlm_variant_name(s->variant);
  }
  assert_string_equal(ran[XLM_SEG_F], forward);
  assert_string_equal(ran[XLM_SEG_B], backward);
}

static void microbatches_run_their_variants(void **state) {
  (void)state;
  xlm_mesh one = mesh2("dp", 1, "tp", 1), dp = mesh2("dp", 2, "tp", 1), pp = mesh2("pp", 2, "dp", 2);
  check_variants(plan_of("llama", one, 1, 0, "1f1b", 1), "o", "o");
  check_variants(plan_of("llama", one, 2, 0, "1f1b", 1), "oo", "fm");   // the loss is part of the backward
  check_variants(plan_of("mixtral", one, 2, 0, "1f1b", 1), "fm", "fm"); // the load of the experts is not
  check_variants(plan_of("llama", dp, 1, 0, "1f1b", 1), "o", "o");
  check_variants(plan_of("llama", dp, 2, 0, "1f1b", 1), "oo", "fl");
  check_variants(plan_of("llama", dp, 4, 0, "1f1b", 1), "oooo", "fmml");
  check_variants(plan_of("llama", pp, 4, 0, "1f1b", 1), "oooo", "fmml");
}

// The sum over ranks reuses the memory of the sum over microbatches: there is no second copy of all
// gradients.
static void gradients_exist_once(void **state) {
  (void)state;
  const xlm_rank_plan *one = plan_of("llama", mesh2("dp", 1, "tp", 1), 4, 0, "1f1b", 1)->rank_plans[0];
  const xlm_rank_plan *two = plan_of("llama", mesh2("dp", 2, "tp", 1), 4, 0, "1f1b", 1)->rank_plans[0];
  uint64_t gradients = two->category_bytes[XLM_CATEGORY_GRADIENT];
  assert_int_equal(one->category_bytes[XLM_CATEGORY_GRADIENT], gradients);
  assert_true(two->category_bytes[XLM_CATEGORY_COMM] < gradients / 4);
}

// ---- the order of the pass ----

static void positions(const xlm_graph *g, xlm_op_id op, const char *scope, xlm_node *first, xlm_node *last) {
  *first = *last = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == op && !strcmp(g->nodes[n].scope, scope)) {
      if (!*first) *first = n;
      *last = n;
    }
}

static const xlm_graph *dump(const char *model, xlm_mesh mesh, int zero, const char *pass) {
  toy_options o = toy_defaults(model);
  o.sets = "layers=4";
  o.batch = 8;
  xlm_compile_options c = toy_compile_options(arena, &o);
  c.mesh = mesh;
  c.zero = zero;
  xlm_diags d;
  const xlm_source *source = toy_source(arena, model);
  xlm_diags_init(&d, arena, source);
  const xlm_graph *g = NULL;
  (void)xlm_compile(arena, source, &c, &d, pass, &g);
  assert_non_null(g);
  return g;
}

static void weights_are_gathered_before_the_layer(void **state) {
  (void)state;
  const xlm_graph *before = dump("llama", mesh2("dp", 2, "tp", 1), 3, "fuse"),
                  *after = dump("llama", mesh2("dp", 2, "tp", 1), 3, "overlap");
  xlm_node gather, attend, unused;
  positions(before, XLM_OP_ALL_GATHER, "layers.1.mlp", &gather, &unused);
  positions(before, XLM_OP_ATTEND, "layers.1.attention", &attend, &unused);
  assert_true(gather > attend);
  positions(after, XLM_OP_ALL_GATHER, "layers.1.mlp", &gather, &unused);
  positions(after, XLM_OP_ATTEND, "layers.1.attention", &attend, &unused);
  assert_true(gather < attend);
  assert_int_equal(before->n_nodes, after->n_nodes); // the same nodes in another order
  assert_int_equal(before->n_updates, after->n_updates);
}

// ---- no bit changes ----

static double train(const xlm_plan *p, const char *thread, double *norm) {
  assert_int_equal(setenv("XLM_COMM_THREAD", thread, 1), 0);
  toy_team *t = toy_team_open(p, thread);
  assert_int_equal(unsetenv("XLM_COMM_THREAD"), 0);
  for (int64_t s = 0; s < 4; s++) toy_team_step(t, s, 1e-3);
  double loss = toy_team_output(t, "loss");
  *norm = toy_team_output(t, "grad_norm");
  toy_team_close(t);
  return loss;
}

static void the_second_thread_changes_no_bit(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    const xlm_plan *p = case_plan(i);
    double norm, other;
    double alone = train(p, "never", &norm), beside = train(p, "always", &other);
    assert_true(alone == beside && norm == other);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_meets_in_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_missing_wait_is_found, set_up, tear_down),
      cmocka_unit_test_setup_teardown(there_is_something_beside, set_up, tear_down),
      cmocka_unit_test_setup_teardown(rows_travel_beside_shared_experts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(gradients_are_reduced_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(microbatches_run_their_variants, set_up, tear_down),
      cmocka_unit_test_setup_teardown(gradients_exist_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(weights_are_gathered_before_the_layer, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_second_thread_changes_no_bit, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
