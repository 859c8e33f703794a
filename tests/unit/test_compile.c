// The driver from text to plan: its errors when the plan cannot be made.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/passes.h"
#include "compiler/driver/times.h"
#include "runtime/device/kernel.h"
#include "tests/here.h"

static const char text[] = "model m\n"
                           "dim vocab = 8\n"
                           "dim hidden = 4\n"
                           "dim seq = 2\n"
                           "input tokens[batch, seq] of vocab\n"
                           "input targets[batch, seq] of vocab\n"
                           "param embed[vocab, hidden] ~ normal(1)\n"
                           "h = lookup(embed, tokens)\n"
                           "loss cross_entropy(h @ embed, targets)\n";

static xlm_planned no_lookup(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                             const xlm_mesh *mesh, const xlm_target *t, xlm_kernel_choice *out) {
  if (instr->op == XLM_OP_LOOKUP) return XLM_NO_KERNEL;
  return xlm_backend_find("cpu")->info.plan(instr, tensors, dims, mesh, t, out);
}

static xlm_planned no_memory(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                             const xlm_mesh *mesh, const xlm_target *t, xlm_kernel_choice *out) {
  (void)instr, (void)tensors, (void)dims, (void)mesh, (void)t, (void)out;
  return XLM_NO_MEMORY;
}

static const xlm_plan *plan(xlm_arena *a, const xlm_backend_info *backend, xlm_diags *d) {
  const xlm_source *source = xlm_source_new(a, "model.xlm", text, strlen(text));
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.batch = 1;
  plan_for_here(&o, "cpu", 1);
  o.backend = backend;
  xlm_diags_init(d, a, source);
  return xlm_compile(a, source, &o, d, NULL, NULL).plan;
}

static void missing_kernel(void **state) { // the user's choice of a backend: reported with the line of the
                                           // model
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_backend_info some = {.name = "toy", .plan = no_lookup};
  xlm_diags d;
  assert_null(plan(a, &some, &d));
  assert_int_equal(d.errors, 1);
  xlm_text t = xlm_text_new(a);
  xlm_diag_render(&d, false, &t);
  assert_non_null(strstr(t.data, "error[E0411]: the toy backend has no kernel for `lookup`"));
  assert_non_null(strstr(t.data, "lookup(embed, tokens)"));
  xlm_arena_free(a);
}

static void memory_of_a_backend(void **state) { // a failure of the environment: returns to the recovery point
                                                // of the arena
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  volatile bool back = true;
  if (XLM_ARENA_TRY(a)) {
    xlm_backend_info none = {.name = "toy", .plan = no_memory};
    xlm_diags d;
    (void)plan(a, &none, &d);
    back = false;
  }
  assert_true(back);
  xlm_arena_free(a);
}

// ---- the table of passes ----

enum {
  STEP = XLM_COUNTED | XLM_DIFFERENTIATED,
  OF_STAGE = STEP | XLM_RECOMPUTED | XLM_PARTITIONED | XLM_STAGED
};

static const struct {
  const char *after;
  uint32_t properties; // of the training step, cut into two stages of two ranks
  bool decodes;        // of decoding, in one stage
} stops[] = {{"elaborate", 0},
             {"lora", 0},
             {"narrow_weights", 0, true},
             {"simplify", XLM_SIMPLIFIED},
             {"incremental", 0, true},
             {"stack_products", XLM_SIMPLIFIED, true},
             {"global_batch", XLM_COUNTED},
             {"eval_weights", XLM_COUNTED}, // of evaluation
             {"differentiate", STEP},
             {"simplify,2", STEP | XLM_SIMPLIFIED},
             {"cast_weights", STEP | XLM_SIMPLIFIED},
             {"late_loss", STEP | XLM_SIMPLIFIED},
             {"rematerialize", STEP},
             {"recompute", STEP | XLM_RECOMPUTED},
             {"partition", STEP | XLM_RECOMPUTED | XLM_PARTITIONED},
             {"pipeline", OF_STAGE},
             {"chunk_loss", OF_STAGE | XLM_CHUNKED},
             {"merge_loss", OF_STAGE | XLM_CHUNKED},
             {"bias", OF_STAGE | XLM_CHUNKED},
             {"residual", OF_STAGE | XLM_CHUNKED},
             {"fuse", OF_STAGE | XLM_CHUNKED | XLM_FUSED},
             {"overlap", OF_STAGE | XLM_CHUNKED | XLM_FUSED | XLM_OVERLAPPED}};

static const char staged[] = "model m\n"
                             "dim vocab = 8\n"
                             "dim hidden = 4\n"
                             "dim wide = 3\n"
                             "dim seq = 2\n"
                             "shard vocab over tp\n"
                             "input tokens[batch, seq] of vocab\n"
                             "param embed[vocab, hidden] ~ normal(1)\n"
                             "h = lookup(embed, tokens)\n"
                             "repeat 2 as i over pp {\n"
                             "  param w[hidden] ~ ones\n"
                             "  h = relu(h * w)\n"
                             "}\n"
                             "param top[hidden, wide] ~ normal(1)\n"
                             "loss mean(h @ top)\n"
                             "output h\n";

static xlm_compile_options two_stages(void) {
  xlm_compile_options o = xlm_compile_defaults();
  o.settings.batch = 2;
  static const xlm_lora adapter = {.match = "top", .rank = 1, .alpha = 1};
  o.train.microbatches = 2;
  o.train.lora = &adapter, o.train.n_lora = 1;
  o.mesh = (xlm_mesh){.n = 2, .axis = {"pp", "tp"}, .size = {2, 2}};
  plan_for_here(&o, "cpu", 1);
  return o;
}

static xlm_compile_options decoding(void) {
  xlm_compile_options o = two_stages();
  o.mesh = (xlm_mesh){.n = 1, .axis = {"tp"}, .size = {2}};
  o.programs = XLM_WITH_DECODE;
  o.settings.training = false;
  return o;
}

static void every_pass_can_be_looked_at(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_source *source = xlm_source_new(a, "model.xlm", staged, strlen(staged));
  bool seen[XLM_PASS_COUNT] = {true};
  for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
    xlm_compile_options o = stops[i].decodes ? decoding() : two_stages();
    const xlm_graph *g = NULL;
    xlm_diags d;
    xlm_diags_init(&d, a, source);
    (void)xlm_compile(a, source, &o, &d, stops[i].after, &g);
    if (!g || g->properties != stops[i].properties) fail_msg("after %s", stops[i].after);
    seen[xlm_pass_find(stops[i].after, strcspn(stops[i].after, ","))] = true;
  }
  for (int p = 0; p < XLM_PASS_COUNT; p++) assert_true(seen[p]);
  xlm_arena_free(a);
}

static bool decodes(xlm_pass_id p) {
  for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
    if (stops[i].decodes && !strcmp(stops[i].after, xlm_pass_table[p].name)) return true;
  return false;
}

static void every_pass_is_timed(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_source *source = xlm_source_new(a, "model.xlm", staged, strlen(staged));
  xlm_compile_options o = two_stages(), one = decoding();
  xlm_times times = {0}, of_decoding = {0};
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  o.times = &times, one.times = &of_decoding;
  assert_non_null(xlm_compile(a, source, &o, &d, NULL, NULL).plan);
  assert_non_null(xlm_compile(a, source, &one, &d, NULL, NULL).plan);
  for (int p = XLM_PASS_END + 1; p < XLM_PASS_COUNT; p++) {
    int i = 0;
    const xlm_times *t = decodes((xlm_pass_id)p) ? &of_decoding : &times;
    while (i < t->n && strcmp(t->at[i].name, xlm_pass_table[p].name)) i++;
    assert_true(i < t->n && t->at[i].runs > 0 && t->at[i].nodes > 0);
    // two programs, two stages; ranks of a stage share their plan
    if (xlm_pass_table[p].per_rank) assert_int_equal(t->at[i].runs, 4);
  }
  xlm_arena_free(a);
}

static void what_a_pass_needs(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_graph *g = xlm_graph_new(a, NULL, "m");
  assert_non_null(strstr(xlm_pass_unmet(XLM_PASS_OVERLAP, g, a), "first run `partition`, `fuse`"));
  g->properties = XLM_PARTITIONED | XLM_FUSED;
  assert_null(xlm_pass_unmet(XLM_PASS_OVERLAP, g, a));
  assert_non_null(strstr(xlm_pass_unmet(XLM_PASS_FUSE, g, a), "already fused"));
  for (int p = XLM_PASS_END + 1; p < XLM_PASS_COUNT; p++) { // what a pass needs is given by another
    uint32_t given = 0;
    for (int q = XLM_PASS_END + 1; q < p; q++) given |= xlm_pass_table[q].gives;
    assert_int_equal(xlm_pass_table[p].needs & ~given, 0);
    assert_int_equal(xlm_pass_find(xlm_pass_table[p].name, strlen(xlm_pass_table[p].name)), p);
  }
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(missing_kernel), cmocka_unit_test(memory_of_a_backend),
                                     cmocka_unit_test(every_pass_can_be_looked_at),
                                     cmocka_unit_test(every_pass_is_timed),
                                     cmocka_unit_test(what_a_pass_needs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
