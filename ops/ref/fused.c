// fused, in float64: one row (without rows, one element) at a time through the whole program.
#include <math.h>
#include <string.h>

#include "ops/ref/over_priv.h"
#include "ops/ref/rows_priv.h"
#include "runtime/device/fused.h"

static ref_row_fn *const row_functions[XLM_FN_COUNT] = {
#define XLM_ROW_FN(name, NAME, arity, attribute) [XLM_FN_##NAME] = ref_row_##name,
#include "ops/rows.def"
#undef XLM_ROW_FN
};

typedef struct program {
  const xlm_call *c;
  const xlm_code *code;
  xlm_type outer, row; // dims of the space: all but those of a row, and a row's; without rows it has no dims
  int64_t len;
  double *reg; // [registers][len]
} program;

static program program_of(const xlm_call *c) {
  program p = {.c = c, .code = xlm_attr_find(&c->instr->attrs, XLM_A_code)->code, .reg = c->workspace};
  p.outer = xlm_code_space(&c->instr->attrs);
  p.row = xlm_code_row_type(p.code, &p.outer);
  p.outer.rank = (uint8_t)(p.outer.rank - p.row.rank);
  p.len = xlm_call_elements(c, &p.row);
  return p;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  program p = program_of(c);
  return (size_t)(p.code->n_in + p.code->n) * (size_t)p.len * sizeof(double);
}

static double load(const xlm_call *c, int i, int64_t at) {
  if (c->in_type[i]->dtype == XLM_I32) return ((const int32_t *)c->in[i])[at];
  return ref_in(c, i)[at];
}

static void load_row(const program *p, int i, const ref_walk *outer) {
  double *reg = p->reg + i * p->len;
  for (ref_walk w = ref_walk_type(p->c, &p->row); ref_walk_next(&w);)
    *reg++ = load(p->c, i, ref_over_at(p->c, p->c->in_type[i], outer, &w));
}

static double operand(const program *p, const xlm_code_instr *at, int i, int64_t element) {
  if (i >= xlm_fn_arity((xlm_fn)at->fn)) return 0;
  return at->a[i] == XLM_CODE_IMM ? at->imm : p->reg[at->a[i] * p->len + element];
}

static void run_instr(const program *p, int k) {
  const xlm_code_instr *at = &p->code->at[k];
  double *y = p->reg + (p->code->n_in + k) * p->len;
  if (xlm_fn_is_row(at->fn)) {
    const double *b = xlm_fn_arity((xlm_fn)at->fn) > 1 ? p->reg + at->a[1] * p->len : NULL;
    row_functions[at->fn](y, p->reg + at->a[0] * p->len, b, p->len, at->imm);
    return;
  }
  for (int64_t i = 0; i < p->len; i++)
    y[i] = xlm_fn_number((xlm_fn)at->fn, operand(p, at, 0, i), operand(p, at, 1, i), operand(p, at, 2, i));
}

static void store_row(const program *p, int i, const ref_walk *outer) {
  const double *reg = p->reg + p->code->out[i] * p->len;
  bool summed = i >= xlm_fused_whole(p->code);
  for (ref_walk w = ref_walk_type(p->c, &p->row); ref_walk_next(&w); reg++) {
    int64_t at = ref_over_at(p->c, p->c->out_type[i], outer, &w);
    if (p->c->out_type[i]->dtype == XLM_I32)
      ((int32_t *)p->c->out[i])[at] = (int32_t)*reg;
    else
      ref_out(p->c, i)[at] = summed ? ref_out(p->c, i)[at] + *reg : *reg;
  }
}

static xlm_status run(const xlm_call *c) {
  program p = program_of(c);
  for (int i = xlm_fused_whole(p.code); i < p.code->n_out; i++)
    memset(c->out[i], 0, (size_t)p.len * sizeof(double));
  for (ref_walk outer = ref_over_outer(c, &p.outer); ref_walk_next(&outer);) { // no `over`: all its dims
    for (int i = 0; i < p.code->n_in; i++) load_row(&p, i, &outer);
    for (int k = 0; k < p.code->n; k++) run_instr(&p, k);
    for (int i = 0; i < p.code->n_out; i++) store_row(&p, i, &outer);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_fused = {.op = XLM_OP_FUSED, .workspace = workspace, .run = run};
