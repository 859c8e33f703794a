// See fused_steps_priv.h.
#include "ops/cuda/fused_steps_priv.h"

#include <string.h>

#include "ops/cuda/fused_source_priv.h"

const char xlm_fused_row_functions[] =
#define XLM_NORM(...) "FUNCTION " #__VA_ARGS__ "\n"
#include "ops/cuda/norm.def"
    ;

// In terms of elements of the operands, A and B; their means, M and D; sums over the row, S and T; the row's
// length, N; the attribute, E; scale, X, and slope, Y.
typedef struct row_function {
  bool means[2];                     // of which operands
  const char *sums[2];               // what S and T are sums of
  const char *scale, *slope, *value; // NULL: none
} row_function;

static const row_function row_functions[] = {
    [XLM_FN_RMSNORM -
     XLM_FN_ELEMENTWISE] = {.sums = {"A * A"}, .scale = "norm_scale(S, N, E)", .value = "rmsnorm_of(A, X)"},
    [XLM_FN_RMSNORM_BWD - XLM_FN_ELEMENTWISE] = {.sums = {"A * A", "A * B"},
                                                 .scale = "norm_scale(S, N, E)",
                                                 .slope = "rmsnorm_slope(X, T, N)",
                                                 .value = "rmsnorm_bwd_of(A, B, X, Y)"},
    [XLM_FN_LAYERNORM - XLM_FN_ELEMENTWISE] = {.means = {true},
                                               .sums = {"(A - M) * (A - M)"},
                                               .scale = "norm_scale(S, N, E)",
                                               .value = "layernorm_of(A, M, X)"},
    [XLM_FN_LAYERNORM_BWD - XLM_FN_ELEMENTWISE] = {.means = {true, true},
                                                   .sums = {"(A - M) * (A - M)", "(A - M) * B"},
                                                   .scale = "norm_scale(S, N, E)",
                                                   .slope = "layernorm_slope(X, T, N)",
                                                   .value = "layernorm_bwd_of(A, B, M, D, X, Y)"},
};

static const row_function *row_function_of(const xlm_code_instr *at) {
  return &row_functions[at->fn - XLM_FN_ELEMENTWISE];
}

// A formula of instruction k.
static void add_formula(xlm_text *t, const xlm_fused_steps *p, int k, const char *formula) {
  const xlm_code_instr *at = &p->code->at[k];
  for (const char *s = formula; *s; s++) {
    if (*s == 'A' || *s == 'B')
      xlm_text_printf(t, "q%u", at->a[*s - 'A']);
    else if (*s == 'M' || *s == 'D')
      xlm_text_printf(t, "mean%u", at->a[*s == 'D']);
    else if (*s == 'S' || *s == 'T')
      xlm_text_printf(t, "sum%d", p->sum_of[k][*s - 'S']);
    else if (*s == 'X' || *s == 'Y')
      xlm_text_printf(t, "%s%d", *s == 'X' ? "scale" : "slope", k);
    else if (*s == 'N')
      xlm_text_printf(t, "%lld.0f", (long long)p->len);
    else if (*s == 'E')
      xlm_fused_add_number(t, at->imm);
    else
      xlm_text_addn(t, s, 1);
  }
}

void xlm_fused_add_row_value(xlm_text *t, const xlm_fused_steps *p, int k) {
  add_formula(t, p, k, row_function_of(&p->code->at[k])->value);
}

// ---- which sums, and when

static int later(int a, int b) {
  return a > b ? a : b;
}

// The sum of a formula of instruction k; several may share one.
static int sum_of(xlm_fused_steps *p, xlm_arena *a, int k, const char *formula) {
  const xlm_code_instr *at = &p->code->at[k];
  xlm_fused_sum sum = {0};
  xlm_text of = xlm_text_new(a);
  add_formula(&of, p, k, formula);
  sum.of = of.data;
  for (int i = 0; i < p->n_sums; i++)
    if (!strcmp(p->sums[i].of, sum.of)) return i;
  for (int i = 0; i < 2; i++) {
    if (!strchr(formula, "AB"[i])) continue;
    sum.reads[sum.n_reads++] = at->a[i];
    sum.step = later(sum.step, p->step_of[at->a[i]]);
    if (strchr(formula, "MD"[i])) sum.step = later(sum.step, p->step_of[at->a[i]] + 1);
  }
  p->sums[p->n_sums] = sum;
  return p->n_sums++;
}

// Returns how many steps are before its value.
static int plan_row_function(xlm_fused_steps *p, xlm_arena *a, int k) {
  const xlm_code_instr *at = &p->code->at[k];
  const row_function *f = row_function_of(at);
  int last = 0;
  for (int i = 0; i < xlm_fn_arity((xlm_fn)at->fn); i++) {
    last = later(last, p->step_of[at->a[i]] - 1);
    if (!f->means[i]) continue;
    int sum = p->mean_of[at->a[i]] = sum_of(p, a, k, i ? "B" : "A");
    last = later(last, p->sums[sum].step);
  }
  for (int i = 0; i < 2 && f->sums[i]; i++) {
    p->sum_of[k][i] = sum_of(p, a, k, f->sums[i]);
    last = later(last, p->sums[p->sum_of[k][i]].step);
  }
  return last + 1;
}

static int plan_function(const xlm_fused_steps *p, int k) {
  const xlm_code_instr *at = &p->code->at[k];
  int step = 0;
  for (int i = 0; i < xlm_fn_arity((xlm_fn)at->fn); i++)
    if (at->a[i] != XLM_CODE_IMM) step = later(step, p->step_of[at->a[i]]);
  return step;
}

const xlm_fused_steps *xlm_fused_steps_of(xlm_arena *a, const xlm_fused_shape *s) {
  xlm_fused_steps *p = XLM_NEW(a, xlm_fused_steps);
  *p = (xlm_fused_steps){.code = s->code, .len = s->len};
  for (int r = 0; r < XLM_FUSED_REGISTERS; r++) p->mean_of[r] = -1;
  for (int k = 0; k < s->code->n; k++) {
    int step = xlm_fn_is_row(s->code->at[k].fn) ? plan_row_function(p, a, k) : plan_function(p, k);
    p->step_of[s->code->n_in + k] = step;
    p->n = later(p->n, step);
  }
  return p;
}

int xlm_fused_step_sums(const xlm_fused_steps *p, int step) {
  int n = 0;
  for (int i = 0; i < p->n_sums; i++) n += p->sums[i].step == step;
  return n;
}

static void add_number(xlm_text *t, const xlm_fused_steps *p, int k, const char *name, const char *formula) {
  if (!formula) return;
  xlm_text_printf(t, "    float %s%d = ", name, k);
  add_formula(t, p, k, formula);
  xlm_text_add(t, ";\n");
}

void xlm_fused_add_row_numbers(xlm_text *t, const xlm_fused_steps *p, int step) {
  for (int r = 0; r < p->code->n_in + p->code->n; r++)
    if (p->mean_of[r] >= 0 && p->sums[p->mean_of[r]].step == step)
      xlm_text_printf(t, "    float mean%d = sum%d / %lld.0f;\n", r, p->mean_of[r], (long long)p->len);
  for (int k = 0; k < p->code->n; k++) {
    if (!xlm_fn_is_row(p->code->at[k].fn) || p->step_of[p->code->n_in + k] != step + 1) continue;
    const row_function *f = row_function_of(&p->code->at[k]);
    add_number(t, p, k, "scale", f->scale);
    add_number(t, p, k, "slope", f->slope);
  }
}
