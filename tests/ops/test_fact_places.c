// Facts about places: whose elements a result has, in which order, and on which of them it depends.
#include <stdlib.h>

#include "tests/ops/fact_probe.h"

// ---- the operand's elements, elsewhere

static bool is_operand_by_name(const probe *p) {
  const xlm_type *t = probe_type(p, p->n->out), *of = probe_type(p, p->n->in[0]);
  int64_t n = probe_count(p, p->n->out);
  double *y = probe_get(p, p->r, p->n->out), *x = probe_new(p, n);
  for (int64_t i = 0; i < n; i++) x[i] = p->in[0][probe_element(p, t, i, of)];
  return probe_same(y, x, n);
}

static bool claims_keeps_values(const probe *p) {
  return p->facts->keeps_values;
}
static bool holds_keeps_values(const probe *p, bool *tried) {
  if (!probe_all_dense(p)) return true;
  *tried = true;
  return p->n->n_in == 1 && is_operand_by_name(p);
}

static bool claims_reorders(const probe *p) {
  return p->facts->reorders;
}
static bool holds_reorders(const probe *p, bool *tried) {
  const xlm_type *t = probe_type(p, p->n->in[0]), *u = probe_type(p, p->n->out);
  *tried |= !probe_same_dims(p, p->n->in[0], p->n->out);
  for (int i = 0; i < t->rank; i++)
    if (xlm_type_find(u, t->dim[i]) < 0) return false;
  return p->facts->keeps_values && t->rank == u->rank && t->dtype == u->dtype;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static bool claims_moves(const probe *p) {
  return p->facts->moves;
}
static bool holds_moves(const probe *p, bool *tried) {
  int64_t n = probe_count(p, p->n->out), m = probe_count(p, p->n->in[0]);
  double *y = probe_get(p, p->r, p->n->out), *x = probe_new(p, m);
  for (int64_t i = 0; i < m; i++) x[i] = p->in[0][i];
  qsort(x, (size_t)m, sizeof *x, by_value);
  *tried = true;
  for (int64_t i = 0; i < n; i++)
    if (y[i] != 0 && !bsearch(&y[i], x, (size_t)m, sizeof *x, by_value)) return false;
  return true;
}

static bool claims_renames(const probe *p) {
  return p->facts->renames;
}
static bool holds_renames(const probe *p, bool *tried) {
  const xlm_type *t = probe_type(p, p->n->in[0]), *u = probe_type(p, p->n->out);
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int n = xlm_attr_dims(&p->n->attrs, XLM_A_from, from);
  if (xlm_attr_dims(&p->n->attrs, XLM_A_to, to) != n || t->rank != u->rank) return false;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    for (int k = 0; k < n; k++)
      if (from[k] == t->dim[i]) d = to[k];
    if (u->dim[i] != d) return false;
  }
  *tried = true;
  return probe_same(probe_get(p, p->r, p->n->out), p->in[0], probe_count(p, p->n->out));
}

// ---- reductions

// Targets that all count, so that parts with equally many of them are equal parts.
static const double *counting_targets(const probe *p) {
  int64_t n = probe_count(p, p->n->in[p->facts->targets - 1]);
  int64_t ignored = xlm_attr_int(&p->n->attrs, XLM_A_ignore, -1);
  double *x = probe_new(p, n);
  for (int64_t i = 0; i < n; i++) x[i] = ignored == 0;
  return x;
}

// Every operand with all its slices along d equal to slice j.
static void repeat_slice(const probe *p, const double *const *in, xlm_dim d, int64_t j, const double **out) {
  for (int i = 0; i < p->n->n_in; i++) {
    const xlm_type *t = probe_type(p, p->n->in[i]);
    int64_t n = probe_count(p, p->n->in[i]), inner = 1;
    int at = xlm_type_find(t, d);
    double *x = probe_new(p, n);
    for (int k = at + 1; at >= 0 && k < t->rank; k++) inner *= p->g->dims[t->dim[k]].size;
    for (int64_t k = 0; k < n; k++) x[k] = in[i][at < 0 ? k : k + (j - probe_index(p, t, k, d)) * inner];
    out[i] = x;
  }
}

// Of n equal parts: the result of all of them from the results of n times each.
static double combined(xlm_reduction kind, const double *of, int64_t n) {
  double sum = 0, most = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    sum += kind == XLM_REDUCTION_LSE ? exp(of[i]) : of[i];
    most = of[i] > most ? of[i] : most;
  }
  if (kind == XLM_REDUCTION_MAX) return most;
  return kind == XLM_REDUCTION_LSE ? log(sum / (double)n) : sum / (double)n;
}

static bool reduces_along(const probe *p, xlm_dim d) {
  const double *in[PROBE_MOST], *equal[PROBE_MOST];
  for (int i = 0; i < p->n->n_in; i++) in[i] = p->in[i];
  if (p->facts->targets) in[p->facts->targets - 1] = counting_targets(p);
  int64_t parts = p->g->dims[d].size, n = probe_count(p, p->n->out);
  double *whole = probe_eval(p, in, 0), *of = probe_new(p, parts), *want = probe_new(p, n);
  double *part = probe_new(p, parts * n);
  for (int64_t j = 0; j < parts; j++) {
    repeat_slice(p, in, d, j, equal);
    memcpy(part + j * n, probe_eval(p, equal, 0), (size_t)n * sizeof *part);
  }
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < parts; j++) of[j] = part[j * n + i];
    want[i] = combined(p->facts->reduces, of, parts);
  }
  return probe_same(whole, want, n);
}

static bool claims_reduces(const probe *p) {
  return p->facts->reduces;
}
static bool holds_reduces(const probe *p, bool *tried) {
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(&p->n->attrs, XLM_A_over, over);
  if (!probe_all_dense(p)) return true;
  for (int i = 0; i < n; i++) {
    if (!p->g->dims[over[i]].size) continue;
    *tried = true;
    if (!reduces_along(p, over[i])) return false;
  }
  return true;
}

// What sum and mean differ in: the result of equal numbers.
static bool claims_plain(const probe *p) {
  return p->facts->reduces && p->op->max_in == 1;
}
static bool holds_plain(const probe *p, bool *tried) {
  if (!probe_all_dense(p)) return true;
  int64_t n = probe_count(p, p->n->in[0]), m = probe_count(p, p->n->out);
  double *x = probe_new(p, n), *y, want = 1;
  for (int64_t i = 0; i < n; i++) x[i] = 1;
  if (p->facts->reduces == XLM_REDUCTION_SUM) want = (double)(n / m);
  if (p->facts->reduces == XLM_REDUCTION_LSE) want = 1 + log((double)(n / m));
  y = probe_eval_one(p, 0, x, 0);
  *tried = true;
  for (int64_t i = 0; i < m; i++)
    if (fabs(y[i] - want) > 1e-6 * want) return false;
  return true;
}

// ---- on what an element depends

// Along dimension d, do results elsewhere stay as they are when the operands change at index 0?
static bool is_local(const probe *p, xlm_dim d) {
  const double *in[PROBE_MOST] = {0};
  for (int i = 0; i < p->n->n_in; i++) {
    const xlm_type *t = probe_type(p, p->n->in[i]);
    if (!probe_is_real(p, i) || xlm_type_find(t, d) < 0) continue;
    int64_t n = probe_count(p, p->n->in[i]);
    double *x = probe_new(p, n);
    for (int64_t k = 0; k < n; k++)
      x[k] = p->in[i][k] + (probe_index(p, t, k, d) == 0 ? 0.5 + 0.25 * probe_random(3, k) : 0);
    in[i] = x;
  }
  for (int r = 0; r < p->n->n_out; r++) {
    xlm_val v = probe_result(p, r);
    const xlm_type *t = probe_type(p, v);
    double *before = probe_get(p, p->r, v), *after = probe_eval(p, in, r);
    for (int64_t i = 0, n = probe_count(p, v); i < n; i++) {
      bool elsewhere = xlm_type_find(t, d) >= 0 && probe_index(p, t, i, d) != 0;
      if (elsewhere && memcmp(&before[i], &after[i], sizeof *before)) return false;
    }
  }
  return true;
}

static bool claims_local(const probe *p) {
  return probe_type(p, p->n->out)->rank > 0 && !p->facts->additive;
}
static bool holds_local(const probe *p, bool *tried) {
  const xlm_type *t = probe_type(p, p->n->out);
  *tried = true; // some have no such dimension
  if (!probe_all_dense(p)) return true;
  for (int i = 0; i < t->rank; i++) {
    bool other =
        p->facts->renames && xlm_attr_has_dim(&p->n->attrs, XLM_A_to, t->dim[i]); // of that name before
    if (!other && xlm_op_is_local(p->n->op, &p->n->attrs, t->dim[i]) && !is_local(p, t->dim[i])) return false;
  }
  return true;
}

static bool claims_index(const probe *p) {
  return p->facts->index;
}
static bool holds_index(const probe *p, bool *tried) {
  xlm_dim into[XLM_MAX_RANK];
  *tried = true;
  return probe_type(p, p->n->in[p->facts->index - 1])->dtype == XLM_I32 &&
         xlm_attr_dims(&p->n->attrs, p->facts->index_into, into) == 1;
}

static void facts_hold(void **state) {
  (void)state;
  static const fact_check checks[] = {
      {"the result's elements are the operand's", claims_keeps_values, holds_keeps_values},
      {"only the order of the elements differs", claims_reorders, holds_reorders},
      {"every element is one of the operand's, or 0", claims_moves, holds_moves},
      {"dimensions have other names", claims_renames, holds_renames},
      {"the reduction of parts", claims_reduces, holds_reduces},
      {"the reduction of equal numbers", claims_plain, holds_plain},
      {"local along all other dimensions", claims_local, holds_local},
      {"an operand chooses along a dimension", claims_index, holds_index},
  };
  probe_all(checks, sizeof checks / sizeof *checks);
}

static bool takes(const xlm_op *op, xlm_attr_key key) {
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == key) return true;
  return false;
}

static void published_attributes_are_taken(void **state) {
  (void)state;
  for (int id = 1; id < XLM_OP_COUNT; id++) {
    const xlm_op *op = xlm_op_at((xlm_op_id)id);
    if (!op->facts.published.name) continue;
    assert_true(takes(op, op->facts.published.key));
    assert_int_equal(xlm_attr_kind_of(op->facts.published.key), XLM_ATTR_FLOAT);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(facts_hold),
      cmocka_unit_test(published_attributes_are_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
