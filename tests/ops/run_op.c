// See run_op.h. Differentiation here is the plain reverse walk, independent of the compiler's pass.
#include "tests/ops/run_op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/philox.h"
#include "tests/ops/run_graph.h"

enum { MAX_WAYS = 8, MIN_PROBES = 8, MAX_PROBES = 96, MAX_WORK = 200000 };

// ---- leaves

xlm_dim op_dim(op_test *t, const char *dim) {
  char name[64];
  long size = 0;
  int got = sscanf(dim, " %63[A-Za-z0-9_] %ld", name, &size);
  XLM_ASSERT(got >= 1, "dimension \"%s\" of a test case", dim);
  xlm_dim d = got == 2 ? xlm_graph_dim(t->b.g, xlm_arena_strdup(t->b.g->arena, name), size)
                       : xlm_graph_dim_find(t->b.g, name, 0);
  XLM_ASSERT(d, "dimension \"%s\" of a test case has no size yet", dim);
  return d;
}

static int parse_decl(op_test *t, const char *decl, const char **name, xlm_dim *dims) {
  const char *open = strchr(decl, '['), *close = strchr(decl, ']');
  XLM_ASSERT(open && close, "leaf \"%s\" of a test case", decl);
  *name = xlm_arena_strndup(t->b.g->arena, decl, (size_t)(open - decl));
  char *list = xlm_arena_strndup(t->b.g->arena, open + 1, (size_t)(close - open - 1));
  int n = 0;
  for (char *save = NULL, *d = strtok_r(list, ",", &save); d; d = strtok_r(NULL, ",", &save))
    dims[n++] = op_dim(t, d);
  return n;
}

static double uniform(const char *name, int64_t i, double lo, double hi) {
  uint32_t bits[4];
  xlm_philox_draw(xlm_philox_key(11, xlm_hash_text(name)), 0, (uint64_t)i, bits);
  return lo + (hi - lo) * xlm_philox_unit(bits[0]);
}

static double round_to(xlm_dtype t, double x) {
  if (t == XLM_BF16) return xlm_bf16_to_f32(xlm_f32_to_bf16((float)x));
  return t == XLM_I32 ? floor(x) : (double)(float)x;
}

typedef struct leaf_spec {
  xlm_op_id op;
  xlm_dtype dtype;
  bool grad;
  double lo, hi;
} leaf_spec;

static op_leaf_info *add_leaf(op_test *t, const char *decl, leaf_spec s) {
  xlm_graph *g = t->b.g;
  const char *name;
  xlm_dim dims[XLM_MAX_RANK];
  int n = parse_decl(t, decl, &name, dims);
  xlm_attr_list l = xlm_attr_list_new(g->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_dtype, s.dtype);
  xlm_attr_put_dims(&l, XLM_A_dims, dims, n);
  XLM_ASSERT(t->n_leaves < OP_MAX_LEAVES, "too many leaves");
  op_leaf_info *leaf = &t->leaf[t->n_leaves++];
  *leaf = (op_leaf_info){.val = xlm_emit(&t->b, s.op, NULL, 0, &l), .grad = s.grad};
  int64_t count = xlm_type_elements(xlm_val_type(g, leaf->val), g->dims);
  leaf->values = XLM_NEW_N(g->arena, double, count + 1);
  for (int64_t i = 0; i < count; i++) leaf->values[i] = round_to(s.dtype, uniform(name, i, s.lo, s.hi));
  return leaf;
}

xlm_val op_leaf(op_test *t, const char *decl) {
  return op_leaf_range(t, decl, -1.5, 1.5);
}
xlm_val op_leaf_range(op_test *t, const char *decl, double lo, double hi) {
  return add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, t->dtype, true, lo, hi})->val;
}
xlm_val op_leaf_f32(op_test *t, const char *decl, double lo, double hi) {
  return add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, XLM_F32, true, lo, hi})->val;
}
xlm_val op_fixed(op_test *t, const char *decl, double lo, double hi) {
  return add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, XLM_F32, false, lo, hi})->val;
}
xlm_val op_state(op_test *t, const char *decl, double lo, double hi) {
  return add_leaf(t, decl, (leaf_spec){XLM_OP_STATE, XLM_F32, false, lo, hi})->val;
}
xlm_val op_ints(op_test *t, const char *decl, int lo, int hi) {
  return add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, XLM_I32, false, lo, hi})->val;
}

xlm_val op_data(op_test *t, const char *decl, const double *values) {
  op_leaf_info *leaf = add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, XLM_F32, false, 0, 1});
  int64_t n = xlm_type_elements(xlm_val_type(t->b.g, leaf->val), t->b.g->dims);
  for (int64_t i = 0; i < n; i++) leaf->values[i] = (float)values[i];
  return leaf->val;
}

xlm_val op_int_data(op_test *t, const char *decl, const int *values) {
  op_leaf_info *leaf = add_leaf(t, decl, (leaf_spec){XLM_OP_INPUT, XLM_I32, false, 0, 1});
  int64_t n = xlm_type_elements(xlm_val_type(t->b.g, leaf->val), t->b.g->dims);
  for (int64_t i = 0; i < n; i++) leaf->values[i] = values[i];
  return leaf->val;
}

void op_out_const(op_test *t, xlm_val v) {
  XLM_ASSERT(t->n_outs < OP_MAX_OUTS, "too many outputs");
  t->out[t->n_outs++] = (op_out_info){.val = v};
}

void op_out(op_test *t, xlm_val v) {
  op_out_const(t, v);
  if (xlm_dtype_is_float(xlm_val_type(t->b.g, v)->dtype))
    t->out[t->n_outs - 1].dout = 1; // the leaf comes later
}

xlm_attr_list op_attrs(op_test *t) {
  return xlm_attr_list_new(t->b.g->arena);
}

void op_put_dims(op_test *t, xlm_attr_list *l, xlm_attr_key key, const char *dims) {
  xlm_dim list[XLM_MAX_RANK];
  char *text = xlm_arena_strdup(t->b.g->arena, dims), *save = NULL;
  int n = 0;
  for (char *d = strtok_r(text, ", ", &save); d; d = strtok_r(NULL, ", ", &save)) {
    if (d[0] >= '0' && d[0] <= '9') {
      list[n - 1] = xlm_graph_dim(t->b.g, t->b.g->dims[list[n - 1]].name, atol(d));
      continue;
    }
    char next = *save >= '0' && *save <= '9';
    list[n++] = next ? xlm_graph_dim(t->b.g, d, atol(save)) : op_dim(t, d);
  }
  xlm_attr_put_dims(l, key, list, n);
}

// ---- a case's graph, with its gradients

typedef struct test_graph {
  op_test t;
  xlm_node end_forward;            // nodes before it are the case's own
  xlm_val gradient[OP_MAX_LEAVES]; // 0: none flows
} test_graph;

static void add_upstream(op_test *t) { // a random gradient per output
  t->b.phase = XLM_PHASE_BWD;
  for (int i = 0; i < t->n_outs; i++) {
    if (!t->out[i].dout) continue;
    xlm_graph *g = t->b.g;
    xlm_type type = *xlm_val_type(g, t->out[i].val);
    xlm_attr_list l = xlm_attr_list_new(g->arena);
    const char *name = xlm_arena_printf(g->arena, "dout%d", i);
    xlm_attr_put_text(&l, XLM_A_name, name);
    xlm_attr_put_enum(&l, XLM_A_dtype, type.dtype);
    xlm_attr_put_dims(&l, XLM_A_dims, type.dim, type.rank);
    op_leaf_info *leaf = &t->leaf[t->n_leaves++];
    *leaf = (op_leaf_info){.val = xlm_emit(&t->b, XLM_OP_INPUT, NULL, 0, &l)};
    int64_t n = xlm_type_elements(&type, g->dims);
    leaf->values = XLM_NEW_N(g->arena, double, n + 1);
    for (int64_t k = 0; k < n; k++) leaf->values[k] = round_to(type.dtype, uniform(name, k, -1, 1));
    t->out[i].dout = leaf->val;
  }
}

static bool *values_needing(const op_test *t,
                            xlm_node end) { // those that depend on a leaf that wants a gradient
  const xlm_graph *g = t->b.g;
  bool *need = XLM_NEW_N(g->arena, bool, g->n_values);
  for (int i = 0; i < t->n_leaves; i++) need[t->leaf[i].val] = t->leaf[i].grad;
  for (xlm_node id = 1; id < end; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool any = false;
    for (int i = 0; i < n->n_in; i++) any |= need[n->in[i]];
    for (int i = 0; i < n->n_out && any; i++)
      need[n->out + (xlm_val)i] = xlm_dtype_is_float(xlm_val_type(g, n->out + (xlm_val)i)->dtype);
  }
  return need;
}

static void add_to(op_test *t, xlm_val *sum, xlm_val v) {
  if (v) *sum = xlm_add_to(&t->b, *sum, v);
}

static void differentiate_node(op_test *t, xlm_node id, const bool *need, xlm_val *grad) {
  xlm_graph *g = t->b.g;
  xlm_node_info n = g->nodes[id];
  const xlm_op *op = xlm_op_at(n.op);
  xlm_val dout[8] = {0}, out[8] = {0}, *din = XLM_NEW_N(g->arena, xlm_val, n.n_in + 1);
  bool *want = XLM_NEW_N(g->arena, bool, n.n_in + 1), any_out = false, any_in = false;
  for (int i = 0; i < n.n_out; i++) {
    out[i] = n.out + (xlm_val)i, dout[i] = grad[out[i]];
    any_out |= dout[i] != 0;
  }
  for (int i = 0; i < n.n_in; i++) any_in |= want[i] = need[n.in[i]];
  if (!any_out || !any_in || !op->grad) return;
  xlm_grad x = {.b = &t->b, .node = id, .in = n.in, .out = out, .dout = dout, .need = want, .din = din};
  op->grad(&x);
  for (int i = 0; i < n.n_in; i++)
    if (want[i]) add_to(t, &grad[n.in[i]], din[i]);
}

static void differentiate(test_graph *tg) {
  op_test *t = &tg->t;
  add_upstream(t);
  bool *need = values_needing(t, tg->end_forward);
  xlm_val *grad = XLM_NEW_N(t->b.g->arena, xlm_val, t->b.g->n_values);
  for (int i = 0; i < t->n_outs; i++) add_to(t, &grad[t->out[i].val], t->out[i].dout);
  for (xlm_node id = tg->end_forward; id-- > 1;) differentiate_node(t, id, need, grad);
  for (int i = 0; i < t->n_leaves; i++) {
    tg->gradient[i] = t->leaf[i].grad ? grad[t->leaf[i].val] : 0;
    if (tg->gradient[i])
      tg->gradient[i] = xlm_order_to(&t->b, tg->gradient[i], xlm_val_type(t->b.g, t->leaf[i].val));
  }
}

static test_graph *build_graph(const op_case *c, xlm_arena *a, xlm_dtype dtype) {
  test_graph *tg = XLM_NEW(a, test_graph);
  xlm_graph *g = xlm_graph_new(a, NULL, "test");
  tg->t = (op_test){.b = xlm_build_new(g), .dtype = dtype, .the_case = c};
  tg->t.env = (xlm_step_env){.seed = 5, .step = 3};
  c->build(&tg->t);
  tg->end_forward = g->n_nodes;
  if (!c->no_grad) differentiate(tg);
  return tg;
}

// ---- running it

static const op_subject *subject;

void op_compare(const op_subject *s) {
  XLM_ASSERT(s->ways <= MAX_WAYS, "%d ways to run", s->ways);
  subject = s;
}

static int threads_of_way(int way) {
  return way;
}

static const op_subject *compared(void) {
  static op_subject cpu = {.ways = 3, .begin = threads_of_way, .way = "threads"};
  cpu.backend = xlm_backend_find("cpu");
  return subject ? subject : &cpu;
}

static run_graph *start_reference(const test_graph *tg) {
  run_options o = {.backend = xlm_backend_find("ref"), .f64 = true, .threads = 1, .env = tg->t.env};
  return run_graph_new(tg->t.b.g, o);
}

static run_graph *start_way(const test_graph *tg, int way) {
  const op_subject *s = compared();
  run_options o = {.backend = s->backend,
                   .others = s->others,
                   .in_place = way == 1,
                   .threads = s->begin(way),
                   .env = tg->t.env,
                   .watch = s->watch,
                   .own_attention = s->own_attention,
                   .device = s->device};
  return run_graph_new(tg->t.b.g, o);
}

static void set_leaves(const test_graph *tg, run_graph *r) {
  for (int i = 0; i < tg->t.n_leaves; i++) run_graph_set(r, tg->t.leaf[i].val, tg->t.leaf[i].values);
}

static double *get(const test_graph *tg, const run_graph *r, xlm_val v, int64_t *n) {
  *n = run_graph_elements(r, v);
  double *x = XLM_NEW_N(tg->t.b.g->arena, double, *n + 1);
  run_graph_get(r, v, x);
  return x;
}

static const char *leaf_name(const test_graph *tg, int i) {
  const xlm_graph *g = tg->t.b.g;
  return xlm_attr_text(&xlm_val_node(g, tg->t.leaf[i].val)->attrs, XLM_A_name, "?");
}

static int watched(const test_graph *tg, xlm_val *vals, const char **names) { // outputs, then gradients
  int n = 0;
  xlm_arena *a = tg->t.b.g->arena;
  for (int i = 0; i < tg->t.n_outs; i++)
    vals[n] = tg->t.out[i].val, names[n++] = xlm_arena_printf(a, "output %d", i);
  for (int i = 0; i < tg->t.n_leaves; i++)
    if (tg->gradient[i])
      vals[n] = tg->gradient[i], names[n++] = xlm_arena_printf(a, "gradient of %s", leaf_name(tg, i));
  return n;
}

static double rms_of(const double *y, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += isfinite(y[i]) ? y[i] * y[i] : 0;
  return n ? sqrt(sum / (double)n) : 0;
}

// NULL or the first element where |x - y| > tol * (|y| + rms), rms being that of the whole tensor.
static const char *compare(xlm_arena *a, const char *what, const double *x, const double *y, int64_t n,
                           double tol, double rms) {
  for (int64_t i = 0; i < n; i++) {
    bool same = x[i] == y[i] || (isfinite(y[i]) && fabs(x[i] - y[i]) <= tol * (fabs(y[i]) + rms));
    if (!same)
      return xlm_arena_printf(a, "%s, element %lld of %lld: %.9g, expected %.9g (tolerance %g, rms %.3g)",
                              what, (long long)i, (long long)n, x[i], y[i], tol, rms);
  }
  return NULL;
}

static const char *same_bits(xlm_arena *a, const char *what, const run_graph *x, const run_graph *y,
                             xlm_val v, int way) {
  size_t n, m;
  const void *p = run_graph_bytes(x, v, &n), *q = run_graph_bytes(y, v, &m);
  return n == m && !memcmp(p, q, n)
             ? NULL
             : xlm_arena_printf(a, "%s: other bits with %s %d than with 1", what, compared()->way, way);
}

// Attributes that are not set hold the value that their op declares for this.
static void set_unset(xlm_graph *g) {
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_op *op = xlm_op_at(g->nodes[id].op);
    xlm_attr_list l = xlm_attr_list_from(g->arena, &g->nodes[id].attrs);
    for (int i = 0; i < op->n_attrs; i++) {
      const xlm_attr_rule *r = &op->attrs[i];
      xlm_attr_kind kind = xlm_attr_kind_of(r->key);
      if (!r->may || r->without || xlm_attr_find(&g->nodes[id].attrs, r->key)) continue;
      if (kind == XLM_ATTR_INT || kind == XLM_ATTR_ENUM) xlm_attr_put_int(&l, r->key, (int64_t)r->unset);
      if (kind == XLM_ATTR_FLOAT) xlm_attr_put_float(&l, r->key, r->unset);
    }
    g->nodes[id].attrs = xlm_attr_freeze(&l);
  }
}

static const char *check_unset(const test_graph *tg, xlm_arena *a, run_graph *const run[2],
                               const xlm_val *vals, const char *const *names, int n) {
  xlm_graph *g = tg->t.b.g;
  set_unset(g);
  const char *wrong = xlm_graph_verify(g, a);
  for (int k = 0; k < 2 && !wrong; k++) {
    run_graph *r = k ? start_way(tg, 1) : start_reference(tg);
    set_leaves(tg, r);
    run_graph_run(r, 1, g->n_nodes);
    for (int i = 0; i < n && !wrong; i++)
      if (same_bits(a, names[i], run[k], r, vals[i], 1))
        wrong = xlm_arena_printf(
            a, "%s: other bits where attributes are unset than with the values declared for this", names[i]);
    run_graph_free(r);
  }
  return wrong;
}

static const char *check_against_reference(const test_graph *tg, xlm_arena *a, double tol) {
  const xlm_graph *g = tg->t.b.g;
  xlm_val vals[OP_MAX_LEAVES + OP_MAX_OUTS];
  const char *names[OP_MAX_LEAVES + OP_MAX_OUTS], *wrong = NULL;
  int n = watched(tg, vals, names), ways = compared()->ways;
  run_graph *run[MAX_WAYS + 1];
  for (int k = 0; k <= ways; k++) { // 0: the reference
    run[k] = k ? start_way(tg, k) : start_reference(tg);
    set_leaves(tg, run[k]);
    run_graph_run(run[k], 1, g->n_nodes);
    if (!wrong && run_graph_error(run[k])) wrong = xlm_arena_strdup(a, run_graph_error(run[k]));
  }
  for (int i = 0; i < n && !wrong; i++) {
    int64_t count;
    double *y = get(tg, run[0], vals[i], &count), *x = get(tg, run[1], vals[i], &count);
    wrong = compare(a, names[i], x, y, count, tol, rms_of(y, count));
    for (int k = 2; k <= ways && !wrong; k++) wrong = same_bits(a, names[i], run[1], run[k], vals[i], k);
  }
  if (!wrong) wrong = check_unset(tg, a, run, vals, names, n);
  for (int k = 0; k <= ways; k++) run_graph_free(run[k]);
  return wrong;
}

static double objective(const test_graph *tg, run_graph *r) { // sum over outputs of out * dout
  set_leaves(tg, r);
  run_graph_run(r, 1, tg->end_forward);
  double sum = 0;
  for (int i = 0; i < tg->t.n_outs; i++) {
    if (!tg->t.out[i].dout) continue;
    int64_t n;
    double *out = get(tg, r, tg->t.out[i].val, &n), *dout = get(tg, r, tg->t.out[i].dout, &n);
    for (int64_t k = 0; k < n; k++) sum += out[k] * dout[k];
  }
  return sum;
}

static double difference(const test_graph *tg, run_graph *r, double *x, double eps) {
  double old = *x, h = eps * fmax(1, fabs(old));
  *x = old + h;
  double high = objective(tg, r);
  *x = old - h;
  double low = objective(tg, r);
  *x = old;
  return (high - low) / (2 * h);
}

// How many elements of a leaf to probe: all of small ones, few where the graph is large.
static int64_t probes_of(const test_graph *tg, int64_t n) {
  const xlm_graph *g = tg->t.b.g;
  int64_t work = 1;
  for (xlm_node id = 1; id < tg->end_forward; id++)
    if (g->nodes[id].n_out) work += xlm_type_elements(xlm_val_type(g, g->nodes[id].out), g->dims);
  int64_t most = MAX_WORK / work < MIN_PROBES ? MIN_PROBES : MAX_WORK / work;
  most = most > MAX_PROBES ? MAX_PROBES : most;
  return n < most ? n : most;
}

static const char *check_leaf_gradient(const test_graph *tg, run_graph *r, xlm_arena *a, int leaf) {
  const op_case *c = tg->t.the_case;
  if (!tg->gradient[leaf]) return xlm_arena_printf(a, "no gradient reaches %s", leaf_name(tg, leaf));
  int64_t n;
  double *all = get(tg, r, tg->gradient[leaf], &n);
  int64_t most = probes_of(tg, n), every = most < n ? n / most + 1 : 1, probes = 0;
  double *got = XLM_NEW_N(a, double, n + 1), *want = XLM_NEW_N(a, double, n + 1);
  for (int64_t i = 0; i < n; i += every) {
    got[probes] = all[i];
    want[probes++] = difference(tg, r, &tg->t.leaf[leaf].values[i], c->eps ? c->eps : 1e-5);
  }
  const char *what = xlm_arena_printf(a, "gradient of %s against finite differences (every %lld-th element)",
                                      leaf_name(tg, leaf), (long long)every);
  return compare(a, what, got, want, probes, c->tol_grad ? c->tol_grad : 1e-6, rms_of(all, n));
}

static const char *check_gradients(const test_graph *tg, xlm_arena *a) {
  run_graph *r = start_reference(tg);
  set_leaves(tg, r);
  run_graph_run(r, 1, tg->t.b.g->n_nodes);
  const char *wrong = run_graph_error(r);
  for (int i = 0; i < tg->t.n_leaves && !wrong; i++)
    if (tg->t.leaf[i].grad) wrong = check_leaf_gradient(tg, r, a, i);
  if (wrong) wrong = xlm_arena_strdup(a, wrong);
  run_graph_free(r);
  return wrong;
}

void op_case_cover(const op_case *c, xlm_arena *a, bool *covered) {
  const xlm_graph *g = build_graph(c, a, XLM_F32)->t.b.g;
  covered[c->op] = true; // a composite is not among its nodes
  for (xlm_node n = 1; n < g->n_nodes; n++) covered[g->nodes[n].op] = true;
}

const char *op_case_run(const op_case *c, xlm_arena *a) {
  test_graph *f32 = build_graph(c, a, XLM_F32);
  const char *wrong = xlm_graph_verify(f32->t.b.g, a);
  if (!wrong && !c->no_grad && !subject) wrong = check_gradients(f32, a); // of the rules: once is enough
  if (!wrong) wrong = check_against_reference(f32, a, c->tol ? c->tol : 1e-5);
  if (wrong || !c->bf16) return wrong;
  test_graph *bf16 = build_graph(c, a, XLM_BF16);
  wrong = check_against_reference(bf16, a, c->tol_bf16 ? c->tol_bf16 : 2e-2);
  return wrong ? xlm_arena_printf(a, "bf16: %s", wrong) : NULL;
}
