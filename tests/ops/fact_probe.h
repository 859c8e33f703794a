// Facts of operations (runtime/plan/op.h) held against the reference: every node of every op case is a probe.
// It is run again with other operands, and what comes out must be what the fact says.
//
// A test gives a table of checks. Each check says whether an operation claims its fact, and tries it on a
// probe where the probe allows that; a claim that no case has tried fails.
#ifndef XLM_TESTS_OPS_FACT_PROBE_H
#define XLM_TESTS_OPS_FACT_PROBE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/pass/layout.h"
#include "runtime/base/philox.h"
#include "tests/ops/run_graph.h"
#include "tests/ops/run_op.h"

enum { PROBE_MOST = 8, PROBE_ELEMENTS = 1 << 13 }; // operands and results; of all of them

typedef struct probe {
  xlm_arena *a;
  const xlm_graph *g;
  run_graph *r, *first; // of all microbatches; of the first, which sums begin with
  xlm_node id;
  const xlm_node_info *n;
  const xlm_op *op;
  const xlm_op_facts *facts;
  xlm_layout_rule rule;
  const double *in[PROBE_MOST]; // as the case has them
} probe;

typedef struct fact_check {
  const char *name;
  bool (*claims)(const probe *p);
  bool (*holds)(const probe *p, bool *tried); // sets *tried where the probe could show it
} fact_check;

static inline double *probe_new(const probe *p, int64_t n) {
  return XLM_NEW_N(p->a, double, n + 1);
}
static inline const xlm_type *probe_type(const probe *p, xlm_val v) {
  return xlm_val_type(p->g, v);
}
static inline int64_t probe_count(const probe *p, xlm_val v) {
  return run_graph_elements(p->r, v);
}
static inline bool probe_is_real(const probe *p, int operand) {
  return xlm_dtype_is_float(probe_type(p, p->n->in[operand])->dtype);
}
static inline xlm_val probe_result(const probe *p, int result) {
  return p->n->out + (xlm_val)result;
}

static inline bool probe_same_dims(const probe *p, xlm_val a, xlm_val b) {
  const xlm_type *t = probe_type(p, a), *u = probe_type(p, b);
  return t->rank == u->rank && !memcmp(t->dim, u->dim, t->rank * sizeof *t->dim);
}

// Number i of a series; in [-1, 1).
static inline double probe_random(uint64_t series, int64_t i) {
  uint32_t bits[4];
  xlm_philox_draw(xlm_philox_key(7, series), 0, (uint64_t)i, bits);
  return (double)(float)(2 * xlm_philox_unit(bits[0]) - 1);
}

static inline double *probe_get(const probe *p, const run_graph *r, xlm_val v) {
  double *x = probe_new(p, probe_count(p, v));
  run_graph_get(r, v, x);
  return x;
}

// A result of the operation of these operands; NULL: as the case has it. The node is left as it was.
static inline double *probe_eval_in(const probe *p, run_graph *r, const double *const *in, int result) {
  for (int i = 0; i < p->n->n_in; i++) run_graph_set(r, p->n->in[i], in[i] ? in[i] : p->in[i]);
  run_graph_run(r, p->id, p->id + 1);
  double *y = probe_get(p, r, probe_result(p, result));
  for (int i = 0; i < p->n->n_in; i++) run_graph_set(r, p->n->in[i], p->in[i]);
  run_graph_run(r, p->id, p->id + 1);
  return y;
}
static inline double *probe_eval(const probe *p, const double *const *in, int result) {
  return probe_eval_in(p, p->r, in, result);
}
static inline double *probe_eval_one(const probe *p, int operand, const double *x, int result) {
  const double *in[PROBE_MOST] = {0};
  in[operand] = x;
  return probe_eval(p, in, result);
}

// Equal up to roundings to f32, which some operations have in their definition.
static inline bool probe_same(const double *x, const double *y, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(y[i]) && fabs(y[i]) > most) most = fabs(y[i]);
  for (int64_t i = 0; i < n; i++)
    if (x[i] != y[i] && !(isnan(x[i]) && isnan(y[i])) && !(fabs(x[i] - y[i]) <= 1e-6 * most)) return false;
  return true;
}

// ---- elements by the names of their dimensions; not of rows of experts

static inline bool probe_is_dense(const probe *p, xlm_val v) {
  const xlm_type *t = probe_type(p, v);
  for (int i = 0; i < t->rank; i++)
    if (p->g->dims[t->dim[i]].ragged) return false;
  return true;
}

static inline bool probe_all_dense(const probe *p) {
  bool dense = true;
  for (int i = 0; i < p->n->n_in; i++) dense &= probe_is_dense(p, p->n->in[i]);
  for (int i = 0; i < p->n->n_out; i++) dense &= probe_is_dense(p, probe_result(p, i));
  return dense;
}

// Index along dimension d of element `at`.
static inline int64_t probe_index(const probe *p, const xlm_type *t, int64_t at, xlm_dim d) {
  for (int i = t->rank; i-- > 0; at /= p->g->dims[t->dim[i]].size)
    if (t->dim[i] == d) return at % p->g->dims[d].size;
  return 0;
}

// The element of `of` with the indices of element `at` of `t`; dimensions that t lacks: 0.
static inline int64_t probe_element(const probe *p, const xlm_type *t, int64_t at, const xlm_type *of) {
  int64_t e = 0;
  for (int i = 0; i < of->rank; i++) e = e * p->g->dims[of->dim[i]].size + probe_index(p, t, at, of->dim[i]);
  return e;
}

// ---- running them

static inline bool probe_is_small(const probe *p) {
  int64_t n = 0;
  for (int i = 0; i < p->n->n_in; i++) n += probe_count(p, p->n->in[i]);
  for (int i = 0; i < p->n->n_out; i++) n += probe_count(p, probe_result(p, i));
  return n <= PROBE_ELEMENTS;
}

static inline bool probe_shares_memory(const probe *p) {
  size_t n;
  for (int i = 0; i < p->n->n_in; i++)
    for (int j = 0; j < i; j++)
      if (run_graph_bytes(p->r, p->n->in[i], &n) == run_graph_bytes(p->r, p->n->in[j], &n)) return true;
  return false;
}

static inline run_graph *probe_graph(const op_test *t, bool store) {
  run_options o = {
      .backend = xlm_backend_find("ref"), .f64 = true, .threads = 1, .env = t->env, .store = store};
  run_graph *r = run_graph_new(t->b.g, o);
  for (int i = 0; i < t->n_leaves; i++) run_graph_set(r, t->leaf[i].val, t->leaf[i].values);
  return r;
}

typedef struct fact_tries {
  bool claimed, tried;
} fact_tries;

static inline int probe_try(const probe *p, const fact_check *checks, int n,
                            fact_tries (*tries)[XLM_OP_COUNT], const op_case *c) {
  int bad = 0;
  for (int k = 0; k < n; k++) {
    fact_tries *at = &tries[k][p->n->op];
    bool tried = false;
    if (!checks[k].claims(p)) continue;
    at->claimed = true;
    bool holds = checks[k].holds(p, &tried);
    at->tried |= tried;
    if (!holds) {
      print_error("%s.%s: not true of `%s`: %s\n", xlm_op_name(c->op), c->name, p->op->name, checks[k].name);
      bad++;
    }
  }
  return bad;
}

static inline int probe_case(const op_case *c, const fact_check *checks, int n,
                             fact_tries (*tries)[XLM_OP_COUNT]) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  int bad = 0;
  op_test t = {
      .b = xlm_build_new(xlm_graph_new(a, NULL, "test")), .dtype = XLM_F32, .env = {.seed = 5, .step = 3}};
  t.the_case = c;
  c->build(&t);
  run_graph *r = probe_graph(&t, false), *first = probe_graph(&t, true);
  for (xlm_node id = 1; id < t.b.g->n_nodes; id++) {
    const xlm_node_info *node = &t.b.g->nodes[id];
    probe p = {.a = xlm_arena_new(0),
               .g = t.b.g,
               .r = r,
               .first = first,
               .id = id,
               .n = node,
               .op = xlm_op_at(node->op)};
    p.facts = &p.op->facts;
    p.rule = xlm_layout_parse(p.op);
    for (int i = 0; i < node->n_in && i < PROBE_MOST; i++) p.in[i] = probe_get(&p, r, node->in[i]);
    run_graph_run(r, id, id + 1);
    run_graph_run(first, id, id + 1);
    bool fits = node->n_in && node->n_out && node->n_in <= PROBE_MOST && probe_is_small(&p);
    if (fits && !probe_shares_memory(&p)) bad += probe_try(&p, checks, n, tries, c);
    xlm_arena_free(p.a);
  }
  assert_null(run_graph_error(r));
  run_graph_free(r);
  run_graph_free(first);
  xlm_arena_free(a);
  return bad;
}

static inline void probe_all(const fact_check *checks, int n) {
  static fact_tries tries[16][XLM_OP_COUNT];
  int bad = 0;
  assert_true(n <= 16);
  memset(tries, 0, sizeof tries);
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++)
      bad += probe_case(&op_case_files[f]->at[i], checks, n, tries);
  for (int k = 0; k < n; k++)
    for (int op = 1; op < XLM_OP_COUNT; op++)
      if (tries[k][op].claimed && !tries[k][op].tried) {
        print_error("no case shows of `%s`: %s\n", xlm_op_name((xlm_op_id)op), checks[k].name);
        bad++;
      }
  assert_int_equal(bad, 0);
}

#endif
