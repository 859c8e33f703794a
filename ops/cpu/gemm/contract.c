// contract on CPUs: assigns the operands' dimensions to the index groups of a matrix product
// (ops/cpu/gemm/gemm.h), once at load. Any order of dimensions is a list of strides, so nothing is
// transposed.
#include <string.h>

#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/kernel_priv.h"

static const int32_t *offsets(const xlm_call *c, const xlm_gemm *g) {
  return g->p.ragged == XLM_RAGGED_NONE ? NULL : c->in[c->instr->n_in - 1];
}

// ---- variants ----

static const struct {
  xlm_gemm_form form;
  bool pairs, amx;
} kinds[] = {
    {XLM_GEMM_FEW_ROWS, true, true},  {XLM_GEMM_FEW_ROWS, true, false},  {XLM_GEMM_FEW_ROWS, false, false},
    {XLM_GEMM_BY_EXPERT, true, true}, {XLM_GEMM_BY_EXPERT, true, false}, {XLM_GEMM_BY_EXPERT, false, false},
    {XLM_GEMM_TILED, true, true},     {XLM_GEMM_TILED, true, false},     {XLM_GEMM_TILED, false, false}};
static const char *const variants[] = {
    "few_rows_amx", "few_rows_bf16", "few_rows",   "by_expert_amx", "by_expert_bf16",
    "by_expert",    "tiled_amx",     "tiled_bf16", "tiled",         NULL};

static void set_kind(xlm_gemm *g, int variant, xlm_cpu_arch arch) {
  g->arch = arch, g->form = kinds[variant].form;
  g->pairs = kinds[variant].pairs, g->amx = kinds[variant].amx;
}

// The product of the operands from `at` on, as the call's variant computes it.
static xlm_gemm planned(const xlm_call *c, int at, xlm_cpu_arch arch) {
  xlm_gemm g = {.p = xlm_matmul_of(c, at)};
  xlm_matmul_simplify(&g.p);
  g.panel = c->in_type[at + 1]->panels.width;
  set_kind(&g, c->variant, arch);
  return g;
}

static bool can(const xlm_call *c, int at, const xlm_target *t, int variant) {
  xlm_gemm g = {.p = xlm_matmul_of(c, at)};
  set_kind(&g, variant, xlm_cpu_arch_of(t));
  return xlm_gemm_can(&g);
}

static xlm_cpu_arch
own_arch(void) { // the arch whose tiles this copy has; differences known only to planning are in the variant
  return (xlm_cpu_arch)XLM_ISA_NAME(xlm_arch);
}

// Dims at the beginning of t, or at its end, that are summed.
static int summed(const xlm_call *c, const xlm_type *t, bool from_end) {
  int n = 0;
  while (n < t->rank &&
         xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, t->dim[from_end ? t->rank - 1 - n : n]))
    n++;
  return n;
}

// The second operand of those from `at` on, a weight, is read fastest in panels of the tiles' width.
static xlm_panel_use panels_of(const xlm_call *c, const xlm_target *t, int at, int operand, xlm_panels *p) {
  if (operand != at + 1) return XLM_PANELS_NEVER;
  const xlm_gemm g = {.p = xlm_matmul_of(c, at)};
  const xlm_type *weight = c->in_type[operand];
  const int first = summed(c, weight, false), split = first ? first : weight->rank - summed(c, weight, true);
  const xlm_panels best = {(uint16_t)xlm_gemm_panel(&g, xlm_cpu_arch_of(t), !first), (uint8_t)split, !first};
  if (!best.width) return XLM_PANELS_NEVER;
  if (!p->width) {
    *p = best;
    return XLM_PANELS_FASTEST;
  }
  bool same = p->width == best.width && p->split == best.split && p->columns_first == best.columns_first;
  return same ? XLM_PANELS_ALSO : XLM_PANELS_NEVER;
}

// ---- contract ----

static bool applicable(const xlm_call *c, const xlm_target *t, int variant) {
  return can(c, 0, t, variant);
}

static xlm_panel_use panels(const xlm_call *c, const xlm_target *t, int operand, xlm_panels *p) {
  return panels_of(c, t, 0, operand, p);
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

typedef struct product { // operands of xlm_gemm_run
  const char *a, *b, *add, *bias;
  char *c;
} product;

// Can rows be left out, and are there some?
static bool skips_rows(const xlm_call *c, const xlm_matmul *p) {
  const xlm_row_range *r = c->rows;
  return r && (r->n < r->of || r->most < r->places) && !p->ragged && !p->batch.n && p->m.n == 1 &&
         p->m.size[0] == r->of * r->places &&
         p->m.c[0] * p->m.size[0] == xlm_call_elements(c, c->out_type[0]);
}

// All rows but those that count are what the first of these is, so that nothing computed of them is less
// finite.
static void fill_rows(const xlm_row_range *r, char *c, size_t row) {
  const char *like = c + (size_t)(r->first * r->places) * row;
  if (!r->n) memset(c, 0, (size_t)(r->of * r->places) * row);
  for (int64_t i = 0; r->n && i < r->of; i++) {
    bool counts = i >= r->first && i < r->first + r->n;
    for (int64_t k = counts ? r->most : 0; k < r->places; k++)
      memcpy(c + (size_t)(i * r->places + k) * row, like, row);
  }
}

static xlm_matmul_index rows_of(const xlm_row_range *r, const xlm_matmul_index *all) {
  int64_t n = r->places;
  return (xlm_matmul_index){.n = 2,
                            .size = {r->n, r->most},
                            .a = {all->a[0] * n, all->a[0]},
                            .b = {all->b[0] * n, all->b[0]},
                            .c = {all->c[0] * n, all->c[0]}};
}

// The product of the rows that count. Few are multiplied as such, if the workspace suffices.
static void run_rows(const xlm_call *c, const xlm_gemm *g, product x) {
  const xlm_row_range *r = c->rows;
  xlm_gemm some = *g;
  xlm_pool *pool = xlm_cpu_pool(c);
  int64_t first = r->first * r->places, element = (int64_t)xlm_dtype_bytes(g->p.c);
  int64_t a = first * g->p.m.a[0] * (int64_t)xlm_dtype_bytes(g->p.a), at = first * g->p.m.c[0] * element;
  some.p.m = rows_of(r, &g->p.m);
  xlm_matmul_simplify(&some.p);
  some.form = XLM_GEMM_FEW_ROWS;
  if (!xlm_gemm_can(&some)) some.form = g->form;
  if (xlm_gemm_workspace(&some, xlm_pool_size(pool)) > c->instr->workspace) some.form = g->form;
  if (r->n)
    xlm_gemm_run(&some, x.a + a, x.b, x.add ? x.add + at : NULL, x.bias, x.c + at, NULL, c->workspace, pool);
  fill_rows(r, x.c, (size_t)(g->p.m.c[0] * element));
}

static xlm_status run_product(const xlm_call *c, const xlm_gemm *g, product x) {
  if (skips_rows(c, &g->p))
    run_rows(c, g, x);
  else
    xlm_gemm_run(g, x.a, x.b, x.add, x.bias, x.c, offsets(c, g), c->workspace, xlm_cpu_pool(c));
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  return run_product(c, (const xlm_gemm *)c->prepared,
                     (product){.a = c->in[0], .b = c->in[1], .c = c->out[0]});
}

static int streamed(const xlm_call *c) {
  return xlm_gemm_streamed((const xlm_gemm *)c->prepared);
}

const xlm_kernel XLM_KERNEL(contract) = {.op = XLM_OP_CONTRACT,
                                         .variants = variants,
                                         .applicable = applicable,
                                         .workspace = workspace,
                                         .panels = panels,
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

static xlm_panel_use panels_acc(const xlm_call *c, const xlm_target *t, int operand, xlm_panels *p) {
  return panels_of(c, t, 1, operand, p);
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
  return run_product(
      c, g, (product){.a = c->in[1], .b = c->in[2], .add = g->p.add ? c->in[0] : NULL, .c = c->out[0]});
}

const xlm_kernel XLM_KERNEL(contract_acc) = {.op = XLM_OP_CONTRACT_ACC,
                                             .variants = variants,
                                             .applicable = applicable_acc,
                                             .workspace = workspace_acc,
                                             .panels = panels_acc,
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
  product x = {.a = c->in[0], .b = c->in[1], .c = c->out[0]};
  if (g->p.bias) x.bias = c->in[2];
  if (g->p.add) x.add = c->in[c->instr->n_in - 1];
  return run_product(c, g, x);
}

const xlm_kernel XLM_KERNEL(contract_bias) = {.op = XLM_OP_CONTRACT_BIAS,
                                              .variants = variants,
                                              .applicable = applicable,
                                              .workspace = workspace,
                                              .panels = panels,
                                              .prepare = prepare_bias,
                                              .run = run_bias,
                                              .streamed = streamed};
