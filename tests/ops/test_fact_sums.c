// Facts about arithmetic: what an operation is linear in, adds up, divides by, and is nothing but its operand
// for.
#include "tests/ops/fact_probe.h"

// x times `factor` plus random numbers; integers stay.
static double *mixed(const probe *p, int operand, double factor, double share) {
  int64_t n = probe_count(p, p->n->in[operand]);
  double *x = probe_new(p, n);
  for (int64_t i = 0; i < n; i++)
    x[i] = factor * p->in[operand][i] + share * probe_random((uint64_t)operand + 1, i);
  return x;
}

// f(a x + b z) = a f(x) + b f(z) of the operands in `which`, the others as they are.
static bool is_linear(const probe *p, uint32_t which, int result) {
  const double *x[PROBE_MOST] = {0}, *z[PROBE_MOST] = {0}, *sum[PROBE_MOST] = {0};
  for (int i = 0; i < p->n->n_in; i++) {
    if (!(which >> i & 1)) continue;
    z[i] = mixed(p, i, 0, 1);
    sum[i] = mixed(p, i, 0.75, -1.25);
  }
  int64_t n = probe_count(p, probe_result(p, result));
  double *fx = probe_eval(p, x, result), *fz = probe_eval(p, z, result), *got = probe_eval(p, sum, result);
  for (int64_t i = 0; i < n; i++) fx[i] = 0.75 * fx[i] - 1.25 * fz[i];
  return probe_same(got, fx, n);
}

// Integers are not sums over ranks, and do not scale.
static bool gives_integers(const probe *p) {
  return !xlm_dtype_is_float(probe_type(p, p->n->out)->dtype);
}

static bool claims_linear(const probe *p) {
  return p->facts->linear;
}
static bool holds_linear(const probe *p, bool *tried) {
  if (gives_integers(p)) return true;
  for (int i = 0; i < p->n->n_in; i++) {
    if (!(p->facts->linear >> i & 1) || !probe_is_real(p, i)) continue; // some take integers, too
    *tried = true;
    if (!is_linear(p, 1u << i, 0)) return false;
  }
  return true;
}

// `*: linear` of the layout rule: in all operands together.
static bool claims_together(const probe *p) {
  return p->rule.linear;
}
static bool holds_together(const probe *p, bool *tried) {
  uint32_t all = 0;
  for (int i = 0; i < p->n->n_in; i++) {
    if (!probe_is_real(p, i)) return true; // views of integers
    all |= 1u << i;
  }
  *tried = true;
  return is_linear(p, all, 0);
}

// `*: scaling` and `[..]+` of the layout rule: in one operand.
static bool claims_one(const probe *p) {
  return p->rule.scaling || (p->rule.carry_in >= 0 && p->rule.carry_out >= 0);
}
static bool holds_one(const probe *p, bool *tried) {
  int in = p->rule.scaling ? 0 : p->rule.carry_in, out = p->rule.scaling ? 0 : p->rule.carry_out;
  if (in >= p->n->n_in || out >= p->n->n_out || gives_integers(p) || !probe_is_real(p, in)) return true;
  *tried = true;
  return is_linear(p, 1u << in, out);
}

static bool claims_terms(const probe *p) {
  return p->facts->terms[0] != 0;
}
static bool holds_terms(const probe *p, bool *tried) {
  if (!probe_all_dense(p)) return true;
  const xlm_type *t = probe_type(p, p->n->out);
  int64_t n = probe_count(p, p->n->out);
  double *want = probe_new(p, n);
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < 2; k++)
      want[i] += p->facts->terms[k] * p->in[k][probe_element(p, t, i, probe_type(p, p->n->in[k]))];
  *tried = true;
  return p->n->n_in == 2 && probe_same(probe_get(p, p->r, p->n->out), want, n);
}

static bool claims_divisor(const probe *p) {
  return p->facts->divisor || p->facts->valid;
}
static bool holds_divisor(const probe *p, bool *tried) {
  int by = (p->facts->divisor ? p->facts->divisor : p->facts->valid) - 1;
  if (by >= p->n->n_in) return true;
  int64_t n = probe_count(p, p->n->out);
  double *y = probe_get(p, p->r, p->n->out), *half = probe_eval_one(p, by, mixed(p, by, 2, 0), 0);
  for (int64_t i = 0; i < n; i++) y[i] /= 2;
  *tried = true;
  return probe_same(half, y, n);
}

static bool claims_neutral(const probe *p) {
  return p->facts->neutral[0].operand;
}
static bool holds_neutral(const probe *p, bool *tried) {
  for (int k = 0; k < 2 && p->facts->neutral[k].operand; k++) {
    int at = p->facts->neutral[k].operand - 1, other = 1 - at;
    if (!probe_same_dims(p, p->n->out, p->n->in[other])) continue;
    int64_t n = probe_count(p, p->n->out);
    double *x = mixed(p, at, 0, 0);
    for (int64_t i = 0; i < probe_count(p, p->n->in[at]); i++) x[i] = p->facts->neutral[k].value;
    *tried = true;
    if (memcmp(probe_eval_one(p, at, x, 0), p->in[other], (size_t)n * sizeof *x)) return false;
  }
  return true;
}

// ---- sums over parts

static double *half_of(const probe *p, int operand, int64_t half) { // every second element, or the others
  double *x = mixed(p, operand, 1, 0);
  for (int64_t i = 0; i < probe_count(p, p->n->in[operand]); i++) x[i] = i % 2 == half ? x[i] : 0;
  return x;
}

static bool adds_up(const probe *p, const double *const *x, const double *const *z) {
  int64_t n = probe_count(p, p->n->out);
  double *a = probe_eval(p, x, 0), *b = probe_eval(p, z, 0);
  for (int64_t i = 0; i < n; i++) a[i] += b[i];
  return probe_same(a, probe_get(p, p->r, p->n->out), n);
}

static bool claims_additive(const probe *p) {
  return p->facts->additive;
}
static bool holds_additive(const probe *p, bool *tried) {
  const double *even[PROBE_MOST] = {0}, *odd[PROBE_MOST] = {0}, *one[PROBE_MOST] = {0},
               *rest[PROBE_MOST] = {0};
  for (int i = 0; i < p->n->n_in; i++) {
    even[i] = half_of(p, i, 0);
    odd[i] = half_of(p, i, 1);
    *(i ? &one[i] : &rest[i]) = mixed(p, i, 0, 0);
  }
  *tried = p->n->n_in > 1;
  return adds_up(p, even, odd) && adds_up(p, one, rest);
}

static bool claims_adds_operands(const probe *p) {
  return p->facts->adds_operands;
}
static bool holds_adds_operands(const probe *p, bool *tried) {
  const double *in[PROBE_MOST] = {0};
  double *sum = mixed(p, 0, 1, 0);
  int64_t n = probe_count(p, p->n->in[0]);
  for (int i = 1; i < p->n->n_in; i++) {
    if (probe_count(p, p->n->in[i]) != n) return false;
    for (int64_t k = 0; k < n; k++) sum[k] += p->in[i][k];
    in[i] = mixed(p, i, 0, 0);
  }
  in[0] = sum;
  *tried = p->n->n_in > 1;
  for (int k = 0; k < p->n->n_out; k++) {
    xlm_val v = probe_result(p, k);
    if (!probe_same(probe_eval(p, in, k), probe_get(p, p->r, v), probe_count(p, v))) return false;
  }
  return true;
}

// ---- sums over microbatches

// What the first microbatch stores, which every other adds to its operand 0.
static double *stored_alone(const probe *p) {
  const double *in[PROBE_MOST] = {0};
  return probe_eval_in(p, p->first, in, 0);
}

static bool claims_sums(const probe *p) {
  return p->facts->sums && !xlm_attr_int(&p->n->attrs, XLM_A_store, 0);
}
static bool holds_sums(const probe *p, bool *tried) {
  int64_t n = probe_count(p, p->n->out);
  const double *in[PROBE_MOST] = {0};
  double *got = probe_eval(p, in, 0), *want = stored_alone(p);
  for (int64_t i = 0; i < n; i++) want[i] += p->in[0][i];
  *tried = true;
  return p->op->n_alias == 1 && probe_same(got, want, n);
}

static bool claims_addend(const probe *p) {
  return p->facts->addend;
}
static bool holds_addend(const probe *p, bool *tried) {
  *tried = true;
  return p->facts->sums &&
         probe_same(stored_alone(p), p->in[p->facts->addend - 1], probe_count(p, p->n->out));
}

static bool claims_stored(const probe *p) {
  return p->facts->stored;
}
static bool holds_stored(const probe *p, bool *tried) {
  const double *in[PROBE_MOST] = {0};
  *tried = true;
  return p->op->n_alias == 1 &&
         probe_same(probe_eval(p, in, 0), p->in[p->facts->stored - 1], probe_count(p, p->n->out));
}

static void facts_hold(void **state) {
  (void)state;
  static const fact_check checks[] = {
      {"linear in an operand", claims_linear, holds_linear},
      {"linear in all operands together (layout)", claims_together, holds_together},
      {"linear in the operand whose partial sums pass (layout)", claims_one, holds_one},
      {"the sum of two operands, each with a factor", claims_terms, holds_terms},
      {"divided by an operand", claims_divisor, holds_divisor},
      {"neutral numbers", claims_neutral, holds_neutral},
      {"adds up over parts of the operands and of their list", claims_additive, holds_additive},
      {"reads the sum of its operands", claims_adds_operands, holds_adds_operands},
      {"adds to operand 0, a sum over microbatches", claims_sums, holds_sums},
      {"adds an operand as it is", claims_addend, holds_addend},
      {"the result is what is stored", claims_stored, holds_stored},
  };
  probe_all(checks, sizeof checks / sizeof *checks);
}

// ---- of two operations

// The result of f(x) and of its accumulating operation on acc and x, NULL: it has none; and acc.
typedef struct accumulated {
  double *alone, *sum, *acc;
  int64_t n;
  xlm_op_id op;
} accumulated;

static accumulated accumulate(xlm_arena *a, const op_case *c, run_options o) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "test")), .dtype = XLM_F32, .the_case = c};
  c->build(&t);
  xlm_node_info n = t.b.g->nodes[t.b.g->n_nodes - 1];
  xlm_type type = *xlm_val_type(t.b.g, n.out);
  xlm_op_id op = xlm_op_facts_of(n.op)->accumulating;
  bool ragged = xlm_val_at(t.b.g, n.out)->ragged_by || n.n_in > xlm_op_at(n.op)->max_in;
  accumulated r = {.op = n.op};
  if (!op || ragged) return r;
  xlm_val in[PROBE_MOST] = {xlm_build_state(&t.b, "acc", XLM_ROLE_GRADIENT, &type, NULL)};
  for (int i = 0; i < n.n_in; i++) in[i + 1] = n.in[i];
  xlm_attr_list l = xlm_attr_list_from(a, &n.attrs);
  xlm_val sum = xlm_emit(&t.b, op, in, n.n_in + 1, &l);
  o.env = t.env;
  run_graph *g = run_graph_new(t.b.g, o);
  for (int i = 0; i < t.n_leaves; i++) run_graph_set(g, t.leaf[i].val, t.leaf[i].values);
  r.n = run_graph_elements(g, sum);
  r.acc = XLM_NEW_N(a, double, r.n + 1), r.sum = XLM_NEW_N(a, double, r.n + 1);
  r.alone = XLM_NEW_N(a, double, r.n + 1);
  for (int64_t i = 0; i < r.n; i++) r.acc[i] = (float)probe_random(9, i);
  run_graph_set(g, in[0], r.acc);
  run_graph_run(g, 1, t.b.g->n_nodes);
  run_graph_get(g, sum, r.sum);
  run_graph_get(g, n.out, r.alone);
  run_graph_free(g);
  return r;
}

// acc + f(x) is what f's accumulating operation makes of acc and x.
static int check_accumulating(const op_case *c, bool *tried) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  accumulated r =
      accumulate(a, c, (run_options){.backend = xlm_backend_find("ref"), .f64 = true, .threads = 1});
  for (int64_t i = 0; i < r.n; i++) r.alone[i] += r.acc[i];
  int bad = r.sum && !probe_same(r.sum, r.alone, r.n);
  if (bad) print_error("%s: the accumulating form adds something else\n", xlm_op_name(r.op));
  *tried |= r.sum != NULL;
  xlm_arena_free(a);
  return bad;
}

// The CPU's kernel of an accumulating form that adds last has the bits of the addition.
static int check_adds_last(const op_case *c, bool *tried) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  accumulated r = accumulate(a, c, (run_options){.backend = xlm_backend_find("cpu"), .threads = 2});
  int bad = 0;
  bool last = r.sum && xlm_op_facts_of(r.op)->adds_last;
  for (int64_t i = 0; last && i < r.n; i++) bad += (float)r.sum[i] != (float)r.alone[i] + (float)r.acc[i];
  if (bad) print_error("%s of %s: %d sums have other bits\n", xlm_op_name(r.op), c->name, bad);
  *tried |= last;
  xlm_arena_free(a);
  return bad;
}

static void accumulating_forms_add(void **state) {
  (void)state;
  bool tried = false;
  int bad = 0;
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) bad += check_accumulating(&op_case_files[f]->at[i], &tried);
  assert_true(tried);
  assert_int_equal(bad, 0);
}

static void additions_come_last(void **state) {
  (void)state;
  bool tried = false;
  int bad = 0;
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) bad += check_adds_last(&op_case_files[f]->at[i], &tried);
  assert_true(tried);
  assert_int_equal(bad, 0);
}

static void simpler_functions_are_equal(void **state) {
  (void)state;
  int tried = 0;
  for (int id = 1; id < XLM_OP_COUNT; id++) {
    const xlm_op *op = xlm_op_at((xlm_op_id)id);
    for (double c = -3; op->simpler && c <= 3; c += 0.25) {
      xlm_op_id other = op->simpler(c);
      for (double x = 0.1; other && x < 4; x += 0.3) {
        double y = op->fold((const double[]){x, c}), z = xlm_op_at(other)->fold(&x);
        assert_true(fabs(y - z) <= 1e-12 * fabs(y));
        tried++;
      }
    }
  }
  assert_true(tried > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(facts_hold),
      cmocka_unit_test(accumulating_forms_add),
      cmocka_unit_test(additions_come_last),
      cmocka_unit_test(simpler_functions_are_equal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
