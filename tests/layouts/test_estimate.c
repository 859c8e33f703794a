// Clusters and estimates: files with errors, formulas compared with figures computed by hand, and properties
// of every estimate.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/cost/estimate.h"
#include "compiler/parse/load.h"
#include "compiler/report/plan_page.h"
#include "compiler/report/trace.h"
#include "runtime/device/kernel.h"
#include "tests/here.h"
#include <jansson.h>

static const char figures[] =
    "name: test\n"
    "devices_per_node: 4\n"
    "device:\n  memory: 16e9\n  reserved: 1e9\n  flops_bf16: 100e12\n  flops_f32: 10e12\n"
    "  gemm_large: 0.8\n  gemm_large_at: 1e12\n  gemm_small: 0.2\n  gemm_small_at: 1e6\n"
    "  best_gemm: 0.9\n  best_attention: 0.7\n  best_bandwidth: 2e12\n"
    "  attention: 0.5\n  vector_flops: 1e12\n  memory_bandwidth: 1e12\n  launch: 1e-6\n"
    "  backend: cpu\n  arch: base\n  threads: 1\n"
    "intra:\n  bandwidth: 100e9\n  latency: 1e-6\n"
    "inter:\n  bandwidth: 10e9\n  latency: 10e-6\n";

static xlm_arena *arena_of(void **state) {
  return *state;
}

static int open_arena(void **state) {
  *state = xlm_arena_new((size_t)1 << 30);
  return *state ? 0 : 1;
}

static int close_arena(void **state) {
  xlm_arena_free(*state);
  return 0;
}

static xlm_cluster cluster(xlm_arena *a) {
  xlm_cluster c;
  xlm_error err;
  assert_int_equal(xlm_cluster_read(a, "test.yaml", figures, strlen(figures), &c, &err), XLM_OK);
  return c;
}

static char *slurp(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  char *text = calloc(1, 1 << 20);
  *n = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  return text;
}

// ---- files ----

static void shipped_files_are_read(void **state) {
  static const char *const names[] = {"h100", "h200", "a100", "b200", "cpu"};
  for (int i = 0; i < 5; i++) {
    char path[512];
    size_t n;
    xlm_cluster c;
    xlm_error err = {0};
    snprintf(path, sizeof path, XLM_SOURCE_DIR "/clusters/%s.yaml", names[i]);
    char *text = slurp(path, &n);
    if (xlm_cluster_read(arena_of(state), path, text, n, &c, &err) != XLM_OK) fail_msg("%s", err.text);
    assert_true(c.flops_bf16 > c.flops_f32 && c.gemm_large > c.gemm_small &&
                c.intra_bandwidth > c.inter_bandwidth);
    free(text);
  }
}

static void refused(void **state, const char *find, const char *with, const char *message) {
  xlm_text t = xlm_text_new(arena_of(state));
  const char *at = strstr(figures, find);
  assert_non_null(at);
  xlm_text_addn(&t, figures, (size_t)(at - figures));
  xlm_text_add(&t, with);
  xlm_text_add(&t, at + strlen(find));
  xlm_cluster c;
  xlm_error err = {0};
  assert_int_equal(xlm_cluster_read(arena_of(state), "test.yaml", t.data, t.n, &c, &err), XLM_USER);
  if (!strstr(err.text, message)) fail_msg("`%s` does not say `%s`", err.text, message);
}

static void mistakes_in_files_are_named(void **state) {
  refused(state, "  memory: 16e9", "  memroy: 16e9",
          "test.yaml:4: unknown key 'device.memroy'; did you mean 'memory'?");
  refused(state, "  memory: 16e9\n", "", "'device.memory' is missing");
  refused(state, "  memory: 16e9", "  memory: much", "test.yaml:4: 'device.memory' must be a number");
  refused(state, "  memory: 16e9", "  memory: 16e9\n  memory: 2e9", "given twice");
  refused(state, "  attention: 0.5", "  attention: 1.5", "between 1e-06 and 1");
  refused(state, "devices_per_node: 4", "memory: 4", "belongs in the section `device:`");
  refused(state, "inter:\n", "intter:\n", "did you mean 'inter'?");
  refused(state, "  reserved: 1e9", "  reserved: 17e9", "leaves nothing");
  refused(state, "device:\n", "device: 3\nx:\n", "`device` must have keys and values");
  refused(state, "name: test", "name: [", "test.yaml:");
}

// ---- formulas ----

static void groups_know_their_nodes(void **state) {
  xlm_cluster c = cluster(arena_of(state));
  xlm_mesh m = {.n = 3, .axis = {"pp", "dp", "tp"}, .size = {2, 4, 2}}; // a node: 2 of dp x 2 of tp
  xlm_span_of_ranks tp = xlm_cluster_span(&c, &m, 4), dp = xlm_cluster_span(&c, &m, 2),
                    pp = xlm_cluster_span(&c, &m, 1), both = xlm_cluster_span(&c, &m, 6);
  assert_true(tp.members == 2 && tp.per_node == 2 && tp.nodes == 1);
  assert_true(dp.members == 4 && dp.per_node == 2 && dp.nodes == 2);
  assert_true(pp.members == 2 && pp.per_node == 1 && pp.nodes == 2);
  assert_true(both.members == 8 && both.per_node == 4 && both.nodes == 2);
}

static void close_to(double got, double want) {
  if (fabs(got - want) > 1e-9 * fabs(want)) fail_msg("%.12g is not %.12g", got, want);
}

static void links_take_what_the_formulas_say(void **state) {
  xlm_cluster c = cluster(arena_of(state));
  xlm_span_of_ranks node = {4, 4, 1}, far = {4, 1, 4}, mixed = {8, 4, 2}, alone = {1, 1, 1};
  assert_true(xlm_cluster_collective(&c, alone, 1e9, 1) == 0);
  close_to(xlm_cluster_collective(&c, node, 1e9, 1), 1e9 / 100e9 + 3e-6);
  close_to(xlm_cluster_collective(&c, far, 1e9, 2), 1e9 / 10e9 + 2 * 30e-6);
  close_to(xlm_cluster_collective(&c, mixed, 1e9, 1), 1e9 / 40e9 + 3e-6 + 10e-6); // four links out of a node
  close_to(xlm_cluster_message(&c, far, 1e6), 1e6 / 10e9 + 10e-6);
  close_to(xlm_cluster_message(&c, node, 1e6), 1e6 / 100e9 + 1e-6);
  close_to(xlm_cluster_exchange(&c, mixed, 7e9), 4e9 / 10e9 + 2e-6 + 10e-6); // 4 of 7 leave the node
  xlm_span_of_ranks many = {1024, 1, 1024};
  assert_true(xlm_cluster_collective(&c, many, 64, 2) < 2 * 11 * 10e-6); // a tree
}

static void products_get_better_with_size(void **state) {
  xlm_cluster c = cluster(arena_of(state));
  close_to(xlm_cluster_product(&c, XLM_BF16, 1e13), 1e13 / (100e12 * 0.8));
  close_to(xlm_cluster_product(&c, XLM_F32, 1e6), 1e6 / (10e12 * 0.2));
  close_to(xlm_cluster_product(&c, XLM_F32, 1e9), 1e9 / (10e12 * 0.5)); // halfway in the logarithm
  for (double f = 1e3; f < 1e15; f *= 3)
    assert_true(xlm_cluster_product(&c, XLM_BF16, f) < xlm_cluster_product(&c, XLM_BF16, 1.5 * f));
}

// ---- plans ----

typedef struct asked {
  xlm_mesh mesh;
  int64_t batch, microbatches;
  const char *schedule;
  int chunks, zero;
} asked;

static const xlm_plan *plan_of(xlm_arena *a, const char *model, asked q) {
  size_t n;
  char path[512];
  snprintf(path, sizeof path, XLM_SOURCE_DIR "/models/%s.xlm", model);
  char *text = slurp(path, &n);
  const xlm_source *source = xlm_source_load(a, xlm_arena_strdup(a, path), xlm_arena_strndup(a, text, n), n);
  free(text);
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.preset = "nano";
  o.settings.batch = q.batch;
  o.train.microbatches = q.microbatches;
  o.mesh = q.mesh;
  o.schedule = q.schedule ? q.schedule : "1f1b";
  o.chunks = q.chunks ? q.chunks : 1;
  o.zero = q.zero;
  plan_for_here(&o, "cpu", 1);
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  xlm_compiled c = xlm_compile(a, source, &o, &d, NULL, NULL);
  xlm_text said = xlm_text_new(a);
  xlm_diag_render(&d, false, &said);
  if (!c.plan) fail_msg("%s", said.data);
  return c.plan;
}

static void check_estimate(const xlm_plan *p, const xlm_estimate *e) {
  assert_true(e->step > 0 && e->step <= e->step_serial * (1 + 1e-12));
  assert_true(e->compute <= e->step * (1 + 1e-12)); // of the busiest rank
  assert_true(e->bubble >= 0 && e->bubble < 1);
  close_to(e->tokens, (double)(p->batch * p->microbatches * p->seq));
  close_to(e->tokens_per_second, e->tokens / e->step);
  assert_true(e->mfu > 0 && e->mfu < 1);
}

static void one_rank_is_the_sum_of_its_kernels(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  const xlm_plan *p = plan_of(a, "llama", (asked){.batch = 4, .microbatches = 3});
  xlm_estimate e = xlm_estimate_plan(p, &c, a);
  const xlm_rank_plan *r = p->rank_plans[0];
  double sum = 0;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = 0;
         xlm_segment_program(r->segments[s].kind) == XLM_PROGRAM_TRAIN && i < r->segments[s].n; i++) {
      bool communication;
      double t = xlm_estimate_instr(&c, p, r, &r->instrs[r->segments[s].first + i], &communication);
      assert_false(communication);
      sum += t * (double)xlm_plan_runs(r, s);
    }
  check_estimate(p, &e);
  close_to(e.step, sum);
  close_to(e.step_serial, sum);
  assert_true(e.communication == 0 && e.bubble < 1e-12);
}

// By the figures above: products at 0.9, attention at 0.7 of 10 TFLOP/s, others at that peak; 2 TB/s; no
// launch.
static void the_floor_is_the_sum_of_bounds(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  const xlm_plan *p = plan_of(a, "gpt2", (asked){.batch = 4, .microbatches = 2});
  xlm_estimate e = xlm_estimate_plan(p, &c, a);
  const xlm_rank_plan *r = p->rank_plans[0];
  double sum = 0;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = 0;
         xlm_segment_program(r->segments[s].kind) == XLM_PROGRAM_TRAIN && i < r->segments[s].n; i++) {
      const xlm_instr *in = &r->instrs[r->segments[s].first + i];
      const char *name = xlm_op_name(in->op);
      double rate = !strncmp(name, "contract", 8) ? 9e12 : !strncmp(name, "attend", 6) ? 7e12 : 10e12;
      double arithmetic = in->flops / rate, memory = in->bytes / 2e12;
      sum += (double)xlm_plan_runs(r, s) * (arithmetic > memory ? arithmetic : memory);
    }
  close_to(e.floor, sum);
  assert_true(e.floor > 0 && e.floor < e.compute);
}

// Copying along new dimensions (`broadcast`) is a kernel, despite its name.
static void only_communication_takes_links(void **state) {
  xlm_cluster c = cluster(arena_of(state));
  xlm_plan p = {.mesh = {1, {"tp"}, {4}}, .n_ranks = 4};
  xlm_dim_info dims[] = {{.name = ""}, {.name = "d", .size = 8, .full = 8}};
  xlm_tensor tensors[] = {{.name = ""}, {.type = {.rank = 1, .dim = {1}}}, {.type = {.rank = 1, .dim = {1}}}};
  xlm_rank_plan r = {.dims = dims, .n_dims = 2, .tensors = tensors, .n_tensors = 3};
  xlm_attr axes = {.key = XLM_A_axes, .i = 1};
  uint32_t in[] = {1}, out[] = {2};
  for (xlm_op_id op = 1; op < XLM_OP_COUNT; op++) {
    bool communication;
    const xlm_comm_info *comm = xlm_comm_of(op);
    if (comm && (comm->lists || comm->rows)) continue; // these require their pieces
    xlm_instr i = {.op = op, .n_in = 1, .n_out = 1, .in = in, .out = out, .attrs = {1, &axes}};
    double t = xlm_estimate_instr(&c, &p, &r, &i, &communication);
    if (communication != xlm_op_is_collective(op)) fail_msg("`%s`: %d", xlm_op_name(op), communication);
    if (!comm) assert_true(fabs(t - c.launch) < 1e-12);
  }
}

static void splitting_work_divides_its_time(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  c.launch = c.intra_latency = 0;
  c.gemm_small = c.gemm_large; // then nothing is lost in smaller products
  c.intra_bandwidth = 1e18;
  xlm_estimate one = xlm_estimate_plan(plan_of(a, "llama", (asked){.batch = 4, .microbatches = 2}), &c, a);
  xlm_mesh dp = {.n = 1, .axis = {"dp"}, .size = {2}};
  xlm_estimate two =
      xlm_estimate_plan(plan_of(a, "llama", (asked){.mesh = dp, .batch = 4, .microbatches = 2}), &c, a);
  assert_true(two.step < 0.75 * one.step && two.step > 0.45 * one.step);
}

static void slower_links_cost_time(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  xlm_mesh m = {.n = 2, .axis = {"dp", "tp"}, .size = {2, 2}};
  const xlm_plan *p = plan_of(a, "llama", (asked){.mesh = m, .batch = 4, .microbatches = 2, .zero = 3});
  xlm_estimate fast = xlm_estimate_plan(p, &c, a);
  check_estimate(p, &fast);
  c.intra_bandwidth /= 100;
  xlm_estimate slow = xlm_estimate_plan(p, &c, a);
  check_estimate(p, &slow);
  assert_true(slow.communication > 5 * fast.communication && slow.step > fast.step &&
              slow.compute == fast.compute);
}

static void schedules_have_their_bubbles(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  xlm_mesh pp = {.n = 1, .axis = {"pp"}, .size = {3}};
  asked q = {.mesh = pp, .batch = 2, .microbatches = 6};
  const xlm_plan *plain = plan_of(a, "llama", q);
  q.schedule = "interleaved", q.chunks = 2;
  const xlm_plan *chunked = plan_of(a, "llama", q);
  q.schedule = "zb-h1", q.chunks = 1;
  const xlm_plan *split = plan_of(a, "llama", q);
  xlm_estimate x = xlm_estimate_plan(plain, &c, a), y = xlm_estimate_plan(chunked, &c, a),
               z = xlm_estimate_plan(split, &c, a);
  check_estimate(plain, &x);
  check_estimate(chunked, &y);
  check_estimate(split, &z);
  assert_true(x.bubble > 2.0 / 8 * 0.8); // (stages - 1) / (microbatches + stages - 1), uneven stages aside
  assert_true(y.bubble < x.bubble && z.bubble < x.bubble);
}

static void balanced_experts_are_counted(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_mesh ep = {.n = 1, .axis = {"ep"}, .size = {4}};
  const xlm_plan *p = plan_of(a, "mixtral", (asked){.mesh = ep, .batch = 4, .microbatches = 1});
  xlm_experts x = xlm_report_experts(p, a);
  assert_true(x.worst > 2 * x.balanced && x.balanced > 0);
  assert_true(x.arena_balanced < x.arena && x.arena == p->rank_plans[0]->arena_bytes);
  xlm_experts none = xlm_report_experts(plan_of(a, "llama", (asked){.batch = 2, .microbatches = 1}), a);
  assert_true(none.worst == 0);
}

// ---- views ----

static size_t ops_of(const xlm_plan *p, int stage) { // in a step of one rank of the stage
  size_t n = 0;
  uint32_t c = 0;
  while (p->rank_plans[c]->stage != stage) c++;
  for (uint32_t i = 0; i < p->rank_plans[c]->n_schedule; i++)
    n += p->rank_plans[c]->segments[p->rank_plans[c]->schedule[i].segment].n;
  return n;
}

static void traces_are_sound(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_cluster c = cluster(a);
  xlm_mesh m = {.n = 2, .axis = {"pp", "tp"}, .size = {2, 2}};
  const xlm_plan *p = plan_of(a, "llama", (asked){.mesh = m, .batch = 2, .microbatches = 4});
  xlm_estimate e = xlm_estimate_plan(p, &c, a);
  xlm_text t = xlm_text_new(a);
  xlm_report_trace(p, &c, &e, &t);
  json_t *top = json_loadb(t.data, t.n, 0, NULL);
  assert_non_null(top);
  json_t *events = json_object_get(top, "traceEvents"), *ev;
  size_t i, slices = 0, ops = 0, arrows = 0;
  double last = 0;
  json_array_foreach(events, i, ev) {
    const char *phase = json_string_value(json_object_get(ev, "ph"));
    arrows += *phase == 's';
    if (*phase != 'X') continue;
    bool op = !strcmp(json_string_value(json_object_get(ev, "cat")), "op");
    *(op ? &ops : &slices) += 1;
    double end = json_number_value(json_object_get(ev, "ts")) + json_number_value(json_object_get(ev, "dur"));
    if (end > last) last = end;
  }
  assert_int_equal(slices, 2 * (2 * 4 + 1)); // F and B of every microbatch, and the step, of both stages
  assert_int_equal(arrows, 2 * 4);
  assert_int_equal(ops, ops_of(p, 0) + ops_of(p, 1));
  assert_true(fabs(last - e.step * 1e6) < 1e-3 * last);
  json_decref(top);
}

static void tables_agree_with_the_plan(void **state) {
  xlm_arena *a = arena_of(state);
  xlm_mesh m = {.n = 3, .axis = {"pp", "dp", "tp"}, .size = {2, 2, 2}};
  const xlm_plan *p = plan_of(a, "llama", (asked){.mesh = m, .batch = 4, .microbatches = 4, .zero = 1});
  int n;
  xlm_stage_row *rows = xlm_report_stages(p, a, &n);
  assert_int_equal(n, 2);
  assert_string_equal(rows[0].rounds, "0-2");
  assert_string_equal(rows[1].rounds, "3-5");
  uint32_t n_rows;
  xlm_traffic_row *traffic = xlm_report_traffic(p, XLM_PROGRAM_TRAIN, NULL, a, &n_rows);
  uint64_t sends = 0;
  for (uint32_t i = 0; i < n_rows; i++) {
    if (!strcmp(traffic[i].op, "send")) sends += traffic[i].bytes * (uint64_t)traffic[i].count;
    assert_true(traffic[i].bytes > 0 && traffic[i].count > 0);
  }
  // h there and d/h back, of one stage each: f32 [2, 128, 384] per rank, for 4 microbatches
  assert_int_equal(sends, 2 * 4 * 2 * 128 * 384 * sizeof(float));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(shipped_files_are_read, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(mistakes_in_files_are_named, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(groups_know_their_nodes, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(links_take_what_the_formulas_say, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(products_get_better_with_size, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(one_rank_is_the_sum_of_its_kernels, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(the_floor_is_the_sum_of_bounds, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(only_communication_takes_links, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(splitting_work_divides_its_time, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(slower_links_cost_time, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(schedules_have_their_bubbles, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(balanced_experts_are_counted, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(traces_are_sound, open_arena, close_arena),
      cmocka_unit_test_setup_teardown(tables_agree_with_the_plan, open_arena, close_arena),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
