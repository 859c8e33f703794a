// See fused_source.h. A thread of an elementwise program computes `vector` neighbouring elements: it loads
// them with one access per operand, goes through the program for each, and stores. Sizes and strides are
// constants, so that divisions become multiplications. Operands may be a result's memory: nothing is stored
// before all of the thread's elements are loaded.
#include "ops/cuda/fused_source_priv.h"

#include <math.h>
#include <stdio.h>

// ---- words

static const char functions[] =
    "FUNCTION float up(u16 h) { return float_of((u32)h << 16); }\n"
    "FUNCTION float half_of(u32 pair, int high) { return float_of(high ? pair & 0xffff0000u : pair << 16); "
    "}\n"
    "FUNCTION float whole(float x) {\n" // within the range of i32; NaN is 0
    "  return x != x ? 0.0f : x < -2147483648.0f ? -2147483648.0f : x > 2147483520.0f ? 2147483520.0f : x;\n"
    "}\n"
    "FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }\n"
    "FUNCTION float cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }\n"
    "FUNCTION float gate(float x) { return sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }\n"
    "FUNCTION float silu_slope(float x) { float s = sigmoid(x); return s * (1.0f + x * (1.0f - s)); }\n"
    "FUNCTION float gelu_slope(float x) {\n"
    "  float s = gate(x);\n"
    "  return s + x * s * (1.0f - s) * (1.59576912f + 0.214070299f * x * x);\n" // 3 * 0.044715 * 1.5957..
    "}\n"
    "FUNCTION float gelu_erf_slope(float x) { return cdf(x) + x * 0.39894228f * expf(-0.5f * x * x); }\n";

// A result in terms of the operands A, B, C.
static const char *const formulas[XLM_FN_COUNT] = {
    [XLM_FN_ADD] = "A + B",
    [XLM_FN_SUB] = "A - B",
    [XLM_FN_MUL] = "A * B",
    [XLM_FN_DIV] = "A / B",
    [XLM_FN_MIN] = "A <= B ? A : B",
    [XLM_FN_MAX] = "B <= A ? A : B",
    [XLM_FN_NEG] = "-A",
    [XLM_FN_ABS] = "fabsf(A)",
    [XLM_FN_SQUARE] = "A * A",
    [XLM_FN_SQRT] = "sqrtf(A)",
    [XLM_FN_RSQRT] = "1.0f / sqrtf(A)",
    [XLM_FN_RECIP] = "1.0f / A",
    [XLM_FN_EXP] = "expf(A)",
    [XLM_FN_LOG] = "logf(A)",
    [XLM_FN_SIN] = "sinf(A)",
    [XLM_FN_COS] = "cosf(A)",
    [XLM_FN_TANH] = "tanhf(A)",
    [XLM_FN_SIGMOID] = "sigmoid(A)",
    [XLM_FN_SILU] = "A / (1.0f + expf(-A))",
    [XLM_FN_GELU] = "A * gate(A)",
    [XLM_FN_GELU_ERF] = "A * cdf(A)",
    [XLM_FN_RELU] = "A < 0.0f ? 0.0f : A",
    [XLM_FN_SIGN] = "(A > 0.0f ? 1.0f : 0.0f) - (A < 0.0f ? 1.0f : 0.0f)",
    [XLM_FN_FLOOR] = "floorf(A)",
    [XLM_FN_CEIL] = "ceilf(A)",
    [XLM_FN_ROUND] = "rintf(A)",
    [XLM_FN_MOD] = "A - B * floorf(A / B)",
    [XLM_FN_POW] = "powf(A, B)",
    [XLM_FN_LT] = "A < B ? 1.0f : 0.0f",
    [XLM_FN_LE] = "A <= B ? 1.0f : 0.0f",
    [XLM_FN_EQ] = "A == B ? 1.0f : 0.0f",
    [XLM_FN_WHERE] = "A != 0.0f ? B : C",
    [XLM_FN_CAST] = "A", // to f32; i32 is converted when stored
    [XLM_FN_I32] = "whole(truncf(A))",
    [XLM_FN_SILU_GRAD] = "A * silu_slope(B)",
    [XLM_FN_GELU_GRAD] = "A * gelu_slope(B)",
    [XLM_FN_GELU_ERF_GRAD] = "A * gelu_erf_slope(B)",
};

static const char *const types[XLM_DTYPE_COUNT] = {
    [XLM_F32] = "float", [XLM_BF16] = "u16", [XLM_I32] = "int"};

const char *xlm_fused_type(xlm_dtype dtype) {
  return types[dtype];
}

// Neighbours in bf16 stay in pairs, as they are in registers.
static bool in_pairs(const xlm_fused_shape *s, int k) {
  return s->vector > 1 && s->dtype[k] == XLM_BF16;
}

static void add_vector_type(xlm_text *t, const xlm_fused_shape *s, xlm_dtype dtype) {
  int bytes = (int)xlm_dtype_bytes(dtype) * s->vector, align = bytes < 16 ? bytes : 16;
  bool pairs = s->vector > 1 && dtype == XLM_BF16;
  xlm_text_printf(t, "struct vec_%s { ALIGN(%d) %s at[%d]; };\n", types[dtype], align,
                  pairs ? "u32" : types[dtype], pairs ? s->vector / 2 : s->vector);
}

void xlm_fused_add_head(xlm_text *t, const xlm_fused_shape *s) {
  xlm_text_add(t, functions);
  for (int k = 0; k < XLM_DTYPE_COUNT; k++)
    if (types[k]) add_vector_type(t, s, (xlm_dtype)k);
  xlm_text_printf(t, "struct operands { void *at[%d]; };\n", s->n_in + s->n_whole + s->n_summed);
}

void xlm_fused_add_number(xlm_text *t, double x) {
  float f = (float)x;
  if (isnan(f))
    xlm_text_add(t, "float_of(0x7fc00000u)");
  else if (isinf(f))
    xlm_text_add(t, f > 0 ? "float_of(0x7f800000u)" : "float_of(0xff800000u)");
  else
    xlm_text_printf(t, "(%af)", (double)f); // exact: hexadecimal
}

static void add_operand(xlm_text *t, const xlm_code_instr *at, int i) {
  if (at->a[i] == XLM_CODE_IMM)
    xlm_fused_add_number(t, at->imm);
  else
    xlm_text_printf(t, "q%u", at->a[i]);
}

static void add_formula(xlm_text *t, const xlm_code_instr *at) {
  bool rounds = at->fn == XLM_FN_CAST && at->imm == XLM_BF16; // later functions read what a store would leave
  for (const char *s = rounds ? "up(down(A))" : formulas[at->fn]; *s; s++) {
    bool letter = *s >= 'A' && *s <= 'C';
    if (letter)
      add_operand(t, at, *s - 'A');
    else
      xlm_text_addn(t, s, 1);
  }
}

void xlm_fused_add_instr(xlm_text *t, const xlm_code *code, int k) {
  xlm_text_printf(t, "        float q%d = ", code->n_in + k);
  add_formula(t, &code->at[k]);
  xlm_text_add(t, ";\n");
}

// ---- operands

void xlm_fused_add_indices(xlm_text *t, const xlm_fused_shape *s, const char *type, const char *index,
                           int from, int to) {
  if (from == to) return;
  xlm_text_printf(t, "    %s rest = %s;\n", type, index);
  for (int d = to - 1; d > from; d--)
    xlm_text_printf(t, "    i64 i%d = rest %% %lld;\n    rest /= %lld;\n", d, (long long)s->size[d],
                    (long long)s->size[d]);
  xlm_text_printf(t, "    i64 i%d = rest;\n", from);
}

// Offset of operand k at the indices i0, i1, ..
static void add_offset(xlm_text *t, const xlm_fused_shape *s, int k) {
  const char *plus = "";
  for (int d = 0; d < s->n_dims; d++) {
    if (!s->stride[k][d]) continue;
    xlm_text_printf(t, "%si%d * %lld", plus, d, (long long)s->stride[k][d]);
    plus = " + ";
  }
  if (!*plus) xlm_text_add(t, "0");
}

// Elements that are not neighbours in memory, one by one.
static void add_gather(xlm_text *t, const xlm_fused_shape *s, int k, const char *to) {
  long long stride = s->stride[k][s->n_dims - 1];
  const char *type = types[s->dtype[k]];
  xlm_text_printf(t, "    { const %s *from = (const %s *)p.at[%d] + ", type, type, k);
  add_offset(t, s, k);
  if (in_pairs(s, k))
    xlm_text_printf(t,
                    ";\n      UNROLL\n      for (int j = 0; j < %d; j++) %s.at[j] = from[2 * j * %lld] | "
                    "(u32)from[(2 * j + 1) * %lld] << 16; }\n",
                    s->vector / 2, to, stride, stride);
  else
    xlm_text_printf(t, ";\n      UNROLL\n      for (int j = 0; j < %d; j++) %s.at[j] = from[j * %lld]; }\n",
                    s->vector, to, stride);
}

void xlm_fused_add_load(xlm_text *t, const xlm_fused_shape *s, int k, bool is_vector, const char *to) {
  const char *type = types[s->dtype[k]];
  if (is_vector && !xlm_fused_is_vector(s, k)) {
    add_gather(t, s, k, to);
    return;
  }
  if (is_vector)
    xlm_text_printf(t, "    %s = *(const struct vec_%s *)((const %s *)p.at[%d] + ", to, type, type, k);
  else
    xlm_text_printf(t, "    %s = *((const %s *)p.at[%d] + ", to, type, k);
  add_offset(t, s, k);
  xlm_text_add(t, ");\n");
}

void xlm_fused_add_value(xlm_text *t, const xlm_fused_shape *s, int k, bool is_vector, const char *name) {
  xlm_text_printf(t, "        float q%d = ", k);
  if (is_vector && in_pairs(s, k))
    xlm_text_printf(t, "half_of(%s.at[j / 2], j %% 2);\n", name);
  else
    xlm_text_printf(t, "%s(%s%s);\n", s->dtype[k] == XLM_BF16 ? "up" : "(float)", name,
                    is_vector ? ".at[j]" : "");
}

void xlm_fused_add_store(xlm_text *t, const xlm_fused_shape *s, int k) {
  int operand = s->n_in + k;
  const char *type = types[s->dtype[operand]];
  bool pairs = in_pairs(s, operand);
  xlm_text_printf(t,
                  "    struct vec_%s r%d;\n    UNROLL\n    for (int j = 0; j < %d; j++) r%d.at[j] = ", type,
                  k, pairs ? s->vector / 2 : s->vector, k);
  if (pairs)
    xlm_text_printf(t, "pair(y%d[2 * j], y%d[2 * j + 1]);\n", k, k);
  else
    xlm_text_printf(t, "%s(y%d[j]);\n",
                    s->dtype[operand] == XLM_BF16  ? "down"
                    : s->dtype[operand] == XLM_I32 ? "(int)whole"
                                                   : "",
                    k);
  xlm_text_printf(t, "    STORE((struct vec_%s *)((%s *)p.at[%d] + ", type, type, operand);
  add_offset(t, s, operand);
  xlm_text_printf(t, "), r%d);\n", k);
}

// ---- elementwise programs

static void add_elements(xlm_text *t, const xlm_fused_shape *s) {
  int last = s->n_dims - 1;
  xlm_text_printf(
      t,
      "KERNEL(struct operands, 256, 1) {\n  for (i64 i = (BLOCK * 256 + THREAD) * %d; i < %lld; i += "
      "BLOCKS * %d) {\n",
      s->vector, (long long)s->len, 256 * s->vector);
  xlm_fused_add_indices(t, s, "i64", "i", 0, s->n_dims);
  for (int k = 0; k < s->n_in; k++) {
    bool is_vector = s->stride[k][last] != 0;
    char name[16];
    snprintf(name, sizeof name, "a%d", k);
    xlm_text_printf(t, "    %s%s %s;\n", is_vector ? "struct vec_" : "", types[s->dtype[k]], name);
    xlm_fused_add_load(t, s, k, is_vector, name);
  }
  for (int k = 0; k < s->n_whole; k++) xlm_text_printf(t, "    float y%d[%d];\n", k, s->vector);
  xlm_text_printf(t, "    UNROLL\n    for (int j = 0; j < %d; j++) {\n", s->vector);
  for (int k = 0; k < s->n_in; k++) {
    char name[16];
    snprintf(name, sizeof name, "a%d", k);
    xlm_fused_add_value(t, s, k, s->stride[k][last] != 0, name);
  }
  for (int k = 0; k < s->code->n; k++) xlm_fused_add_instr(t, s->code, k);
  for (int k = 0; k < s->n_whole; k++) xlm_text_printf(t, "        y%d[j] = q%u;\n", k, s->code->out[k]);
  xlm_text_add(t, "    }\n");
  for (int k = 0; k < s->n_whole; k++) xlm_fused_add_store(t, s, k);
  xlm_text_add(t, "  }\n}\n");
}

const char *xlm_fused_source(xlm_arena *a, const xlm_fused_shape *s) {
  xlm_text t = xlm_text_new(a);
  xlm_fused_add_head(&t, s);
  (s->form == XLM_FUSED_ELEMENTS ? add_elements : xlm_fused_add_rows)(&t, s);
  return t.data;
}
