// Mixtures of experts on many ranks: the same gradients, choices, load and bias as on one rank, also if
// experts get no rows or cannot be divided evenly; and no token leaves its rank for a loss or a metric.
//
// The choice of experts is a step function: if two scores differ by less than rounding, another order of
// summation may choose another expert, and the loss changes by more than rounding. Here every comparison is
// over few tokens and few steps, where no two scores are that close; counts and biases are then bitwise
// equal.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/diagnose/diag.h"
#include "compiler/ir/op.h"
#include "tests/train/toy_team.h"

enum { MOST_RANKS = 16, STEPS = 3 };

typedef struct job {
  const char *model, *sets;
  int dp, ep, tp, pp; // 0: the mesh lacks the axis
  int64_t rows, microbatches;
  int zero;
  double lr;         // learning rate
  const float *bias; // of every layer's experts at first; NULL = as initialised
  int n_bias, steps;
  bool in_rows; // gpt_oss: the bias after the last product is added to the rows of experts, not per token
} job;

typedef struct result {
  double loss[64], norm[64], load[64];
  double *moment; // the optimizer's first moments after the first step
  double *bias;   // after the last step
  int64_t n_moment, n_bias;
} result;

static xlm_mesh mesh_of(const job *j) {
  const char *names[] = {"pp", "dp", "ep", "tp"};
  int sizes[] = {j->pp, j->dp, j->ep, j->tp};
  xlm_mesh m = {0};
  for (int i = 0; i < 4; i++)
    if (sizes[i] > 1) m.axis[m.n] = names[i], m.size[m.n++] = sizes[i];
  return m;
}

static xlm_compile_options options_of(xlm_arena *a, const job *j) {
  toy_options o = toy_defaults(j->model);
  o.microbatches = j->microbatches;
  o.batch = j->rows / j->microbatches;
  o.sets = j->sets;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = mesh_of(j);
  c.zero = j->zero;
  return c;
}

static char *replaced(xlm_arena *a, const char *text, const char *old, const char *by) {
  const char *at = strstr(text, old);
  assert_non_null(at);
  return xlm_arena_printf(a, "%.*s%s%s", (int)(at - text), text, by, at + strlen(old));
}

static const xlm_source *source_of(xlm_arena *a, const job *j) {
  const xlm_source *s = toy_source(a, j->model);
  if (!j->in_rows) return s;
  char *text = replaced(a, s->text, "param bdown[routes, hidden]", "param bdown[experts, hidden]");
  text = replaced(a, text, " + scatter(w, e, routes, over active) @ bdown", "");
  text = replaced(a, text, "ys = contract(", "ys = bdown + contract(");
  return xlm_source_new(a, "rows.xlm", text, strlen(text));
}

static bool is_bias(const xlm_stored *t) {
  return t->role == XLM_ROLE_STATE && strstr(t->name, ".moe.bias");
}
static bool is_moment(const xlm_stored *t) {
  return !strncmp(t->name, "adam.m/", 7);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const xlm_stored *const *)a)->name, (*(const xlm_stored *const *)b)->name);
}

// All values of the states that `wanted` names, in the order of their names (which no layout changes).
static double *collect(const toy_team *r, bool (*wanted)(const xlm_stored *), int64_t *n) {
  const xlm_stored *list[512];
  int count = 0;
  *n = 0;
  for (int i = 0; i < r->store->n && count < 512; i++)
    if (wanted(&r->store->at[i])) list[count++] = &r->store->at[i], *n += r->store->at[i].n;
  qsort(list, (size_t)count, sizeof *list, by_name);
  double *all = malloc((size_t)(*n + 1) * sizeof *all);
  float *one = malloc((size_t)(*n + 1) * sizeof *one);
  assert_non_null(all);
  assert_non_null(one);
  int64_t at = 0;
  for (int i = 0; i < count; i++) {
    assert_int_equal(xlm_store_get(r->store, list[i], NULL, one, NULL), XLM_OK);
    for (int64_t k = 0; k < list[i]->n; k++) all[at++] = one[k];
  }
  free(one);
  return all;
}

static void put_bias(const toy_team *r, const job *j) {
  for (int i = 0; j->bias && i < r->store->n; i++)
    if (is_bias(&r->store->at[i]))
      assert_int_equal(xlm_store_put(r->store, &r->store->at[i], NULL, j->bias, NULL), XLM_OK);
}

static result train(const job *j) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_compile_options c = options_of(a, j);
  toy_team *t = toy_team_open(toy_plan(a, source_of(a, j), &c), j->model);
  result x = {0};
  put_bias(t, j);
  for (int s = 0; s < (j->steps ? j->steps : STEPS); s++) {
    toy_team_step(t, s, j->lr);
    x.loss[s] = toy_team_output(t, "loss"), x.norm[s] = toy_team_output(t, "grad_norm");
    x.load[s] = toy_team_output(t, "expert_load_max");
    if (!s) x.moment = collect(t, is_moment, &x.n_moment);
  }
  x.bias = collect(t, is_bias, &x.n_bias);
  toy_team_close(t);
  xlm_arena_free(a);
  return x;
}

static void release(result *x) {
  free(x->moment);
  free(x->bias);
}

static void expect_near(double a, double b, double limit, const char *what, int step) {
  if (!(fabs(a - b) <= limit * fabs(b))) fail_msg("%s of step %d: %.9g, on one rank %.9g", what, step, a, b);
}

// After one step of AdamW the first moment is a tenth of the (clipped) gradient: every parameter's, end to
// end.
static void compare(const result *many, const result *one) {
  double most = 0;
  for (int s = 0; s < STEPS; s++) {
    expect_near(many->loss[s], one->loss[s], 1e-5, "loss", s);
    expect_near(many->load[s], one->load[s], 1e-6, "load", s);
    assert_true(one->load[s] >= 1);
  }
  expect_near(many->norm[0], one->norm[0], 1e-5, "gradient norm", 0);
  assert_int_equal(many->n_moment, one->n_moment);
  assert_true(one->n_moment > 1000);
  for (int64_t i = 0; i < one->n_moment; i++) most = fmax(most, fabs(one->moment[i]));
  for (int64_t i = 0; i < one->n_moment; i++)
    if (!(fabs(many->moment[i] - one->moment[i]) <= 2e-6 * most))
      fail_msg("gradient, element %lld: %g, on one rank %g (largest %g)", (long long)i, many->moment[i],
               one->moment[i], most);
  assert_int_equal(many->n_bias, one->n_bias);
  assert_true(!one->n_bias || !memcmp(many->bias, one->bias, (size_t)one->n_bias * sizeof *one->bias));
}

static void compare_layouts(const job *base, const job *layouts, int n) {
  job j = *base;
  for (int i = 0; i < n; i++) {
    j.microbatches = layouts[i].microbatches;
    j.dp = j.ep = j.tp = j.pp = 0, j.zero = 0;
    result one = train(&j);
    j.dp = layouts[i].dp, j.ep = layouts[i].ep, j.tp = layouts[i].tp, j.pp = layouts[i].pp,
    j.zero = layouts[i].zero;
    result many = train(&j);
    compare(&many, &one);
    release(&one), release(&many);
  }
}

static const job layouts[] = {
    {.dp = 2, .microbatches = 1},
    {.ep = 2, .microbatches = 2},
    {.dp = 2, .ep = 2, .tp = 2, .microbatches = 1, .zero = 2},
    {.ep = 4, .microbatches = 1},
    {.pp = 2, .ep = 2, .microbatches = 2, .zero = 0},
    {.ep = 2, .tp = 3, .microbatches = 2},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void mixtral_as_on_one_rank(void **state) {
  (void)state;
  compare_layouts(&(job){.model = "mixtral", .sets = "kv_heads=4", .rows = 8, .lr = 1e-3}, layouts, LAYOUTS);
}

static void deepseek_as_on_one_rank(void **state) {
  (void)state;
  compare_layouts(&(job){.model = "deepseek", .rows = 8, .lr = 1e-3}, layouts, LAYOUTS);
}

// Biases of experts in rows: before the last product or after it, where ranks of tp have parts of the rows'
// sums.
static void biases_in_rows(void **state) {
  (void)state;
  job base = {.model = "gpt_oss", .sets = "kv_heads=4 balance=0", .rows = 8, .lr = 1e-3, .in_rows = true};
  compare_layouts(&base, layouts, LAYOUTS);
  job per_token = base;
  base.microbatches = per_token.microbatches = 1, per_token.in_rows = false;
  result rows = train(&base), tokens = train(&per_token);
  compare(&rows, &tokens);
  release(&rows), release(&tokens);
}

// 8 experts over 3 ranks: 3, 3 and 2 of them.
static void uneven_experts(void **state) {
  (void)state;
  static const job three[] = {{.ep = 3, .microbatches = 1},
                              {.ep = 3, .tp = 2, .microbatches = 2},
                              {.dp = 2, .ep = 3, .microbatches = 1}};
  compare_layouts(&(job){.model = "mixtral", .sets = "experts=8", .rows = 6, .lr = 1e-3}, three, 3);
  compare_layouts(&(job){.model = "deepseek", .sets = "experts=8 groups=4 active=3", .rows = 6, .lr = 1e-3},
                  three, 3);
}

// A bias of 2 exceeds any score: every token chooses the first two experts. All rows go to one rank, which
// must have memory for them, and the others have none.
static void experts_without_rows(void **state) {
  (void)state;
  static const float one_rank[] = {2, 2, 0, 0, 0, 0, 0, 0}, ends[] = {2, 0, 0, 0, 0, 0, 0, 2};
  static const job meshes[] = {{.ep = 2, .microbatches = 1},
                               {.ep = 4, .microbatches = 2},
                               {.dp = 2, .ep = 2, .tp = 2, .microbatches = 1}};
  job base = {.model = "deepseek",
              .sets = "experts=8 groups=4 active=2",
              .rows = 8,
              .lr = 1e-3,
              .bias = one_rank,
              .n_bias = 8};
  compare_layouts(&base, meshes, 3);
  base.bias = ends;
  compare_layouts(&base, meshes, 3);
  base.microbatches = 1;
  result x = train(&base);
  expect_near(x.load[0], 4, 1e-6, "load", 0); // 8 experts, all choices on 2
  release(&x);
}

// The load is that of the whole batch, however it is divided into microbatches and ranks.
static void load_of_the_whole_batch(void **state) {
  (void)state;
  static const char *const models[] = {"mixtral", "deepseek"};
  for (int m = 0; m < 2; m++) {
    job j = {.model = models[m], .rows = 8, .microbatches = 1, .lr = 1e-3, .steps = 1};
    result whole = train(&j);
    for (int64_t cut = 2; cut <= 4; cut *= 2) {
      j.microbatches = cut;
      j.dp = cut == 2 ? 2 : 0;
      result parts = train(&j);
      expect_near(parts.load[0], whole.load[0], 1e-6, "load", 0);
      assert_memory_equal(parts.bias, whole.bias, (size_t)whole.n_bias * sizeof *whole.bias);
      release(&parts);
    }
    release(&whole);
  }
}

// Starting from a bias that sends everything to two experts, the updates alone (no learning) balance the
// load.
static void bias_evens_the_load(void **state) {
  (void)state;
  static const float first[] = {0.4f, 0.4f, 0, 0, 0, 0};
  job j = {.model = "deepseek",
           .sets = "speed=0.02",
           .rows = 8,
           .microbatches = 2,
           .ep = 2,
           .bias = first,
           .n_bias = 6,
           .steps = 40};
  result x = train(&j);
  assert_true(x.load[0] > 2.5);
  double late = 0; // a single batch is up to 0.3 from it, as few tokens have few choices
  for (int s = 20; s < 40; s++) late += x.load[s] / 20;
  assert_true(late < 1.7);
  release(&x);
}

// ---- what the plan sends ----

static bool has_dim(const xlm_graph *g, xlm_val v, const char *name) {
  const xlm_type *t = xlm_val_type(g, v);
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(g->dims[t->dim[i]].name, name)) return true;
  return false;
}

static const xlm_graph *graph_of(xlm_arena *a, const job *j, xlm_diags *d) {
  xlm_compile_options c = options_of(a, j);
  const xlm_graph *g = NULL;
  const xlm_source *source = toy_source(a, j->model);
  xlm_diags_init(d, a, source);
  (void)xlm_compile(a, source, &c, d, "fuse", &g);
  assert_non_null(g);
  return g;
}

// Ranks exchange gradients of parameters, rows to their experts and back, and vectors with an element per
// expert, of the batch or of a sample; never logits or probabilities of tokens. With tensor parallelism a
// token's choices are gathered with its vector, and the partial results of experts are summed per token, not
// per row.
static int check_sent(const xlm_graph *g) {
  int rows = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (!xlm_op_facts_of(n->op)->converts_layout) continue;
    rows += n->op == XLM_OP_SEND_ROWS || n->op == XLM_OP_COLLECT_ROWS;
    bool reduces = n->op == XLM_OP_ALL_REDUCE || n->op == XLM_OP_REDUCE_SCATTER;
    bool tokens = has_dim(g, n->in[0], "seq");
    if (reduces && xlm_val_at(g, n->in[0])->ragged_by) fail_msg("a sum of packed rows, in %s", n->scope);
    if (tokens && has_dim(g, n->in[0], "routes"))
      fail_msg("%s of the router's tokens, in %s", xlm_op_at(n->op)->name, n->scope);
  }
  return rows;
}

static void no_token_is_gathered(void **state) {
  (void)state;
  static const char *const models[] = {"mixtral", "deepseek"};
  for (int m = 0; m < 2; m++)
    for (int tp = 1; tp <= 2; tp++) {
      xlm_arena *a = xlm_arena_new(0);
      xlm_diags d;
      job j = {.model = models[m], .dp = 2, .ep = 2, .tp = tp, .rows = 8, .microbatches = 1};
      assert_true(check_sent(graph_of(a, &j, &d)) >= 4);
      xlm_arena_free(a);
    }
}

// ---- at scale ----

// 671 B parameters, and 12 B of the layer that looks ahead, on 2048 ranks: the plan of every stage, on this
// machine.
static void deepseek_v3_is_planned(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_compile_options c = xlm_compile_defaults();
  c.settings =
      (xlm_elaborate_options){.preset = "v3", .batch = 128, .seq = 4096, .dtype = XLM_BF16, .training = true};
  c.mesh = mesh_of(&(job){.pp = 16, .dp = 16, .ep = 8});
  c.train.microbatches = 32;
  c.zero = 1;
  c.programs = XLM_WITH_TRAIN;
  const xlm_plan *p = toy_plan(a, toy_source(a, "deepseek"), &c);
  assert_int_equal(p->n_ranks, 2048);
  assert_true(p->parameters == 671026404352.0 + 11610067968.0);
  assert_true(p->n_rank_plans >= 16 && p->n_rank_plans <= 64); // grows with stages, not with ranks
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mixtral_as_on_one_rank), cmocka_unit_test(deepseek_as_on_one_rank),
      cmocka_unit_test(biases_in_rows),         cmocka_unit_test(uneven_experts),
      cmocka_unit_test(experts_without_rows),   cmocka_unit_test(load_of_the_whole_batch),
      cmocka_unit_test(bias_evens_the_load),    cmocka_unit_test(no_token_is_gathered),
      cmocka_unit_test(deepseek_v3_is_planned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
