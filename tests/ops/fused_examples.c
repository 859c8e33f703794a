// See fused_examples.h.
#include "tests/ops/fused_examples.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/philox.h"

static int pick(fused_example *e, int n) { // one of 0 .. n - 1
  return (int)(xlm_hash_mix(e->state++) % (uint64_t)n);
}

static const char *names[EXAMPLE_DIMS] = {"outer", "middle", "inner"};

static void choose_space(fused_example *e) {
  static const int64_t sizes[] = {1, 1, 1, 2, 3, 5, 16, 17, 63, 64, 65, 67, 128, 130, 200, 700};
  int64_t total = 1;
  for (int i = 0; i < EXAMPLE_DIMS; i++) {
    e->size[i] = sizes[pick(e, sizeof sizes / sizeof *sizes)];
    if (total * e->size[i] > 200000) e->size[i] = 2;
    total *= e->size[i];
    e->dim[i] = xlm_graph_dim(e->t.b.g, names[i], e->size[i]);
  }
  e->code.row = (uint16_t)(1 + pick(e, EXAMPLE_DIMS));
}

static xlm_val repeated(fused_example *e, xlm_val v) { // to the whole space
  xlm_attr_list l = op_attrs(&e->t);
  xlm_attr_put_dims(&l, XLM_A_dims, e->dim, EXAMPLE_DIMS);
  return xlm_emit(&e->t.b, XLM_OP_BROADCAST, &v, 1, &l);
}

static void add_operand(fused_example *e, int i) { // some of the dims, half of the time in another order
  int first = pick(e, 2) ? 0 : pick(e, EXAMPLE_DIMS), some = pick(e, 3) ? 7 : pick(e, 8);
  char decl[96];
  int n = snprintf(decl, sizeof decl, "x%d[", i);
  const char *comma = "";
  for (int k = 0; k < EXAMPLE_DIMS; k++) {
    int d = (first + k) % EXAMPLE_DIMS;
    if (!(some >> d & 1)) continue;
    n += snprintf(decl + n, sizeof decl - (size_t)n, "%s%s", comma, names[d]);
    comma = ", ";
  }
  snprintf(decl + n, sizeof decl - (size_t)n, "]");
  e->t.dtype = pick(e, 3) ? XLM_F32 : XLM_BF16;
  e->operand[i] = op_leaf(&e->t, decl);
  e->value[i] = repeated(e, xlm_cast_to(&e->t.b, e->operand[i], XLM_F32));
}

static xlm_val row_by_itself(fused_example *e, xlm_op_id op, const xlm_val *in, int n, double eps) {
  xlm_attr_list l = op_attrs(&e->t);
  xlm_attr_put_dims(&l, XLM_A_over, e->dim + EXAMPLE_DIMS - e->code.row, e->code.row);
  xlm_attr_put_float(&l, XLM_A_eps, eps);
  return xlm_emit(&e->t.b, op, in, n, &l);
}

static xlm_val sum_by_itself(fused_example *e, xlm_val v) {
  xlm_attr_list l = op_attrs(&e->t);
  xlm_attr_put_dims(&l, XLM_A_over, e->dim, EXAMPLE_DIMS - e->code.row);
  return xlm_emit(&e->t.b, XLM_OP_SUM, &v, 1, &l);
}

// Of elements: functions that are cheap, that round, and that choose; the others are computed in the same
// way.
static const xlm_op_id functions[] = {
    XLM_OP_ADD,     XLM_OP_MUL,          XLM_OP_SUB,       XLM_OP_SILU,      XLM_OP_TANH,
    XLM_OP_MAX,     XLM_OP_WHERE,        XLM_OP_CAST,      XLM_OP_SIN,       XLM_OP_FLOOR,
    XLM_OP_MOD,     XLM_OP_RMSNORM,      XLM_OP_LAYERNORM, XLM_OP_LAYERNORM, XLM_OP_RMSNORM_BWD,
    XLM_OP_RMSNORM, XLM_OP_LAYERNORM_BWD};

static void add_instr(fused_example *e, int reg, bool norms) {
  xlm_op_id op = functions[pick(e, norms ? 17 : 11)];
  xlm_fn fn = xlm_fn_of(op);
  xlm_code_instr *at = &e->at[e->code.n++];
  xlm_val in[3];
  *at = (xlm_code_instr){.fn = (uint16_t)fn};
  for (int i = 0; i < xlm_fn_arity(fn); i++) {
    at->a[i] = (uint16_t)pick(e, reg);
    in[i] = e->value[at->a[i]];
  }
  if (op == XLM_OP_CAST) {
    at->imm = XLM_BF16;
    e->value[reg] = xlm_cast_to(&e->t.b, xlm_cast_to(&e->t.b, in[0], XLM_BF16), XLM_F32);
  } else if (xlm_fn_is_row(fn)) {
    at->imm = pick(e, 2) ? 1e-5 : 0.25;
    e->value[reg] = row_by_itself(e, op, in, xlm_fn_arity(fn), at->imm);
  } else {
    if (op == XLM_OP_MUL && pick(e, 2)) {
      at->a[1] = XLM_CODE_IMM, at->imm = 0.7;
      in[1] = repeated(e, xlm_scalar(&e->t.b, at->imm));
    }
    e->value[reg] = xlm_emit(&e->t.b, op, in, xlm_fn_arity(fn), NULL);
  }
}

static void add_results(fused_example *e, int n_regs) {
  int n_whole = pick(e, 4), n_summed = pick(e, 4);
  if (n_whole + n_summed == 0) n_summed = 1;
  e->code.n_out = (uint16_t)(n_whole + n_summed), e->code.n_summed = (uint16_t)n_summed;
  for (int i = 0; i < n_whole + n_summed; i++) {
    uint16_t reg = (uint16_t)(pick(e, 3) ? n_regs - 1 - pick(e, e->code.n + 1) : pick(e, n_regs));
    e->code.out[i] = reg;
    e->dtypes[i] = i >= n_whole || pick(e, 2) ? XLM_F32 : XLM_BF16;
    op_out_const(&e->t, i >= n_whole ? sum_by_itself(e, e->value[reg])
                                     : xlm_cast_to(&e->t.b, e->value[reg], (xlm_dtype)e->dtypes[i]));
  }
}

static xlm_val emit(fused_example *e) {
  xlm_attr_list l = op_attrs(&e->t);
  e->code.at = e->at;
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_code, .code = &e->code});
  xlm_attr_put_dims(&l, XLM_A_dims, e->dim, EXAMPLE_DIMS);
  xlm_attr_put_ints(&l, XLM_A_dtypes, e->dtypes, e->code.n_out);
  return xlm_emit(&e->t.b, XLM_OP_FUSED, e->operand, e->code.n_in, &l);
}

xlm_val fused_example_build(fused_example *e, xlm_arena *a, uint64_t seed) {
  *e = (fused_example){
      .t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "test"))}, .seed = seed, .state = seed << 32};
  choose_space(e);
  e->code.n_in = (uint16_t)(1 + pick(e, EXAMPLE_OPERANDS));
  for (int i = 0; i < e->code.n_in; i++) add_operand(e, i);
  int n = pick(e, EXAMPLE_INSTRS + 1);
  bool norms = pick(e, 3);
  for (int i = 0; i < n; i++) add_instr(e, e->code.n_in + i, norms);
  add_results(e, e->code.n_in + n);
  return emit(e);
}
