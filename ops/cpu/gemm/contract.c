// contract on CPUs: assigns the operands' dimensions to the index groups of a matrix product
// (ops/cpu/gemm/gemm.h), once at load. Any order of dimensions is a list of strides, so nothing is
// transposed.
#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/kernel_priv.h"

static const int32_t *offsets(const xlm_call *c, const xlm_gemm *g) {
  return g->p.ragged == XLM_RAGGED_NONE ? NULL : c->in[c->instr->n_in - 1];
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
  xlm_gemm g = {.p = xlm_matmul_of(c, at)};
  xlm_matmul_simplify(&g.p);
  g.arch = arch, g.form = kinds[c->variant].form, g.pairs = kinds[c->variant].pairs;
  return g;
}

static bool can(const xlm_call *c, int at, const xlm_target *t, int variant) {
  xlm_gemm g = {.p = xlm_matmul_of(c, at)};
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
  xlm_gemm_run(g, c->in[0], c->in[1], NULL, NULL, c->out[0], offsets(c, g), c->workspace, xlm_cpu_pool(c));
  return XLM_OK;
}

static int streamed(const xlm_call *c) {
  return xlm_gemm_streamed((const xlm_gemm *)c->prepared);
}

const xlm_kernel XLM_KERNEL(contract) = {.op = XLM_OP_CONTRACT,
                                         .variants = variants,
                                         .applicable = applicable,
                                         .workspace = workspace,
                                         .prepare = prepare,
                                         .run = run,
                                         .streamed = streamed};

// ---- contract_acc: adds the product to the accumulator, or overwrites it ----

static xlm_gemm planned_acc(const xlm_call *c, xlm_cpu_arch arch) {
  xlm_gemm g = planned(c, 1, arch);
  g.p.add = !xlm_attr_int(&c->instr->attrs, XLM_A_store, 0);
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
  xlm_gemm_run(g, c->in[1], c->in[2], g->p.add ? c->in[0] : NULL, NULL, c->out[0], offsets(c, g),
               c->workspace, xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(contract_acc) = {.op = XLM_OP_CONTRACT_ACC,
                                             .variants = variants,
                                             .applicable = applicable_acc,
                                             .workspace = workspace_acc,
                                             .prepare = prepare_acc,
                                             .run = run_acc};

// ---- contract_bias: the product plus a bias ----

static xlm_status prepare_bias(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  XLM_TRY(prepare(c, a, prepared, err));
  xlm_matmul with = xlm_matmul_biased(c);
  xlm_gemm *g = (xlm_gemm *)*prepared;
  g->p.bias = with.bias;
  g->p.add = with.add;
  return XLM_OK;
}

static xlm_status run_bias(const xlm_call *c) {
  const xlm_gemm *g = (const xlm_gemm *)c->prepared;
  const void *bias = g->p.bias ? c->in[2] : NULL, *add = g->p.add ? c->in[c->instr->n_in - 1] : NULL;
  xlm_gemm_run(g, c->in[0], c->in[1], add, bias, c->out[0], NULL, c->workspace, xlm_cpu_pool(c));
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(contract_bias) = {.op = XLM_OP_CONTRACT_BIAS,
                                              .variants = variants,
                                              .applicable = applicable,
                                              .workspace = workspace,
                                              .prepare = prepare_bias,
                                              .run = run_bias,
                                              .streamed = streamed};
