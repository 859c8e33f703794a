// contract on CPUs: assigns the operands' dimensions to the index groups of a matrix product
// (ops/cpu/gemm/gemm.h), once at load. Any order of dimensions is a list of strides, so nothing is
// transposed.
#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/kernel_priv.h"

typedef struct view { // an operand: strides per dim, in elements
  const xlm_call *c;
  const xlm_type *t;
} view;

// Rows of a ragged dimension are addressed from the start of the tensor, so the stride of the dim before it
// is 0.
static int64_t stride(view v, xlm_dim d) {
  int i = xlm_type_find(v.t, d);
  if (i < 0 || (i + 1 < v.t->rank && v.c->dims[v.t->dim[i + 1]].ragged)) return 0;
  return xlm_call_inner(v.c, v.t, i);
}

static void push(xlm_gemm_index *g, xlm_dim d, view x, view y, view out) {
  XLM_ASSERT(g->n < XLM_GEMM_DIMS, "more than %d dims in one group of a product", XLM_GEMM_DIMS);
  int i = g->n++;
  g->size[i] = x.c->dims[d].size;
  g->a[i] = stride(x, d), g->b[i] = stride(y, d), g->c[i] = stride(out, d);
}

static bool is_ragged(const xlm_call *c, xlm_dim d) {
  return c->dims[d].ragged;
}

static xlm_gemm product(const xlm_call *c, int at) {
  view x = {c, c->in_type[at]}, y = {c, c->in_type[at + 1]}, out = {c, c->out_type[0]};
  xlm_gemm g = {.a = x.t->dtype, .b = y.t->dtype, .c = out.t->dtype};
  for (int i = 0; i < x.t->rank; i++) {
    xlm_dim d = x.t->dim[i];
    bool summed = xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, d), shared = xlm_type_find(y.t, d) >= 0;
    push(summed ? &g.k : shared ? &g.batch : &g.m, d, x, y, out);
    if (is_ragged(c, d)) g.ragged = summed ? XLM_GEMM_RAGGED_K : XLM_GEMM_RAGGED_M;
  }
  for (int i = 0; i < y.t->rank; i++) {
    xlm_dim d = y.t->dim[i];
    if (xlm_type_find(x.t, d) >= 0) continue;
    push(&g.n, d, x, y, out);
    if (is_ragged(c, d)) g.ragged = XLM_GEMM_RAGGED_N;
  }
  return g;
}

static const int32_t *offsets(const xlm_call *c, const xlm_gemm *g) {
  return g->ragged == XLM_GEMM_DENSE ? NULL : c->in[c->instr->n_in - 1];
}

// ---- variants ----

static const struct {
  xlm_gemm_form form;
  bool pairs;
} kinds[] = {{XLM_GEMM_FEW_ROWS, true},   {XLM_GEMM_FEW_ROWS, false}, {XLM_GEMM_BY_EXPERT, true},
             {XLM_GEMM_BY_EXPERT, false}, {XLM_GEMM_TILED, true},     {XLM_GEMM_TILED, false}};
static const char *const variants[] = {
    "few_rows_bf16", "few_rows", "by_expert_bf16", "by_expert", "tiled_bf16", "tiled", NULL};

// The product of the operands from `at` on, as the call's variant computes it.
static xlm_gemm planned(const xlm_call *c, int at, xlm_cpu_arch arch) {
  xlm_gemm g = product(c, at);
  xlm_gemm_simplify(&g);
  g.arch = arch, g.form = kinds[c->variant].form, g.pairs = kinds[c->variant].pairs;
  return g;
}

static bool can(const xlm_call *c, int at, const xlm_target *t, int variant) {
  xlm_gemm g = product(c, at);
  return xlm_gemm_can(&g, xlm_cpu_arch_of(t), kinds[variant].form, kinds[variant].pairs);
}

static xlm_cpu_arch
own_arch(void) { // the arch whose tiles this copy has; differences known only to planning are in the variant
  return (xlm_cpu_arch)XLM_ISA_NAME(xlm_arch);
}

// ---- contract ----

static bool applicable(const xlm_call *c, const xlm_target *t, int variant) {
  return can(c, 0, t, variant);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  xlm_gemm g = planned(c, 0, xlm_cpu_arch_of(t));
  return xlm_gemm_workspace(&g, t->threads);
}

static xlm_status prepare(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  xlm_gemm *g = XLM_NEW(a, xlm_gemm);
  *g = planned(c, 0, own_arch());
  *prepared = g;
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  const xlm_gemm *g = (const xlm_gemm *)c->prepared;
  xlm_gemm_run(g, c->in[0], c->in[1], NULL, c->out[0], offsets(c, g), c->workspace, xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(contract) = {.op = XLM_OP_CONTRACT,
                                         .variants = variants,
                                         .applicable = applicable,
                                         .workspace = workspace,
                                         .prepare = prepare,
                                         .run = run};

// ---- contract_acc: adds the product to the accumulator, or overwrites it ----

static xlm_gemm planned_acc(const xlm_call *c, xlm_cpu_arch arch) {
  xlm_gemm g = planned(c, 1, arch);
  g.add = !xlm_attr_int(&c->instr->attrs, XLM_A_store, 0);
  return g;
}

static bool applicable_acc(const xlm_call *c, const xlm_target *t, int variant) {
  return can(c, 1, t, variant);
}

static size_t workspace_acc(const xlm_call *c, const xlm_target *t) {
  xlm_gemm g = planned_acc(c, xlm_cpu_arch_of(t));
  return xlm_gemm_workspace(&g, t->threads);
}

static xlm_status prepare_acc(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  xlm_gemm *g = XLM_NEW(a, xlm_gemm);
  *g = planned_acc(c, own_arch());
  *prepared = g;
  return XLM_OK;
}

static xlm_status run_acc(const xlm_call *c) {
  const xlm_gemm *g = (const xlm_gemm *)c->prepared;
  xlm_gemm_run(g, c->in[1], c->in[2], g->add ? c->in[0] : NULL, c->out[0], offsets(c, g), c->workspace,
               xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(contract_acc) = {.op = XLM_OP_CONTRACT_ACC,
                                             .variants = variants,
                                             .applicable = applicable_acc,
                                             .workspace = workspace_acc,
                                             .prepare = prepare_acc,
                                             .run = run_acc};
