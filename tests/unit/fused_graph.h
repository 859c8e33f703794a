// Graphs for tests of the fuse pass, and an interpreter of the programs that it makes. A tensor is a matrix
// [d, e]; one that lacks a dimension is the same along it.
#ifndef XLM_TESTS_UNIT_FUSED_GRAPH_H
#define XLM_TESTS_UNIT_FUSED_GRAPH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/device/kernel.h"
#include "runtime/plan/code.h"
#include "tests/unit/matrix_graph.h"

enum { ROWS = 3, COLUMNS = 4 };

static xlm_val y, h; // f32 y, bf16 h [d, e]

static inline int setup(void **state) {
  (void)state;
  if (matrix_open(ROWS, COLUMNS)) return -1;
  y = matrix("y", XLM_F32);
  h = matrix("h", XLM_BF16);
  return 0;
}

static inline xlm_val op(xlm_op_id id, xlm_val v) {
  return xlm_op1(&s.b, id, v);
}
static inline xlm_val op2(xlm_op_id id, xlm_val v, xlm_val w) {
  return xlm_op2(&s.b, id, v, w);
}

static inline xlm_graph *fused_on(const xlm_mesh *mesh, bool split_weights) {
  xlm_graph *g = verified(xlm_pass_fuse(s.g, s.g->arena, mesh, split_weights));
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_op_at(g->nodes[n].op)->flags & XLM_OPF_ELEMENTWISE)
      fail_msg("`%s` is left", xlm_op_at(g->nodes[n].op)->name);
  return g;
}

static inline xlm_graph *fused_with(bool split_weights) {
  return fused_on(NULL, split_weights);
}

static inline xlm_graph *fused(void) {
  return fused_with(false);
}

static inline const xlm_code *code_of(const xlm_node_info *n) {
  return xlm_attr_find(&n->attrs, XLM_A_code)->code;
}

// ---- values ----

typedef struct tensor {
  double at[ROWS][COLUMNS];
} tensor;

#define EACH(i, j)                                                                                           \
  for (int i = 0; i < ROWS; i++)                                                                             \
    for (int j = 0; j < COLUMNS; j++)

static inline double rounded(double v, double dtype) {
  if ((xlm_dtype)dtype == XLM_BF16) return (double)xlm_bf16_to_f32(xlm_f32_to_bf16((float)v));
  return v;
}

// x = 1.7, y = -0.6; what begins with v has different numbers; all else is 2.25.
static inline double input_at(const char *name, int i, int j) {
  if (*name == 'v') return 0.5 * i - 0.75 * j + 0.25 * i * j * j + name[1] % 5;
  return *name == 'x' ? 1.7 : *name == 'y' ? -0.6 : 2.25;
}

// ---- functions ----

static inline double f_add(const double *v) {
  return v[0] + v[1];
}
static inline double f_sub(const double *v) {
  return v[0] - v[1];
}
static inline double f_mul(const double *v) {
  return v[0] * v[1];
}
static inline double f_neg(const double *v) {
  return -v[0];
}
static inline double f_square(const double *v) {
  return v[0] * v[0];
}
static inline double f_where(const double *v) {
  return v[0] != 0 ? v[1] : v[2];
}

// The few functions of elements that these graphs use.
static double (*const functions[XLM_FN_COUNT])(const double *) = {
    [XLM_FN_ADD] = f_add, [XLM_FN_SUB] = f_sub,       [XLM_FN_MUL] = f_mul,
    [XLM_FN_NEG] = f_neg, [XLM_FN_SQUARE] = f_square, [XLM_FN_WHERE] = f_where};

static inline double mean(const double *row) {
  double sum = 0;
  for (int j = 0; j < COLUMNS; j++) sum += row[j];
  return sum / COLUMNS;
}

// The normalised row; returns 1 / the deviation.
static inline double normalise(const double *of, double eps, double *out) {
  double square[COLUMNS], m = mean(of);
  for (int j = 0; j < COLUMNS; j++) square[j] = (of[j] - m) * (of[j] - m);
  double r = 1 / sqrt(mean(square) + eps);
  for (int j = 0; j < COLUMNS; j++) out[j] = (of[j] - m) * r;
  return r;
}

static inline void layernorm_bwd_row(const double *of, const double *dy, double eps, double *out) {
  double hat[COLUMNS], product[COLUMNS], r = normalise(of, eps, hat);
  for (int j = 0; j < COLUMNS; j++) product[j] = dy[j] * hat[j];
  for (int j = 0; j < COLUMNS; j++) out[j] = r * (dy[j] - mean(dy) - hat[j] * mean(product));
}

// ---- programs ----

static inline void run_elements(const xlm_code_instr *i, const tensor *reg, tensor *out) {
  EACH(row, column) {
    double v[3] = {0};
    for (int k = 0; k < xlm_fn_arity((xlm_fn)i->fn); k++)
      v[k] = i->a[k] == XLM_CODE_IMM ? i->imm : reg[i->a[k]].at[row][column];
    assert_true(i->fn == XLM_FN_CAST || functions[i->fn]);
    out->at[row][column] = i->fn == XLM_FN_CAST ? rounded(v[0], i->imm) : functions[i->fn](v);
  }
}

static inline void run_rows(const xlm_code_instr *i, const tensor *reg, tensor *out) {
  for (int row = 0; row < ROWS; row++) {
    if (i->fn == XLM_FN_LAYERNORM)
      normalise(reg[i->a[0]].at[row], i->imm, out->at[row]);
    else if (i->fn == XLM_FN_LAYERNORM_BWD)
      layernorm_bwd_row(reg[i->a[0]].at[row], reg[i->a[1]].at[row], i->imm, out->at[row]);
    else
      fail_msg("no function of rows here");
  }
}

static inline tensor summed(const tensor *t) {
  tensor sum = {0};
  EACH(i, j) for (int k = 0; k < ROWS; k++) sum.at[i][j] += t->at[k][j];
  return sum;
}

// The values of all registers, given those of the operands.
static inline void run_code(const xlm_code *c, tensor *reg) {
  for (int i = 0; i < c->n; i++) {
    tensor *out = &reg[c->n_in + i];
    if (!xlm_fn_is_row(c->at[i].fn))
      run_elements(&c->at[i], reg, out);
    else if (c->row == 1)
      run_rows(&c->at[i], reg, out);
    else
      fail_msg("a function of rows in a program without rows");
  }
}

// The value of output i of the fused graph.
static inline tensor tensor_of(const xlm_graph *g, uint32_t output) {
  tensor *v = XLM_NEW_N(s.g->arena, tensor, g->n_values), reg[XLM_CODE_MAX + XLM_CODE_MAX_IN];
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (xlm_node_is(n, XLM_LEAF_INPUT))
      EACH(i, j) v[n->out].at[i][j] = input_at(g->values[n->out].name, i, j);
    if (n->op != XLM_OP_FUSED) continue;
    const xlm_code *c = code_of(n);
    assert_int_equal(c->n_in, n->n_in);
    assert_int_equal(c->n_out, n->n_out);
    for (int k = 0; k < n->n_in; k++) reg[k] = v[n->in[k]];
    run_code(c, reg);
    for (int k = 0; k < n->n_out; k++) {
      const tensor *r = &reg[c->out[k]];
      v[n->out + (xlm_val)k] = k < c->n_out - c->n_summed ? *r : summed(r);
    }
  }
  return v[g->outputs.at[output].val];
}

static inline void check_tensor(const xlm_graph *g, uint32_t output, const tensor *want) {
  tensor got = tensor_of(g, output);
  EACH(i, j)
  if (!(fabs(got.at[i][j] - want->at[i][j]) <= 1e-9))
    fail_msg("output %u is %.17g at %d, %d, not %.17g", output, got.at[i][j], i, j, want->at[i][j]);
}

// Where all elements are equal.
static inline void check_value(const xlm_graph *g, uint32_t output, double want) {
  tensor all;
  EACH(i, j) all.at[i][j] = want;
  check_tensor(g, output, &all);
}

#endif
