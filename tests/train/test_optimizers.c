// Optimizers: three steps of each on a tiny problem, compared with formulas in plain C; parameter groups;
// error messages for both.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "runtime/base/philox.h"
#include "tests/ops/run_graph.h"

static xlm_arena *arena;

static int setup(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

// ---- the problem: loss = sum(t * (x @ w)) + sum(u * b), so that dw = x^T t and db = u whatever w and b are

enum { BATCH = 2, IN = 4, HEADS = 2, HEAD = 3, OUT = HEADS * HEAD, STEPS = 3 };

typedef struct problem {
  xlm_graph *g; // the train graph
  run_graph *r;
  double w[IN * OUT], b[OUT], dw[IN * OUT], db[OUT], x[BATCH * IN], t[BATCH * OUT];
} problem;

static xlm_val leaf(xlm_build *b, xlm_op_id op, const char *name, xlm_init_kind init, const xlm_dim *dims,
                    int n) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  xlm_attr_put_init(&l, XLM_A_init, init, 1, 0);
  xlm_attr_put_dims(&l, XLM_A_dims, dims, n);
  return xlm_emit(b, op, NULL, 0, &l);
}

static xlm_graph *model(void) {
  xlm_graph *g = xlm_graph_new(arena, NULL, "tiny");
  xlm_build b = xlm_build_new(g);
  xlm_dim batch = xlm_graph_dim(g, "batch", BATCH), in = xlm_graph_dim(g, "in", IN),
          heads = xlm_graph_dim(g, "heads", HEADS), head = xlm_graph_dim(g, "head", HEAD);
  xlm_val x = leaf(&b, XLM_OP_STATE, "x", XLM_INIT_ZEROS, (xlm_dim[]){batch, in}, 2);
  xlm_val t = leaf(&b, XLM_OP_STATE, "t", XLM_INIT_ZEROS, (xlm_dim[]){batch, heads, head}, 3);
  xlm_val u = leaf(&b, XLM_OP_STATE, "u", XLM_INIT_ZEROS, (xlm_dim[]){heads, head}, 2);
  xlm_val w = leaf(&b, XLM_OP_PARAM, "layers.0.w", XLM_INIT_NORMAL, (xlm_dim[]){in, heads, head}, 3);
  xlm_val v = leaf(&b, XLM_OP_PARAM, "bias", XLM_INIT_ZEROS, (xlm_dim[]){heads, head}, 2);
  xlm_val y = xlm_contract(&b, x, w, &in, 1, NULL, -1);
  xlm_val loss = xlm_sum_over(&b, xlm_op2(&b, XLM_OP_MUL, y, t), (xlm_dim[]){batch, heads, head}, 3);
  xlm_val other = xlm_sum_over(&b, xlm_op2(&b, XLM_OP_MUL, v, u), (xlm_dim[]){heads, head}, 2);
  xlm_vals_add(g, &g->losses, NULL, xlm_op2(&b, XLM_OP_ADD, loss, other), (xlm_span){0, 0});
  return g;
}

static xlm_val find(const xlm_graph *g, const char *name) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_op_is_leaf(g->nodes[n].op) && !strcmp(xlm_attr_text(&g->nodes[n].attrs, XLM_A_name, ""), name))
      return g->nodes[n].out;
  return 0;
}

static void set(problem *p, const char *name, const double *values) {
  if (find(p->g, name)) run_graph_set(p->r, find(p->g, name), values);
}

static void fill(const char *name, double *x, int n) {
  for (int i = 0; i < n; i++) {
    uint32_t bits[4];
    xlm_philox_draw(xlm_philox_key(3, xlm_hash_text(name)), 0, (uint64_t)i, bits);
    x[i] = xlm_philox_unit(bits[0]) - 0.5;
  }
}

static problem *new_problem(const xlm_train_options *o, double gradient) {
  problem *p = XLM_NEW(arena, problem);
  p->g = xlm_pass_simplify(xlm_pass_differentiate(model(), arena, o), arena);
  const char *wrong = xlm_graph_verify(p->g, arena);
  if (wrong) fail_msg("%s", wrong);
  p->r = run_graph_new(p->g, (run_options){.backend = xlm_backend_find("ref"), .f64 = true, .threads = 1});
  for (xlm_node n = 1; n < p->g->n_nodes; n++)
    if (xlm_node_is(&p->g->nodes[n], XLM_LEAF_STATE))
      run_graph_set(p->r, p->g->nodes[n].out, (double[IN * OUT]){0});
  fill("w", p->w, IN * OUT), fill("b", p->b, OUT), fill("u", p->db, OUT);
  fill("x", p->x, BATCH * IN), fill("t", p->t, BATCH * OUT);
  for (int i = 0; i < OUT; i++) p->db[i] *= gradient;
  for (int i = 0; i < BATCH * OUT; i++) p->t[i] *= gradient;
  for (int i = 0; i < IN; i++)
    for (int j = 0; j < OUT; j++)
      for (int k = 0; k < BATCH; k++) p->dw[i * OUT + j] += p->x[k * IN + i] * p->t[k * OUT + j];
  set(p, "layers.0.w", p->w), set(p, "bias", p->b), set(p, "x", p->x), set(p, "t", p->t), set(p, "u", p->db);
  return p;
}

static void step(problem *p, int number, double lr) {
  double at = number;
  set(p, "lr", &lr), set(p, "step", &at);
  run_graph_run(p->r, 1, p->g->n_nodes);
  if (run_graph_error(p->r)) fail_msg("%s", run_graph_error(p->r));
}

static void same(const problem *p, const char *name, const double *want, int n) {
  double got[IN * OUT];
  run_graph_get(p->r, find(p->g, name), got);
  for (int i = 0; i < n; i++)
    if (!(fabs(got[i] - want[i]) <= 1e-12 * (1 + fabs(want[i]))))
      fail_msg("%s at %d: %.15g, not %.15g", name, i, got[i], want[i]);
}

// ---- the formulas in plain C: one step on p [rows, cols] in place; s: what persists between steps

typedef struct memory {
  double a[IN * OUT], b[IN * OUT];
} memory;

typedef void formula(double *p, const double *g, memory *s, int rows, int cols, int t, double lr,
                     double decay);

static void adamw(double *p, const double *g, memory *s, int rows, int cols, int t, double lr, double decay) {
  for (int i = 0; i < rows * cols; i++) {
    s->a[i] = 0.8 * s->a[i] + 0.2 * g[i];
    s->b[i] = 0.95 * s->b[i] + 0.05 * g[i] * g[i];
    double m = s->a[i] / (1 - pow(0.8, t)), v = s->b[i] / (1 - pow(0.95, t));
    p[i] -= lr * (m / (sqrt(v) + 1e-8) + decay * p[i]);
  }
}

static void sgd(double *p, const double *g, memory *s, int rows, int cols, int t, double lr, double decay) {
  (void)t;
  for (int i = 0; i < rows * cols; i++) {
    s->a[i] = 0.7 * s->a[i] + g[i] + decay * p[i];
    p[i] -= lr * s->a[i];
  }
}

static void nesterov(double *p, const double *g, memory *s, int rows, int cols, int t, double lr,
                     double decay) {
  (void)t;
  for (int i = 0; i < rows * cols; i++) {
    double h = g[i] + decay * p[i];
    s->a[i] = 0.7 * s->a[i] + h;
    p[i] -= lr * (h + 0.7 * s->a[i]);
  }
}

static void lion(double *p, const double *g, memory *s, int rows, int cols, int t, double lr, double decay) {
  (void)t;
  for (int i = 0; i < rows * cols; i++) {
    double c = 0.9 * s->a[i] + 0.1 * g[i];
    s->a[i] = 0.99 * s->a[i] + 0.01 * g[i];
    p[i] -= lr * ((c > 0) - (c < 0) + decay * p[i]);
  }
}

static double root_mean_square(const double *x, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += x[i] * x[i];
  return sqrt(sum / n);
}

static void descend_clipped(double *p, const double *u, int n, double lr, double decay) {
  double rms = root_mean_square(u, n), by = rms > 1 ? rms : 1;
  for (int i = 0; i < n; i++) p[i] -= lr * (u[i] / by + decay * p[i]);
}

static void adafactor(double *p, const double *g, memory *s, int rows, int cols, int t, double lr,
                      double decay) {
  double beta = 1 - pow(t, -0.8), total = 0, u[IN * OUT];
  double *r = s->a, *c = s->b;
  for (int i = 0; i < rows; i++) r[i] *= beta;
  for (int j = 0; j < cols; j++) c[j] *= beta;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      double square = g[i * cols + j] * g[i * cols + j] + 1e-30;
      r[i] += (1 - beta) * square / cols;
      c[j] += (1 - beta) * square / rows;
    }
  for (int i = 0; i < rows; i++) total += r[i];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) u[i * cols + j] = g[i * cols + j] / sqrt(r[i] * c[j] * rows / total);
  descend_clipped(p, u, rows * cols, lr, decay);
}

static void adafactor_vector(double *p, const double *g, memory *s, int rows, int cols, int t, double lr,
                             double decay) {
  double beta = 1 - pow(t, -0.8), u[IN * OUT];
  for (int i = 0; i < rows * cols; i++) {
    s->a[i] = beta * s->a[i] + (1 - beta) * (g[i] * g[i] + 1e-30);
    u[i] = g[i] / sqrt(s->a[i]);
  }
  descend_clipped(p, u, rows * cols, lr, decay);
}

static void muon(double *p, const double *g, memory *s, int rows, int cols, int t, double lr, double decay) {
  double x[IN * OUT], a[IN * IN], f[IN * IN], y[IN * OUT], norm = 0;
  (void)t;
  for (int i = 0; i < rows * cols; i++) {
    s->a[i] = 0.95 * s->a[i] + g[i];
    x[i] = g[i] + 0.95 * s->a[i];
    norm += x[i] * x[i];
  }
  for (int i = 0; i < rows * cols; i++) x[i] /= sqrt(norm) + 1e-7;
  for (int round = 0; round < 5; round++) {
    memset(a, 0, sizeof a), memset(y, 0, sizeof y);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < rows; j++)
        for (int k = 0; k < cols; k++) a[i * rows + j] += x[i * cols + k] * x[j * cols + k];
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < rows; j++) {
        double aa = 0;
        for (int k = 0; k < rows; k++) aa += a[i * rows + k] * a[k * rows + j];
        f[i * rows + j] = -4.7750 * a[i * rows + j] + 2.0315 * aa;
      }
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++)
        for (int k = 0; k < rows; k++) y[i * cols + j] += f[i * rows + k] * x[k * cols + j];
    for (int i = 0; i < rows * cols; i++) x[i] = 3.4445 * x[i] + y[i];
  }
  double scale = 0.2 * sqrt(rows > cols ? rows : cols);
  for (int i = 0; i < rows * cols; i++) p[i] -= lr * (scale * x[i] + decay * p[i]);
}

// The weight is the matrix [IN, OUT] whatever its dims are called; the bias is none.
typedef struct optimizer_case {
  const char *name;
  xlm_optimizer_value values[2];
  formula *matrix, *vector;
} optimizer_case;

static const optimizer_case cases[] = {
    {"adamw", {{"adam_beta1", 0.8}}, adamw, adamw},
    {"sgd", {{"momentum", 0.7}}, sgd, sgd},
    {"sgd", {{"momentum", 0.7}, {"nesterov", 1}}, nesterov, nesterov},
    {"lion", {{0}}, lion, lion},
    {"muon", {{"adam_beta1", 0.8}}, muon, adamw},
    {"adafactor", {{0}}, adafactor, adafactor_vector},
};
enum { CASES = sizeof cases / sizeof *cases };

static xlm_train_options options_of(const optimizer_case *c) {
  int n = 0;
  while (n < 2 && c->values[n].name) n++;
  return (xlm_train_options){
      .optimizer = c->name, .values = c->values, .n_values = n, .weight_decay = 0.1, .microbatches = 1};
}

static void steps_follow_the_formulas(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    xlm_train_options o = options_of(&cases[i]);
    problem *p = new_problem(&o, 1);
    memory w = {{0}}, b = {{0}};
    for (int t = 1; t <= STEPS; t++) {
      double lr = 0.1 / t;
      step(p, t, lr);
      cases[i].matrix(p->w, p->dw, &w, IN, OUT, t, lr, 0.1);
      cases[i].vector(p->b, p->db, &b, HEADS, HEAD, t, lr, 0); // zeros at first: no decay
    }
    same(p, "layers.0.w", p->w, IN * OUT);
    same(p, "bias", p->b, OUT);
    run_graph_free(p->r);
  }
}

static void every_optimizer_has_a_formula(void **state) {
  (void)state;
  for (int i = 0; xlm_optimizers[i]; i++) {
    bool found = false;
    for (int k = 0; k < CASES; k++) found |= !strcmp(cases[k].name, xlm_optimizers[i]->name);
    if (!found) fail_msg("no formula for %s: give it a line in `cases`", xlm_optimizers[i]->name);
  }
}

// Zero gradients change a parameter at most by its decay; NaN gradients change nothing.
static void extremes_are_harmless(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++)
    for (int broken = 0; broken < 2; broken++) {
      xlm_train_options o = options_of(&cases[i]);
      o.grad_clip = 1;
      problem *p = new_problem(&o, broken ? INFINITY : 0);
      for (int t = 1; t <= STEPS; t++) {
        step(p, t, 0.1);
        for (int k = 0; k < IN * OUT && !broken; k++)
          p->w[k] *= strcmp(cases[i].name, "sgd") ? 1 - 0.1 * 0.1 : 1;
      }
      if (broken || strcmp(cases[i].name, "sgd")) same(p, "layers.0.w", p->w, IN * OUT);
      same(p, "bias", p->b, OUT);
      run_graph_free(p->r);
    }
}

// ---- groups

static double of_update(const xlm_graph *g, xlm_op_id op, const char *param, xlm_attr_key key) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].op == op && g->nodes[n].in[0] == find(g, param))
      return xlm_attr_float(&g->nodes[n].attrs, key, -1);
  fail_msg("%s is not updated by %s", param, xlm_op_at(op)->name);
  return 0;
}

// In each list the first match applies; the run file takes precedence over the text, setting by setting.
static void groups_choose(void **state) {
  (void)state;
  xlm_param_group text[] = {{.match = "layers.*", .rank = -1, .lr = 0.5, .weight_decay = 0.3},
                            {.match = "*", .rank = -1, .lr = 7, .weight_decay = 7}},
                  file[] = {{.match = "*.w", .rank = 3, .lr = NAN, .weight_decay = 0.2},
                            {.match = NULL, .rank = 2, .lr = NAN, .weight_decay = NAN, .optimizer = "sgd"}};
  xlm_graph *m = model();
  m->groups = text, m->n_groups = 2;
  xlm_train_options o = {
      .optimizer = "adamw", .weight_decay = 0.1, .groups = file, .n_groups = 2, .microbatches = 1};
  int n;
  const xlm_update_row *rows = xlm_optimizer_table(m, &o, arena, &n);
  assert_int_equal(n, 2);
  assert_string_equal(rows[0].choice.group, "*.w, rank 3");
  assert_string_equal(rows[0].choice.optimizer->name, "adamw");
  assert_true(rows[0].choice.lr == 0.5 && rows[0].choice.weight_decay == 0.2 && rows[0].elements == IN * OUT);
  assert_string_equal(rows[1].choice.group, "rank 2");
  assert_true(rows[1].choice.lr == 7 && rows[1].choice.weight_decay == 7 && rows[1].parameters == 1);
  xlm_graph *g = xlm_pass_simplify(xlm_pass_differentiate(m, arena, &o), arena);
  assert_true(of_update(g, XLM_OP_ADAMW, "layers.0.w", XLM_A_decay) == 0.2);
  assert_true(of_update(g, XLM_OP_SGD, "bias", XLM_A_decay) == 7);
}

// ---- mistakes

static const char *complaint(const xlm_train_options *o) {
  xlm_diags d;
  static const char none[] = "";
  xlm_diags_init(&d, arena, xlm_source_new(arena, "tiny.xlm", none, 0));
  xlm_graph *g = model();
  if (xlm_optimizer_check(g, o, &d)) return "";
  assert_int_equal(d.errors, 1);
  xlm_text t = xlm_text_new(arena);
  xlm_diag_render(&d, false, &t);
  return t.data;
}

static void says(const xlm_train_options *o, const char *what) {
  const char *text = complaint(o);
  if (!strstr(text, what)) fail_msg("nothing is said of \"%s\": %s", what, text);
}

static void mistakes_are_named(void **state) {
  (void)state;
  xlm_param_group p = {.rank = -1, .lr = NAN, .weight_decay = NAN, .where = "run.yaml:3"};
  xlm_train_options o = {.optimizer = "adamw", .groups = &p, .n_groups = 1, .microbatches = 1};
  assert_string_equal(complaint(&o), "");
  o.optimizer = "adamv", says(&o, "there is no optimizer `adamv`"), says(&o, "did you mean `adamw`?");
  o.optimizer = NULL, says(&o, "the optimizers are adamw, sgd");
  o.optimizer = "adamw", p.optimizer = "sdg", says(&o, "run.yaml:3: there is no optimizer `sdg`");
  p.optimizer = NULL, p.match = "layer.*.w",
  says(&o, "run.yaml:3: the group `layer.*.w` matches no parameter");
  says(&o, "did you mean `layers.*.w`?");
  p.match = "zzz", says(&o, "the parameters are layers.*.w, bias");
  p.match = NULL, p.rank = 5, says(&o, "the group `rank 5` matches no parameter");
  p.rank = 2, p.lr = -1, says(&o, "the factor on the learning rate is -1");
  p.lr = NAN, p.weight_decay = -1, says(&o, "the weight decay is -1");
  p.weight_decay = NAN;
  o.n_values = 1, o.values = &(xlm_optimizer_value){"adam_beta9", 0}, says(&o, "no optimizer has a setting");
  o.values = &(xlm_optimizer_value){"adam_beta1", 2},
  says(&o, "adam_beta1 is 2; it must lie between 0 and 0.999999");
}

static void too_many_parameters(void **state) {
  (void)state;
  xlm_graph *g = xlm_graph_new(arena, NULL, "many");
  xlm_build b = xlm_build_new(g);
  xlm_dim d = xlm_graph_dim(g, "d", 2);
  xlm_train_options o = {.optimizer = "adamw", .microbatches = 1};
  xlm_diags diags;
  xlm_diags_init(&diags, arena, xlm_source_new(arena, "many.xlm", "", 0));
  for (int i = 0; i < UINT16_MAX; i++) leaf(&b, XLM_OP_PARAM, "w", XLM_INIT_ONES, &d, 1);
  assert_true(xlm_optimizer_check(g, &o, &diags));
  leaf(&b, XLM_OP_PARAM, "w", XLM_INIT_ONES, &d, 1);
  assert_false(xlm_optimizer_check(g, &o, &diags));
  assert_int_equal(diags.errors, 1);
  assert_non_null(strstr(diags.at[0].text, "65536 parameter tensors"));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {TEST(steps_follow_the_formulas), TEST(every_optimizer_has_a_formula),
                                     TEST(extremes_are_harmless),     TEST(groups_choose),
                                     TEST(mistakes_are_named),        TEST(too_many_parameters)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
